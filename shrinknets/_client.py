"""The client of a ShrinkNets service."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from shrinknets import _dataset, wire
from shrinknets._bodies import kind_body, methods_body, network_body, several
from shrinknets._dataset import Dataset
from shrinknets._job import Job
from shrinknets._network import Network
from shrinknets._transport import Transport

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """Talks to one ShrinkNets service; close it, or use it as a context manager.

    Args:
        url: the service's address; by default the variable SHRINKNETS_URL, or this machine.
        api_key: the key to show; by default the variable SHRINKNETS_API_KEY, or none.
        timeout_seconds: for one request.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address = url or os.environ.get("SHRINKNETS_URL") or DEFAULT_URL
        self._transport = Transport(
            address,
            # An empty variable is how one unsets it in many places.
            api_key=api_key if api_key is not None else os.environ.get(wire.KEY_VARIABLE) or None,
            timeout_seconds=timeout_seconds,
            transport=transport,
        )

    @property
    def url(self) -> str:
        """The service's address."""
        return self._transport.url

    def submit(
        self,
        spec: wire.JobSpec | None = None,
        *,
        dataset: str | None = None,
        methods: str | Sequence[str] | Mapping[str, Mapping[str, Any]] = ("shrinknets",),
        family: str | None = None,
        widths: int | Sequence[int] | None = None,
        trials: int | None = None,
        training: Mapping[str, Any] | None = None,
        sampler: str | None = None,
        pruner: str | Mapping[str, Any] | None = None,
        objective: str | Mapping[str, Any] | None = None,
        constraints: Mapping[str, float] | None = None,
        budget: Mapping[str, float] | None = None,
        repeats: int | None = None,
        terminator: str | Mapping[str, Any] | None = None,
        warm_start: "Job | str | Sequence[Job | str]" = (),
        trial_seconds: float | None = None,
        exports: str | Sequence[str] = (),
        choice: Mapping[str, Any] | None = None,
        seed: int = 0,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Queue a sizing job.

        Args:
            spec: the whole job; of the other arguments only the last three are then looked at.
            dataset: `digits`, `breast_cancer`, `wine`, or one that was uploaded.
            methods: of `shrinknets`, `path`, `fixed`, `fixed_l2`: names, or a mapping of names to
                options, such as `{"shrinknets": {"lam": {"low": 1e-4, "high": 1e-2}}}`.
            family: of the network, such as `residual_mlp`, `lenet5` or `resnet20`; see `families`.
                By default multi-layer perceptrons.
            widths: the most units, or channels, that each layer may have, input side first; by
                default the family's own.
            trials: for each method that does not say its own; `path` is one run and keeps it.
            training: of `epochs`, `batch_size`, `lr`, `weight_decay`, `precision` (`fp32`, `tf32`,
                `bf16`), `compile`.
            sampler: `tpe`, `random`, `gp`, `cmaes`, `qmc` or `nsga2`.
            pruner: which trials are ended early, a kind or a mapping with its options: `median`,
                `percentile`, `hyperband`, `asha`, `patient`, `domination`.
            objective: `accuracy`, `accuracy_and_size` or `mix`, or a mapping with options.
            constraints: of `max_parameters`, `max_macs`, `max_latency_ms`.
            budget: of `trials`, `seconds`, `training_macs`; the first that is used up ends it.
            repeats: trainings of each configuration.
            terminator: when it is enough, `stagnation` or `regret`, or a mapping with options.
            warm_start: one or several earlier jobs whose trials the samplers know from the start.
            trial_seconds: a trial that takes longer is stopped and fails.
            exports: `onnx`, `pt2` or both: as what networks on each frontier are stored too.
            choice: by which rule the job's network is chosen, and whether it is retrained and
                fine-tuned, such as `{"rule": "one_standard_error", "retrain": True}`.
            seed: settles splits, weights, batches and proposals.
            name: for people.
            labels: words to find the job by, such as `{"team": "vision"}`.
            priority: of −100 to 100; higher ones are claimed first.
            idempotency_key: the same key with the same job gives the job that it made before,
                for a day. Without one the client takes one of its own for each call, so that its
                tries after a lost answer make no second job.

        Raises:
            ConflictError: the key was used for another job.
            InvalidInputError: says which field, what was given and what is allowed.
            ServiceUnreachableError: nobody answers.
        """
        if isinstance(spec, wire.JobSpec):
            body: dict[str, Any] = spec.model_dump(mode="json")
        elif spec is not None:
            raise TypeError(f"spec must be a JobSpec, got {spec!r}: name the others, as dataset=…")
        else:
            optional = {
                "dataset": dataset,
                "network": network_body(family, widths),
                "training": None if training is None else dict(training),
                "sampler": sampler,
                "pruner": kind_body(pruner),
                "objective": kind_body(objective),
                "constraints": None if constraints is None else dict(constraints),
                "budget": None if budget is None else dict(budget),
                "repeats": repeats,
                "terminator": kind_body(terminator),
                "warm_start": _ids(warm_start) or None,
                "trial_seconds": trial_seconds,
                "exports": several(exports) or None,
                "choice": None if choice is None else dict(choice),
            }
            body = {
                "methods": methods_body(methods, trials),
                "seed": seed,
                "name": name,
                **{field: value for field, value in optional.items() if value is not None},
            }
        steering = {"labels": labels, "priority": priority}
        body |= {field: value for field, value in steering.items() if value is not None}
        return self.submit_body(body, idempotency_key=idempotency_key)

    def submit_body(self, body: object, *, idempotency_key: str | None = None) -> Job:
        """Queue the job that a JSON body describes, as `POST /api/v1/jobs` takes it."""
        key = idempotency_key or str(uuid.uuid4())
        headers = {wire.IDEMPOTENCY_HEADER: key}
        info = self._transport.post("/jobs", wire.Job, body=body, headers=headers, tries=3)
        return Job(self._transport, info)

    def jobs(
        self,
        *,
        state: str | Sequence[str] = (),
        dataset: str | None = None,
        method: str | None = None,
        label: str | Sequence[str] = (),
        owner: str | None = None,
        text: str | None = None,
        sort: str | None = None,
    ) -> Iterator[Job]:
        """Yield the jobs that meet all filters, fetched as they are read.

        Args:
            state: one or several of `queued`, `running`, `paused`, `succeeded`, `failed`,
                `cancelled`.
            dataset: the data set that they train on.
            method: a method that they run.
            label: one or several labels, each `key:value` or `key`; jobs have all of them.
            owner: of the key that they were submitted with.
            text: part of the name.
            sort: `created`, `ended`, `state` or `priority`, with a `-` to turn it round; by
                default `-created`, the newest first.
        """
        filters = {
            "state": several(state),
            "dataset": dataset,
            "method": method,
            "label": several(label),
            "owner": owner,
            "text": text,
            "sort": sort,
        }
        query = {name: value for name, value in filters.items() if value}
        for info in self._transport.pages("/jobs", wire.Job, query=query):
            yield Job(self._transport, info)

    def families(self) -> list[wire.FamilyOffer]:
        """Return the network families that the workers heard of lately can build."""
        return list(self._transport.pages("/families", wire.FamilyOffer))

    def compare(self, *jobs: Job | str) -> wire.Comparison:
        """Return jobs side by side: per method the spread of accuracy and size, and the compute.

        Raises NotFoundError.
        """
        ids = ",".join(job if isinstance(job, str) else job.id for job in jobs)
        return self._transport.get("/jobs/compare", wire.Comparison, query={"ids": ids})

    def job(self, job_id: str) -> Job:
        """Return the job of this id; raises NotFoundError."""
        return Job(self._transport, self._transport.get(f"/jobs/{job_id}", wire.Job))

    def upload_dataset(
        self,
        data: str | os.PathLike[str] | Mapping[str, Any],
        *,
        name: str,
        progress: bool = True,
    ) -> Dataset:
        """Hand in rows for jobs to train on, showing a progress bar on standard error.

        The same content under the same name again changes nothing.

        Args:
            data: the path of a `.npz` file, or a mapping of names to arrays: `x`, float or uint8 of
                shape (n, inputs) or (n, channels, height, width), and `y`, the classes from 0; and
                `x_test` and `y_test` where the test rows are not to be taken from the others.
            name: under which jobs name it: letters, digits, `.`, `_` and `-`.
            progress: without, nothing is shown.

        Raises:
            ConflictError: the name stands for other content.
            InvalidInputError: says what is wrong with which array.
            ServiceError: it is too large (413), or no `.npz` file (415).
        """
        return _dataset.upload(self._transport, data, name=name, progress=progress)

    def datasets(
        self, *, source: str | None = None, text: str = "", sort: str | None = None
    ) -> Iterator[Dataset]:
        """Yield the data sets that meet all filters, fetched as they are read.

        Args:
            source: `built_in` for those that every worker has, or `uploaded`.
            text: part of the name.
            sort: `created`, `name` or `rows`, with a `-` to turn it round; by default `-created`.
        """
        filters = {"source": source, "text": text, "sort": sort}
        query = {name: value for name, value in filters.items() if value}
        for info in self._transport.pages("/datasets", wire.Dataset, query=query):
            yield Dataset(self._transport, info)

    def dataset(self, name: str) -> Dataset:
        """Return the data set of this name; raises NotFoundError."""
        path = f"/datasets/{quote(name, safe='')}"
        return Dataset(self._transport, self._transport.get(path, wire.DatasetDetails))

    def trial(self, trial_id: str) -> wire.Trial:
        """Return the trial of this id; raises NotFoundError."""
        return self._transport.get(f"/trials/{trial_id}", wire.Trial)

    def network(self, network_id: str) -> Network:
        """Return the network of this id; raises NotFoundError."""
        info = self._transport.get(f"/networks/{network_id}", wire.Network)
        return Network(self._transport, info)

    def __repr__(self) -> str:
        return f"<Client {self.url}>"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _ids(jobs: Job | str | Sequence[Job | str]) -> list[str]:
    together = [jobs] if isinstance(jobs, Job | str) else jobs
    return [job if isinstance(job, str) else job.id for job in together]

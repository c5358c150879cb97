"""A job's trials as Optuna studies, and Optuna studies as starting points of jobs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shrinknets import wire
from shrinknets._errors import ShrinkNetsError
from shrinknets._space import Range, search_space, widened
from shrinknets.frontier import best

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class NoOptunaError(ShrinkNetsError):
    """Studies can only be made and read with Optuna."""

    def __init__(self) -> None:
        super().__init__(
            "studies need Optuna 5, which is not installed here: "
            "run `pip install 'shrinknets[optuna]'`"
        )


class StudyError(ShrinkNetsError):
    """The study is not there, is there already, or its storage cannot be used."""


def build_study(
    job: wire.Job,
    method: wire.Method,
    trials: Iterable[wire.Trial],
    networks: Iterable[wire.Network],
    curves: dict[str, list[tuple[int, float]]],
    *,
    with_size: bool,
) -> optuna.Study:
    """Make a study in memory of the trials of one method, in the order of their numbers.

    Args:
        job: whose trials they are.
        method: the others' trials are left out.
        trials: of the job.
        networks: of the job.
        curves: of each trial by its id, the step and the validation accuracy of each epoch.
        with_size: make the number of parameters a second objective.

    Raises:
        NoOptunaError: Optuna is not installed here.
    """
    module = load_optuna()
    mine = sorted((t for t in trials if t.method is method), key=lambda t: t.number)
    found: dict[str, list[wire.Network]] = {}
    for network in networks:
        found.setdefault(network.trial_id, []).append(network)
    space = widened(search_space(job.spec, method), [trial.params for trial in mine])
    distributions = {name: _distribution(limits) for name, limits in space.items()}
    with _quiet(module):
        study: optuna.Study = module.create_study(
            study_name=f"{job.id}-{method.value}",
            directions=["maximize", "minimize"] if with_size else ["maximize"],
        )
        study.set_metric_names(["validation accuracy", *(["parameters"] if with_size else [])])
    for name, value in _about(job, method).items():
        study.set_user_attr(name, value)
    for trial in mine:
        chosen = best(found.get(trial.id, []))
        curve = curves.get(trial.id, [])
        study.add_trial(_frozen(trial, chosen, curve, distributions, with_size=with_size))
    return study


def export_studies(studies: Iterable[optuna.Study], url: str, *, overwrite: bool) -> list[str]:
    """Write studies to a storage of Optuna's; returns their names there.

    Args:
        studies: as `build_study` makes them.
        url: such as `sqlite:///x.db`; other studies in it stay as they are.
        overwrite: replace those that have the same names.

    Raises:
        StudyError: one of that name is there, or the storage cannot be used.
    """
    checked_url(url)
    from shrinknets import _study_storage  # noqa: PLC0415 - Optuna may not be installed

    return _study_storage.write(list(studies), url, overwrite=overwrite)


def study_points(url: str, name: str | None = None) -> list[wire.Params]:
    """Return the parameters of a study's complete trials, the best first, each once.

    Args:
        url: of the storage, such as `sqlite:///x.db`.
        name: of the study; may be left out where it is the only one.

    Raises:
        NoOptunaError: Optuna is not installed here.
        StudyError: there is no such study or storage.
    """
    _require_file(checked_url(url))
    from shrinknets import _study_storage  # noqa: PLC0415 - Optuna may not be installed

    study = _study_storage.read(url, name)
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    # By the first objective; the sign turns it round where it is to be large.
    sign = -1.0 if study.directions[0].name == "MAXIMIZE" else 1.0
    complete.sort(key=lambda trial: sign * trial.values[0])
    points = {json.dumps(t.params, sort_keys=True, default=str): dict(t.params) for t in complete}
    return list(points.values())


def load_optuna() -> Any:
    """Import Optuna. Raises NoOptunaError."""
    try:
        import optuna  # noqa: PLC0415 - most users of the client have no Optuna
    except ImportError as error:
        raise NoOptunaError from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Making a study is no news for who asked for it, nor that names of metrics are new."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def checked_url(url: str) -> str:
    """Return the address of a storage. Raises NoOptunaError, StudyError."""
    load_optuna()
    if "://" not in url:
        raise StudyError(f"{url!r} is no address of a storage: write a file as sqlite:///{url}")
    return url


def _require_file(url: str) -> None:
    """SQLite would make an empty one."""
    scheme, _, path = url.partition(":///")
    if scheme.startswith("sqlite") and not Path(path).is_file():
        raise StudyError(f"there is no file {path}, and so no study at {url}")


def _distribution(limits: Range) -> BaseDistribution:
    distributions = load_optuna().distributions
    if limits.is_whole:
        low, high = int(limits.low), int(limits.high)
        found = distributions.IntDistribution(low, high, log=limits.is_log)
    else:
        found = distributions.FloatDistribution(limits.low, limits.high, log=limits.is_log)
    return found  # type: ignore[no-any-return]


def _about(job: wire.Job, method: wire.Method) -> dict[str, Any]:
    return {
        "job": job.id,
        "name": job.name,
        "dataset": job.spec.dataset,
        "method": method.value,
        "seed": job.spec.seed,
    }


def _frozen(
    trial: wire.Trial,
    network: wire.Network | None,
    curve: Sequence[tuple[int, float]],
    distributions: dict[str, BaseDistribution],
    *,
    with_size: bool,
) -> FrozenTrial:
    optuna = load_optuna()
    state, values = _state(trial), None
    if state == "COMPLETE":
        values = [trial.validation_accuracy, *([trial.parameters] if with_size else [])]
    params = {name: value for name, value in trial.params.items() if name in distributions}
    return optuna.trial.FrozenTrial(  # type: ignore[no-any-return]
        number=trial.number,
        trial_id=trial.number,
        state=optuna.trial.TrialState[state],
        value=None,
        values=values,
        datetime_start=None if state == "WAITING" else _local(trial.started_at or trial.created_at),
        datetime_complete=_local(trial.ended_at) if trial.ended_at is not None else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=_attributes(trial, network),
        system_attrs={},
        intermediate_values=dict(curve),
    )


def _state(trial: wire.Trial) -> str:
    """Optuna's word; the service's own is a user attribute."""
    match trial.state:
        case wire.TrialState.COMPLETE if trial.validation_accuracy is not None:
            return "COMPLETE"
        case wire.TrialState.PRUNED | wire.TrialState.INFEASIBLE:
            # What collapsed is no solution, and its epochs still tell something.
            return "PRUNED"
        case wire.TrialState.WAITING:
            return "WAITING"
        case wire.TrialState.RUNNING:
            return "RUNNING"
        case _:
            return "FAIL"


def _attributes(trial: wire.Trial, network: wire.Network | None) -> dict[str, Any]:
    """Without the accuracy on the test rows, by which nobody is to choose."""
    others = {name: v for name, v in trial.params.items() if isinstance(v, str | list)}
    return {
        **others,
        "trial": trial.id,
        "state": trial.state.value,
        "reason": trial.reason,
        "seed": trial.seed,
        "epochs": trial.epochs,
        "train_seconds": trial.train_seconds,
        "widths": list(trial.widths),
        "parameters": trial.parameters,
        "macs": None if network is None else network.macs,
        "network": None if network is None else network.id,
    }


def _local(at: datetime) -> datetime:
    """Optuna's times have no zone, and are those of this machine."""
    return at.astimezone().replace(tzinfo=None)

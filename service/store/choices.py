"""The network that is chosen for a job: made once its search is over, read with what followed."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, select, update

from service.errors import LeaseLostError, NotFoundError
from service.store.clock import now
from service.store.datasets import require_dataset
from service.store.ids import digest
from service.store.jobs import get_row as get_job_row
from service.store.leases import get_attempt_row, hold_job
from service.store.networks import get_networks
from service.store.tables import jobs, networks, trials
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial
from shrinknets.choice import Candidate, Verdict, choose
from shrinknets.splits import validation_rows
from shrinknets.wire import (
    AttemptState,
    Chosen,
    JobSpec,
    Method,
    Network,
    Retrained,
    Spread,
)

_SEARCH = [method for method in Method if method.is_search]


def make_choice(tx: Writing, job_id: str, token: str) -> Chosen | None:
    """Choose a job's network among those that there are, and keep the choice.

    None where there is none. Made again it is the same, as long as the search has found nothing
    new. Raises NotFoundError, LeaseLostError.
    """
    row = hold_job(tx, job_id, token)
    verdict = _judge(tx, row)
    if verdict is None:
        return None
    chosen = asdict(verdict)
    if row.choice != chosen:
        changed = update(jobs).where(jobs.c.id == job_id)
        tx.connection.execute(changed.values(choice=chosen, chosen_at=now()))
        tx.tell("job", job_id=job_id)
    return read_choice(tx, job_id)


def read_choice(tx: Reading, job_id: str) -> Chosen:
    """The choice that was made, or the one that would be made now.

    Raises NotFoundError, also where the job has no network.
    """
    found = find_choice(tx, job_id)
    if found is None:
        raise NotFoundError("network of job", job_id)
    return found


def find_choice(tx: Reading, job_id: str) -> Chosen | None:
    """The same; None where the job has no network. Raises NotFoundError."""
    row = get_job_row(tx, job_id)
    if row.choice is not None and (made := _build(tx, row, Verdict(**row.choice), row.chosen_at)):
        return made
    verdict = _judge(tx, row)
    return None if verdict is None else _build(tx, row, verdict, None)


def get_start_file(tx: Reading, attempt_id: str, token: str) -> str:
    """The SHA-256 of the network that an attempt's trial starts from.

    Raises NotFoundError, also where it starts from none, and LeaseLostError.
    """
    row = get_attempt_row(tx, attempt_id)
    if row.token_digest != digest(token) or row.state is not AttemptState.RUNNING:
        raise LeaseLostError("attempt", attempt_id)
    named = get_trial(tx, row.trial_id).params.get("network")
    # Of its own job: the trial's parameters are what a worker said.
    query = select(networks.c.weights_sha256).where(
        networks.c.id == str(named), networks.c.job_id == row.job_id
    )
    sha256 = tx.connection.execute(query).scalar_one_or_none()
    if sha256 is None:
        raise NotFoundError("network to start from for attempt", attempt_id)
    return str(sha256)


def _judge(tx: Reading, job: Row[Any]) -> Verdict | None:
    spec = JobSpec.model_validate(job.spec)
    # The columns are named: accuracy on the test rows is not even read.
    query = (
        select(
            networks.c.id,
            networks.c.parameters,
            networks.c.macs,
            networks.c.latency_ms,
            networks.c.validation_accuracy,
        )
        .join(trials, trials.c.id == networks.c.trial_id)
        .where(networks.c.job_id == job.id, trials.c.method.in_(_SEARCH))
        .order_by(networks.c.seq)
    )
    candidates = [Candidate(**row._asdict()) for row in tx.connection.execute(query)]
    data = require_dataset(tx, spec.dataset)
    rows = validation_rows(data.rows, has_test_rows=data.test_rows is not None)
    return choose(candidates, spec.choice, validation_rows=rows, limits=spec.constraints)


def _build(tx: Reading, job: Row[Any], verdict: Verdict, made_at: Any) -> Chosen | None:
    """None where the chosen network is no longer there: its trial is tried again."""
    later = _ids_of_later(tx, job.id, verdict.id)
    found = get_networks(tx, [verdict.id, verdict.most_accurate_id, *later])
    if verdict.id not in found or verdict.most_accurate_id not in found:
        return None
    network = found[verdict.id]
    after = [found[network_id] for network_id in later]
    tuned = [one for one in after if one.method is Method.FINE_TUNE]
    return Chosen(
        job_id=job.id,
        rule=JobSpec.model_validate(job.spec).choice,
        network=network,
        reason=verdict.reason,
        is_feasible=verdict.is_feasible,
        num_candidates=verdict.num_candidates,
        most_accurate=found[verdict.most_accurate_id],
        validation_rows=verdict.validation_rows,
        standard_error=verdict.standard_error,
        made_at=made_at,
        retrained=_retrained([one for one in after if one.method is Method.RETRAIN]),
        fine_tuned=tuned[0] if tuned else None,
        # `max` keeps the first of equals.
        final=max([network, *tuned], key=lambda one: one.validation_accuracy),
    )


def _ids_of_later(tx: Reading, job_id: str, chosen_id: str) -> list[str]:
    """The networks that were trained after the choice, from the chosen one."""
    query = (
        select(networks.c.id)
        .join(trials, trials.c.id == networks.c.trial_id)
        .where(
            networks.c.job_id == job_id,
            trials.c.method.not_in(_SEARCH),
            trials.c.params["network"].as_string() == chosen_id,
        )
        .order_by(networks.c.seq)
    )
    return list(tx.connection.execute(query).scalars())


def _retrained(several: Sequence[Network]) -> Retrained | None:
    if not several:
        return None
    return Retrained(
        n=len(several),
        validation_accuracy=_spread([one.validation_accuracy for one in several]),
        test_accuracy=_spread([one.test_accuracy for one in several]),
    )


def _spread(values: Sequence[float]) -> Spread:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=statistics.fmean(values), std=std)

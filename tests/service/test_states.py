"""Only the legal moves of jobs, trials and attempts can be made."""

from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from service.store import Store, Writing, jobs
from service.store.clock import now
from service.store.states import (
    ATTEMPTS,
    JOBS,
    TRIALS,
    IllegalMoveError,
    Machine,
    move,
)
from service.store.tables import attempts as attempts_table
from service.store.tables import trials as trials_table
from shrinknets.wire import AttemptState, JobSpec, JobState, Method, TrialState
from tests.service.actors import spec

LEGAL = {
    "job": {
        ("queued", "running"),
        ("queued", "paused"),
        ("queued", "cancelled"),
        ("running", "queued"),
        ("running", "paused"),
        ("running", "succeeded"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("paused", "queued"),
        ("paused", "cancelled"),
        ("succeeded", "queued"),
        ("failed", "queued"),
    },
    "trial": {
        ("waiting", "running"),
        ("waiting", "cancelled"),
        ("running", "waiting"),
        ("running", "complete"),
        ("running", "pruned"),
        ("running", "failed"),
        ("running", "infeasible"),
        ("running", "cancelled"),
        ("failed", "waiting"),
        ("cancelled", "waiting"),
    },
    "attempt": {("running", "ended"), ("running", "lost")},
}
MACHINES: dict[str, tuple[Machine, type[StrEnum]]] = {
    "job": (JOBS, JobState),
    "trial": (TRIALS, TrialState),
    "attempt": (ATTEMPTS, AttemptState),
}
ALL_STATES = [
    pytest.param(kind, before, id=f"{kind}-{before}")
    for kind, (_, states) in MACHINES.items()
    for before in states
]


def _one_of_each(tx: Writing) -> dict[str, str]:
    job = jobs.create_job(tx, JobSpec.model_validate(spec()))
    common: dict[str, Any] = {"job_id": job.id, "reason": ""}
    tx.connection.execute(
        insert(trials_table).values(
            id="trial-1", method=Method.PATH, number=0, state=TrialState.WAITING, params={}, seed=1,
            epochs=0, train_seconds=0, widths=[], created_at=now(), **common,
        )
    )  # fmt: skip
    tx.connection.execute(
        insert(attempts_table).values(
            id="attempt-1", trial_id="trial-1", state=AttemptState.RUNNING, token_digest="0",
            lease_expires_at=now(), started_at=now(), **common,
        )
    )  # fmt: skip
    return {"job": job.id, "trial": "trial-1", "attempt": "attempt-1"}


@pytest.mark.parametrize(("kind", "before"), ALL_STATES)
def test_a_move_is_made_if_and_only_if_it_is_legal(
    store: Store, kind: str, before: StrEnum
) -> None:
    machine, states = MACHINES[kind]
    with store.writing() as tx:
        is_it = machine.table.c.id == _one_of_each(tx)[kind]
    for after in states:
        with store.writing() as tx:
            tx.connection.execute(update(machine.table).where(is_it).values(state=before))
            if (before, after) in LEGAL[kind]:
                assert len(move(tx, machine, is_it, before=before, after=after)) == 1
                expected = after
            else:
                with pytest.raises(IllegalMoveError, match=f"No {kind} can move from {before}"):
                    move(tx, machine, is_it, before=before, after=after)
                expected = before
            state = tx.connection.execute(select(machine.table.c.state).where(is_it)).scalar_one()
            assert state == expected


def test_a_move_from_a_state_that_was_left_changes_nothing(store: Store) -> None:
    with store.writing() as tx:
        job_id = jobs.create_job(tx, JobSpec.model_validate(spec())).id
        is_it = JOBS.table.c.id == job_id
        assert move(tx, JOBS, is_it, before=JobState.QUEUED, after=JobState.CANCELLED)
        assert not move(tx, JOBS, is_it, before=JobState.QUEUED, after=JobState.RUNNING)
        assert jobs.get_job(tx, job_id).state is JobState.CANCELLED

"""Curves for drawing are thinned in the database."""

import pytest

from service.store import Store, claims, jobs, records, trials
from shrinknets.wire import JobSpec, Method, Record, TrialRequest
from tests.service.actors import record, spec


@pytest.fixture
def trial_ids(store: Store) -> list[str]:
    """Three trials with 250, 7 and no records."""
    with store.writing() as tx:
        jobs.create_job(tx, JobSpec.model_validate(spec()))
        held = claims.claim_job(tx, worker="w", lease_seconds=60)
        assert held is not None
        ids = []
        for number, length in enumerate((250, 7, 0)):
            request = TrialRequest(method=Method.PATH, number=number, params={}, seed=1)
            trial, _ = trials.create_trial(tx, held.job.id, held.token, request)
            ids.append(trial.id)
            if length:
                steps = range(1, length + 1)
                records.add_records(tx, trial.id, [Record.model_validate(record(s)) for s in steps])
    return ids


def test_a_long_curve_keeps_its_ends_and_about_as_many_points_as_wished(
    store: Store, trial_ids: list[str]
) -> None:
    with store.reading() as tx:
        curves = records.read_alive_units(tx, trial_ids, points=50)
    epochs = [epoch for epoch, _ in curves[trial_ids[0]]]
    assert (epochs[0], epochs[-1], len(epochs)) == (1, 250, 51)
    assert epochs == sorted(epochs)


def test_a_short_curve_is_whole_and_an_empty_one_left_out(
    store: Store, trial_ids: list[str]
) -> None:
    with store.reading() as tx:
        curves = records.read_alive_units(tx, trial_ids, points=50)
    assert curves[trial_ids[1]] == [(step, 100 - step + 7) for step in range(1, 8)]
    assert trial_ids[2] not in curves

"""Jobs that retrain and fine-tune what they chose, with real services, workers and training."""

import sys
from collections.abc import Callable

import pytest

from shrinknets.wire import (
    ChoiceRule,
    ChoiceSpec,
    Chosen,
    FixedSearch,
    JobSpec,
    JobState,
    Method,
    Methods,
    PathRun,
    TrialState,
)
from tests.worker.real_processes import RealService, RealWorker, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

MakeSpec = Callable[..., JobSpec]
RULE = ChoiceSpec(
    rule=ChoiceRule.ONE_STANDARD_ERROR, retrain=True, retrain_seeds=2, fine_tune_epochs=3
)
SEARCH = Methods(path=PathRun(trials=1), fixed=FixedSearch(trials=2))


def choice_of(service: RealService, job_id: str) -> Chosen:
    answer = service.http.get(f"/jobs/{job_id}/choice").raise_for_status()
    return Chosen.model_validate_json(answer.content)


def num_complete(service: RealService, job_id: str) -> int:
    return sum(trial.state is TrialState.COMPLETE for trial in service.list_trials(job_id))


def test_the_chosen_network_is_retrained_and_fine_tuned_at_the_end_of_its_job(
    real_service: RealService, start_worker: Callable[..., RealWorker], make_spec: MakeSpec
) -> None:
    spec = make_spec(methods=SEARCH, choice=RULE, training={"epochs": 20, "batch_size": 64})
    job_id = real_service.submit(spec)
    start_worker()
    job = real_service.wait_until_final(job_id, seconds=240)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "")
    assert job.progress.ended == job.progress.total == 6
    chosen = choice_of(real_service, job_id)
    assert chosen.made_at is not None
    assert chosen.retrained is not None
    assert chosen.retrained.n == 2
    assert chosen.fine_tuned is not None
    assert chosen.fine_tuned.widths == chosen.network.widths
    trials = real_service.list_trials(job_id)
    late = [trial for trial in trials if not trial.method.is_search]
    assert sorted((trial.method, trial.number) for trial in late) == [
        (Method.FINE_TUNE, 0),
        (Method.RETRAIN, 0),
        (Method.RETRAIN, 1),
    ]
    search_ended = [trial.ended_at for trial in trials if trial.method.is_search]
    for trial in late:
        assert trial.state is TrialState.COMPLETE, trial.reason
        assert trial.widths == chosen.network.widths
        assert trial.params["network"] == chosen.network.id
        assert trial.created_at >= chosen.made_at
        assert all(ended is not None and ended <= trial.created_at for ended in search_ended)
    # What was trained on is far better after three epochs than what began anew.
    tuned = next(trial for trial in late if trial.method is Method.FINE_TUNE)
    assert tuned.epochs == 3
    assert tuned.validation_accuracy is not None
    assert tuned.validation_accuracy > chosen.network.validation_accuracy - 0.03


def test_a_worker_that_is_killed_while_it_retrains_is_replaced_and_nothing_is_trained_twice(
    real_service: RealService, start_worker: Callable[..., RealWorker], make_spec: MakeSpec
) -> None:
    choice = ChoiceSpec(retrain=True, retrain_seeds=3, retrain_epochs=100)
    spec = make_spec(methods=Methods(fixed=FixedSearch(trials=1)), choice=choice)
    job_id = real_service.submit(spec)
    first = start_worker("--slots", "1")
    wait_for(lambda: num_complete(real_service, job_id) >= 2, seconds=180)
    first.kill()
    before = {trial.id: trial for trial in real_service.list_trials(job_id)}
    start_worker("--slots", "2")
    assert real_service.wait_until_final(job_id, seconds=240).state is JobState.SUCCEEDED
    trials = real_service.list_trials(job_id)
    assert [(trial.method, trial.number) for trial in trials] == [
        (Method.FIXED, 0),
        (Method.RETRAIN, 0),
        (Method.RETRAIN, 1),
        (Method.RETRAIN, 2),
    ]
    for trial in trials:
        assert trial.state is TrialState.COMPLETE, trial.reason
        if (known := before.get(trial.id)) and known.state.is_final:
            assert trial == known
    chosen = choice_of(real_service, job_id)
    assert chosen.retrained is not None
    assert chosen.retrained.n == 3

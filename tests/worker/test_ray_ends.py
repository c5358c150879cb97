"""What the states of Ray's jobs come to."""

from typing import Any

import pytest

from worker.engines.ray_board import Attempt, Board, Phase
from worker.engines.ray_ends import end_of
from worker.engines.ray_jobs import RayJob, RayStatus, Submission
from worker.trial.environment import TrialEnvironment


def job(status: RayStatus, **changes: Any) -> RayJob:
    fields: dict[str, Any] = {
        "id": "attempt-1",
        "engine": "engine",
        "service": "http://service",
        "token": "token",
        "node_id": "node",
        "exit_code": None,
        "error_type": None,
        "message": "",
    }
    return RayJob(**{**fields, **changes}, status=status)


def attempt(name: str) -> Attempt:
    submission = Submission(
        id=name, entrypoint="true", variables={}, metadata={}, cpus=1, gpus=1, resources={}
    )
    return Attempt(submission, "token")


def test_an_exit_code_is_that_of_the_command() -> None:
    assert end_of(job(RayStatus.SUCCEEDED), was_told_to_stop=False).exit_code == 0
    end = end_of(job(RayStatus.FAILED, exit_code=-9), was_told_to_stop=False)
    assert (end.exit_code, end.has_run) == (-9, True)
    assert end.reason == "its process was killed by SIGKILL, perhaps because memory ran out"


def test_what_nobody_saw_end_is_lost_with_what_ray_says() -> None:
    died = job(RayStatus.FAILED, error_type="JOB_SUPERVISOR_ACTOR_DIED", message="node died\n")
    end = end_of(died, was_told_to_stop=False)
    assert (end.exit_code, end.has_run) == (None, True)
    assert end.reason == "the Ray cluster lost it: node died"


@pytest.mark.parametrize(
    "error", ["JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE"]
)
def test_what_ray_never_started_says_nothing_of_the_trial(error: str) -> None:
    assert not end_of(job(RayStatus.FAILED, error_type=error), was_told_to_stop=False).has_run


def test_a_stop_by_somebody_else_is_a_loss() -> None:
    assert end_of(job(RayStatus.STOPPED), was_told_to_stop=True).exit_code == -15
    assert end_of(job(RayStatus.STOPPED), was_told_to_stop=False).exit_code is None


def test_there_is_no_room_while_the_cluster_is_unseen_or_something_waits_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board()
    assert not board.has_room
    board.set_seen(True)
    assert board.has_room
    waiting = attempt("attempt-1")
    board.add(waiting)
    assert board.has_room
    waiting.phase, waiting.submitted_at = Phase.SUBMITTED, -1e6
    assert not board.has_room
    waiting.is_pending = False
    assert board.has_room
    board.set_seen(True, num_given_up=1)
    assert not board.has_room


def test_a_trial_started_by_ray_finds_its_token_in_the_metadata_of_its_job() -> None:
    variables = {
        "SHRINKNETS_URL": "http://service",
        "SHRINKNETS_ATTEMPT": "attempt-1",
        "RAY_JOB_CONFIG_JSON_ENV_VAR": '{"metadata": {"shrinknets_token": "from ray"}}',
    }
    assert TrialEnvironment.read(variables).token == "from ray"
    # Trials of the local engine of a worker that itself runs as a job of Ray.
    assert TrialEnvironment.read(variables | {"SHRINKNETS_TOKEN": "own"}).token == "own"

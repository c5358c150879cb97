"""Checkpoints: two are kept, a new attempt goes on from them, and nothing of them stays behind."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service import Settings, collect_garbage
from service.artifacts import Artifacts
from service.store import Store, jobs
from shrinknets.wire import LEASE_HEADER
from tests.service.actors import WorkerActor, network, ok, problem, record, sha256


class Trainer:
    """The process of one attempt."""

    def __init__(self, worker: WorkerActor, attempt: dict[str, Any]) -> None:
        self.worker = worker
        self.attempt = attempt

    def train(self, first: int, last: int) -> None:
        records = (record(step) for step in range(first, last + 1))
        ok(self.worker.report(self.attempt, *records))

    def check_point(self, step: int, content: bytes, *files: bytes) -> httpx.Response:
        for one in (content, *files):
            ok(self.worker.upload(self.attempt, one))
        body = {"step": step, "sha256": sha256(content), "files": [sha256(f) for f in files]}
        path = f"/attempts/{self.attempt['id']}/checkpoints"
        return self.worker.post(path, self.attempt["token"], body)

    def resume(self, step: int) -> httpx.Response:
        path = f"/attempts/{self.attempt['id']}/resume"
        return self.worker.post(path, self.attempt["token"], {"step": step})

    def listed(self) -> list[tuple[int, str]]:
        found = ok(self.worker.assignment(self.attempt))["checkpoints"]
        return [(one["step"], one["sha256"]) for one in found]

    def fetch(self, content: bytes) -> httpx.Response:
        path = f"/api/v1/worker/attempts/{self.attempt['id']}/files/{sha256(content)}"
        return self.worker.client.get(path, headers={LEASE_HEADER: self.attempt["token"]})

    def give_back(self) -> None:
        ok(self.worker.end(self.attempt, "waiting", reason="paused"))

    def steps(self) -> list[int]:
        path = f"/api/v1/trials/{self.attempt['trial']['id']}/epochs"
        return [one["step"] for one in ok(self.worker.client.get(path))["items"]]


@pytest.fixture
def trainer(worker: WorkerActor) -> Trainer:
    worker.submit()
    worker.claim()
    return Trainer(worker, worker.begin())


@pytest.fixture
def files(settings: Settings) -> Artifacts:
    return Artifacts(settings.artifacts_url)


def another(trainer: Trainer) -> Trainer:
    trainer.give_back()
    trial_id = trainer.attempt["trial"]["id"]
    return Trainer(trainer.worker, ok(trainer.worker.start(trial_id)))


def test_an_attempt_hears_of_the_two_newest_and_the_third_is_deleted(
    trainer: Trainer, files: Artifacts
) -> None:
    assert trainer.listed() == []
    trainer.train(1, 9)
    for step in (3, 6, 9):
        assert trainer.check_point(step, b"at %d" % step).status_code == httpx.codes.CREATED
    assert not files.has(sha256(b"at 3"))
    heir = another(trainer)
    assert heir.listed() == [(9, sha256(b"at 9")), (6, sha256(b"at 6"))]
    assert heir.fetch(b"at 9").content == b"at 9"
    assert heir.fetch(b"at 6").content == b"at 6"


def test_records_beyond_the_newest_checkpoint_are_forgotten_and_earlier_ones_stay(
    trainer: Trainer,
) -> None:
    trainer.train(1, 12)
    ok(trainer.check_point(6, b"at 6"))
    ok(trainer.check_point(9, b"at 9"))
    heir = another(trainer)
    assert heir.steps() == list(range(1, 10))
    trial = heir.attempt["trial"]
    assert (trial["epochs"], trial["widths"], trial["state"]) == (9, [91, 7], "running")
    ok(heir.resume(9))
    heir.train(10, 12)
    assert heir.steps() == list(range(1, 13))


def test_an_attempt_that_takes_the_older_one_or_none_says_so(trainer: Trainer) -> None:
    trainer.train(1, 12)
    ok(trainer.check_point(6, b"at 6"))
    ok(trainer.check_point(9, b"at 9"))
    second = another(trainer)
    ok(second.resume(6))
    assert second.listed() == [(6, sha256(b"at 6"))]
    assert second.steps() == list(range(1, 7))
    third = another(second)
    ok(third.resume(0))
    assert third.listed() == []
    assert third.steps() == []
    trial = ok(third.worker.assignment(third.attempt))["trial"]
    assert (trial["epochs"], trial["validation_accuracy"], trial["widths"]) == (0, None, [])
    refusal = problem(third.resume(6), 422)
    assert refusal["errors"][0]["field"] == "step"


def test_without_a_checkpoint_a_trial_begins_anew(trainer: Trainer) -> None:
    trainer.train(1, 5)
    heir = another(trainer)
    assert heir.listed() == []
    assert heir.steps() == []


def test_a_checkpoint_before_its_records_or_its_files_is_refused(trainer: Trainer) -> None:
    trainer.train(1, 4)
    missing = problem(trainer.check_point(5, b"early"), 422)
    assert "4 were" in missing["errors"][0]["allowed"]
    ok(trainer.worker.report(trainer.attempt, record(6)))
    assert problem(trainer.check_point(6, b"with a gap"), 422)["errors"][0]["field"] == "step"
    path = f"/attempts/{trainer.attempt['id']}/checkpoints"
    body = {"step": 4, "sha256": sha256(b"never"), "files": [sha256(b"neither")]}
    refused = problem(trainer.worker.post(path, trainer.attempt["token"], body), 422)
    assert {error["field"] for error in refused["errors"]} <= {"sha256", "files.0"}
    assert trainer.listed() == []


def test_the_same_step_again_replaces_the_first(trainer: Trainer, files: Artifacts) -> None:
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"first"))
    ok(trainer.check_point(3, b"first"))
    assert trainer.listed() == [(3, sha256(b"first"))]
    assert files.has(sha256(b"first"))
    ok(trainer.check_point(3, b"second"))
    assert trainer.listed() == [(3, sha256(b"second"))]
    assert not files.has(sha256(b"first"))


@pytest.mark.parametrize("state", ["complete", "failed", "infeasible", "cancelled"])
def test_they_go_when_the_trial_ends(trainer: Trainer, files: Artifacts, state: str) -> None:
    trainer.train(1, 6)
    ok(trainer.check_point(3, b"at 3", b"a network"))
    ok(trainer.check_point(6, b"at 6", b"a network"))
    networks = [network(b"a network")] if state == "complete" else []
    ok(trainer.worker.end(trainer.attempt, state, networks=networks))
    assert not files.has(sha256(b"at 3"))
    assert not files.has(sha256(b"at 6"))
    assert files.has(sha256(b"a network")), "of networks only a collection disposes"


def test_they_go_when_the_job_is_cancelled_or_ends_before_them(
    trainer: Trainer, files: Artifacts
) -> None:
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"at 3"))
    ok(trainer.worker.release("cancelled"))
    assert not files.has(sha256(b"at 3"))


def test_a_failed_trial_that_is_tried_again_begins_anew(trainer: Trainer) -> None:
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"at 3"))
    ok(trainer.worker.end(trainer.attempt, "failed"))
    ok(trainer.worker.release("failed"))
    ok(trainer.worker.client.post(f"/api/v1/jobs/{trainer.worker.job_id}/retry-failed"))
    trainer.worker.claim()
    heir = Trainer(trainer.worker, ok(trainer.worker.start(trainer.attempt["trial"]["id"])))
    assert heir.listed() == []
    assert heir.steps() == []


def test_a_paused_job_keeps_them_with_the_networks_whatever_is_collected(
    trainer: Trainer, settings: Settings, files: Artifacts
) -> None:
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"at 3", b"a network"))
    ok(trainer.worker.upload(trainer.attempt, b"of nobody"))
    ok(trainer.worker.release("paused"))
    at_once = settings.model_copy(update={"artifact_grace_hours": 0.0})
    collect_garbage(at_once)
    assert not files.has(sha256(b"of nobody"))
    assert files.has(sha256(b"at 3"))
    assert files.has(sha256(b"a network"))
    ok(trainer.worker.client.post(f"/api/v1/jobs/{trainer.worker.job_id}/resume"))
    trainer.worker.claim()
    heir = Trainer(trainer.worker, ok(trainer.worker.start(trainer.attempt["trial"]["id"])))
    assert heir.fetch(b"a network").content == b"a network"


def test_deleting_a_job_deletes_them(
    trainer: Trainer, settings: Settings, files: Artifacts
) -> None:
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"at 3", b"a network"))
    ok(trainer.worker.client.post(f"/api/v1/jobs/{trainer.worker.job_id}/pause"))
    ok(trainer.worker.release("paused"))
    assert trainer.worker.client.delete(f"/api/v1/jobs/{trainer.worker.job_id}").is_success
    assert not files.has(sha256(b"at 3"))
    assert not files.has(sha256(b"a network"))


def test_what_a_killed_service_left_is_collected(
    store: Store, settings: Settings, files: Artifacts, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    trainer = Trainer(worker, worker.begin())
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"at 3"))
    with store.writing() as tx:  # a store that tells nobody, as if the process ended here
        jobs.cancel_trials(tx, [worker.job_id], reason="")
    assert files.has(sha256(b"at 3"))
    collect_garbage(settings.model_copy(update={"artifact_grace_hours": 0.0}))
    assert not files.has(sha256(b"at 3"))


def test_others_get_nothing_of_it(trainer: Trainer) -> None:
    trainer.train(1, 3)
    ok(trainer.check_point(3, b"at 3"))
    ok(trainer.worker.upload(trainer.attempt, b"no checkpoint"))
    problem(trainer.fetch(b"no checkpoint"), 404)
    other = Trainer(trainer.worker, trainer.worker.begin(1))
    problem(other.fetch(b"at 3"), 404)
    another(trainer)
    problem(trainer.resume(3), 409)
    problem(trainer.fetch(b"at 3"), 409)


def test_a_damaged_one_is_told_and_the_other_still_comes(
    trainer: Trainer, settings: Settings
) -> None:
    trainer.train(1, 6)
    ok(trainer.check_point(3, b"at 3"))
    ok(trainer.check_point(6, b"at 6"))
    digest = sha256(b"at 6")
    stored: Path = settings.data_dir / "artifacts" / digest[:2] / digest[2:4] / digest
    stored.write_bytes(b"broken")
    heir = another(trainer)
    assert problem(heir.fetch(b"at 6"), 500)["type"] == "urn:shrinknets:problem:artifact-damaged"
    assert heir.fetch(b"at 3").content == b"at 3"

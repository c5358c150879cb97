"""What the client sends when it submits, lists, compares and steers, at the transport."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shrinknets import Client, ConflictError, Job, ServiceError, ServiceUnreachableError
from shrinknets import _transport as transport

JOB: dict[str, Any] = {
    "id": "job-1",
    "state": "queued",
    "reason": "",
    "name": "",
    "labels": {},
    "priority": 0,
    "spec": {"dataset": "digits", "methods": {"path": {}}},
    "progress": {
        "total": 1,
        "ended": 0,
        "running": 0,
        "best_validation_accuracy": None,
        "alive_units": None,
    },
    "created_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
    "started_at": None,
    "ended_at": None,
    "worker": None,
}


class Seen:
    """A service that notes what it is asked and answers as it is told, in turn."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else httpx.Response(200, json=JOB)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> Client:
        return Client("http://service", transport=httpx.MockTransport(self))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RETRY_SECONDS", 0)


def test_a_submission_whose_answer_is_lost_is_sent_again_with_the_same_key() -> None:
    seen = Seen(httpx.ReadTimeout("lost"), httpx.Response(503))
    with seen.client() as client:
        assert client.submit(dataset="digits").id == "job-1"
        client.submit(dataset="digits")
    keys = [request.headers["Idempotency-Key"] for request in seen.requests]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert len({request.content for request in seen.requests}) == 1


def test_a_submission_gives_up_after_three_tries() -> None:
    seen = Seen(*[httpx.ConnectError("away")] * 3)
    with seen.client() as client, pytest.raises(ServiceUnreachableError):
        client.submit(dataset="digits")
    assert len(seen.requests) == 3


@pytest.mark.parametrize(("status", "error"), [(409, ConflictError), (500, ServiceError)])
def test_a_refused_submission_is_not_sent_again(status: int, error: type[Exception]) -> None:
    seen = Seen(httpx.Response(status))
    with seen.client() as client, pytest.raises(error):
        client.submit(dataset="digits", idempotency_key="mine")
    (request,) = seen.requests
    assert request.headers["Idempotency-Key"] == "mine"


def test_labels_and_priority_go_with_the_job() -> None:
    seen = Seen()
    with seen.client() as client:
        client.submit(dataset="digits", name="n", labels={"team": "vision"}, priority=0)
    body = json.loads(seen.requests[0].content)
    assert (body["name"], body["labels"], body["priority"]) == ("n", {"team": "vision"}, 0)


def test_a_list_is_asked_for_with_its_filters() -> None:
    seen = Seen(httpx.Response(200, json={"items": [JOB], "next": None}))
    with seen.client() as client:
        jobs = list(client.jobs(state=["queued", "paused"], label="team:vision", sort="-ended"))
    assert [job.id for job in jobs] == ["job-1"]
    params = seen.requests[0].url.params
    assert params.get_list("state") == ["queued", "paused"]
    assert (params["label"], params["sort"]) == ("team:vision", "-ended")
    assert "text" not in params


def test_jobs_are_compared_by_id_or_as_they_are() -> None:
    seen = Seen(httpx.Response(200, json=JOB), httpx.Response(200, json={"jobs": []}))
    with seen.client() as client:
        assert client.compare(client.job("job-1"), "job-2").jobs == []
    assert seen.requests[1].url.params["ids"] == "job-1,job-2"


@pytest.mark.parametrize(
    ("act", "method", "path", "body"),
    [
        (Job.pause, "POST", "/pause", None),
        (Job.resume, "POST", "/resume", None),
        (Job.retry_failed, "POST", "/retry-failed", None),
        (lambda job: job.change(priority=3), "PATCH", "", {"priority": 3}),
        (lambda job: job.clone(seed=4), "POST", "/clone", {"seed": 4}),
        (Job.delete, "DELETE", "", None),
    ],
)
def test_a_job_is_steered_at_its_own_address(
    act: Callable[[Job], Any], method: str, path: str, body: Any
) -> None:
    seen = Seen()
    with seen.client() as client:
        act(client.job("job-1"))
    request = seen.requests[1]
    assert (request.method, request.url.path) == (method, f"/api/v1/jobs/job-1{path}")
    assert (json.loads(request.content) if request.content else None) == body

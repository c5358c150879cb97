"""Small factories for what clients send, and a worker that speaks the API step by step."""

import hashlib
from typing import Any

import httpx

from shrinknets.wire import LEASE_HEADER


def spec(**changes: Any) -> dict[str, Any]:
    return {"dataset": "digits", "methods": {"shrinknets": {"trials": 2}}, **changes}


def record(step: int, **changes: Any) -> dict[str, Any]:
    return {
        "step": step,
        "phase": "shrink",
        "train_loss": 1.0 / step,
        "validation_loss": 1.5 / step,
        "validation_accuracy": 0.5,
        "widths": [max(100 - step, 1), 7],
        "parameters": 1000 - step,
        "macs": 900,
        "lam": 0.01,
        "seconds": 0.25,
        **changes,
    }


def network(weights: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "widths": [12, 7],
        "hidden_units": 19,
        "parameters": 900,
        "macs": 800,
        "validation_accuracy": 0.9,
        "test_accuracy": 0.88,
        "step": 2,
        "lam": 0.01,
        "weights_sha256": sha256(weights),
        "weights_bytes": len(weights),
        **changes,
    }


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def ok(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def problem(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    return body


class WorkerActor:
    """Does what a worker and its trials do, one request at a time."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.token = ""
        self.job_id = ""

    def post(self, path: str, token: str, json: Any = None) -> httpx.Response:
        return self.client.post(f"/api/v1/worker{path}", json=json, headers={LEASE_HEADER: token})

    def submit(self, **changes: Any) -> str:
        return str(ok(self.client.post("/api/v1/jobs", json=spec(**changes)))["id"])

    def claim(self, name: str = "w1", families: Any = None) -> httpx.Response:
        body = {"worker": name, "families": families}
        response = self.client.post("/api/v1/worker/claim", json=body)
        if response.status_code == httpx.codes.OK:
            self.token, self.job_id = response.json()["token"], response.json()["job"]["id"]
        return response

    def renew(self) -> httpx.Response:
        return self.post(f"/jobs/{self.job_id}/renew", self.token)

    def release(self, state: str, reason: str = "") -> httpx.Response:
        end = {"state": state, "reason": reason}
        return self.post(f"/jobs/{self.job_id}/release", self.token, end)

    def announce(self, number: int = 0, **changes: Any) -> httpx.Response:
        request = {"method": "shrinknets", "number": number, "params": {"lam": 0.01}, "seed": 5}
        return self.post(f"/jobs/{self.job_id}/trials", self.token, {**request, **changes})

    def start(self, trial_id: str) -> httpx.Response:
        return self.post(f"/trials/{trial_id}/attempts", self.token)

    def begin(self, number: int = 0) -> dict[str, Any]:
        """Announce a trial and start its attempt; returns the attempt."""
        attempt: dict[str, Any] = ok(self.start(ok(self.announce(number))["id"]))
        return attempt

    def assignment(self, attempt: dict[str, Any]) -> httpx.Response:
        headers = {LEASE_HEADER: attempt["token"]}
        return self.client.get(f"/api/v1/worker/attempts/{attempt['id']}", headers=headers)

    def report(self, attempt: dict[str, Any], *records: Any) -> httpx.Response:
        path = f"/attempts/{attempt['id']}/records"
        return self.post(path, attempt["token"], {"records": list(records)})

    def upload(
        self, attempt: dict[str, Any], content: bytes, name: str | None = None
    ) -> httpx.Response:
        path = f"/api/v1/worker/artifacts/{name or sha256(content)}"
        return self.client.put(path, content=content, headers={LEASE_HEADER: attempt["token"]})

    def end(
        self, attempt: dict[str, Any], state: str = "complete", **changes: Any
    ) -> httpx.Response:
        path = f"/attempts/{attempt['id']}/end"
        return self.post(path, attempt["token"], {"state": state, **changes})

    def finish(self, number: int = 0, weights: bytes = b"weights") -> dict[str, Any]:
        """Run a whole trial; returns it."""
        attempt = self.begin(number)
        ok(self.upload(attempt, weights))
        end = {"records": [record(1), record(2)], "networks": [network(weights)]}
        trial: dict[str, Any] = ok(self.end(attempt, **end))
        return trial

"""The client shows its key, hides it, and says what to do where it is refused."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from shrinknets import Client, InvalidKeyError, NotAllowedError, NotAuthenticatedError, ServiceError
from tests.sdk.conftest import SMALL, Served

KEY = "sn_0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_key_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHRINKNETS_API_KEY", raising=False)


def shown_by(**options: Any) -> str | None:
    shown: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"items": [], "next": None})

    with Client("http://service", transport=httpx.MockTransport(handler), **options) as client:
        assert list(client.jobs()) == []
    return shown[0]


def refused_by(status: int, **options: Any) -> ServiceError:
    problem = {"type": "t", "title": "t", "status": status, "detail": "It needs the role admin."}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=problem))
    with (
        Client("http://service", transport=transport, **options) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.job("job-1")
    return caught.value


def test_the_key_is_shown_as_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_by() is None
    assert shown_by(api_key=f" {KEY}\n") == f"Bearer {KEY}"
    monkeypatch.setenv("SHRINKNETS_API_KEY", "sn_other")
    assert shown_by() == "Bearer sn_other"
    assert shown_by(api_key=KEY) == f"Bearer {KEY}"
    monkeypatch.setenv("SHRINKNETS_API_KEY", "")
    assert shown_by() is None


@pytest.mark.parametrize("key", ["", "two words", "sn_a\nb", "sn_ü", "Bearer sn_x"])
def test_what_cannot_be_a_key_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(InvalidKeyError, match="SHRINKNETS_API_KEY") as caught:
        Client("http://service", api_key=key)
    assert not key or key not in str(caught.value)


def test_a_refusal_says_what_to_do_and_never_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    without, wrong = refused_by(401), refused_by(401, api_key=KEY)
    assert isinstance(without, NotAuthenticatedError)
    assert "wants an API key: set SHRINKNETS_API_KEY" in str(without)
    assert "does not accept this API key" in str(wrong)
    assert "shrinknets keys create" in str(wrong)
    forbidden = refused_by(403, api_key=KEY)
    assert isinstance(forbidden, NotAllowedError)
    assert str(forbidden) == "It needs the role admin."
    for text in (str(wrong), repr(wrong), str(forbidden), caplog.text):
        assert KEY not in text


def test_the_key_is_not_part_of_how_a_client_looks() -> None:
    with Client("http://service", api_key=KEY) as client:
        assert repr(client) == "<Client http://service>"


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "shrinknets", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "SHRINKNETS_DATA_DIR": str(tmp_path), "COLUMNS": "160", **variables},
        )

    return run


@pytest.mark.slow
def test_keys_are_made_listed_and_revoked_from_the_command_line(run: Run) -> None:
    assert "no keys yet" in run("keys", "list").stdout
    made = run("keys", "create", "--role", "viewer", "--owner", "ada", "--name", "laptop")
    key = made.stdout.strip()
    assert key.startswith("sn_")
    assert "the only time" in made.stderr
    options = ("--role", "admin", "--owner", "bo", "--expires-in-days", "7", "--json")
    second = json.loads(run("keys", "create", *options).stdout)
    assert second["expires_at"] > second["created_at"]
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [(k["owner"], k["role"]) for k in listed] == [("ada", "viewer"), ("bo", "admin")]
    table = run("keys", "list").stdout
    assert listed[0]["id"] in table
    assert "laptop" in table
    for shown in (table, json.dumps(listed), made.stderr):
        assert key not in shown
        assert second["key"] not in shown
    assert "is revoked" in run("keys", "revoke", listed[0]["id"]).stdout
    assert "was already revoked" in run("keys", "revoke", listed[0]["id"]).stdout
    assert json.loads(run("keys", "list", "--json").stdout)[0]["revoked_at"] is not None
    trail = json.loads(run("keys", "audit", "--json").stdout)
    assert [entry["action"] for entry in trail] == ["key.revoke", "key.create", "key.create"]
    assert trail[0]["object"] == listed[0]["id"]
    assert trail[0]["owner"].startswith("cli:")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["create", "--role", "boss", "--owner", "ada"], 2, "'viewer', 'submitter', 'worker'"),
        (["create", "--role", "viewer"], 2, "--owner"),
        (["create", "--role", "viewer", "--owner", " "], 2, "name the person or the machine"),
        (["revoke", "key-none"], 1, "There is no key 'key-none'."),
        (["destroy"], 2, "destroy"),
        (["list", "--data-dir", "/dev/null/x"], 1, "Cannot make the data folder"),
    ],
)
def test_wrong_commands_are_told_in_words(
    run: Run, arguments: list[str], status: int, words: str
) -> None:
    answer = run("keys", *arguments)
    assert answer.returncode == status
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_the_worker_of_serve_goes_on_when_keys_are_asked_for(run: Run, tmp_path: Path) -> None:
    options = ("--role", "submitter", "--owner", "ada", "--json")
    key = json.loads(run("keys", "create", *options).stdout)["key"]
    served = Served(tmp_path)
    try:
        refused = run("list", "--url", served.url)
        assert refused.returncode == 1
        assert "wants an API key: set SHRINKNETS_API_KEY" in refused.stderr
        assert run("list", "--url", served.url, SHRINKNETS_API_KEY=key).returncode == 0
        with Client(served.url, api_key=key) as client:
            job = client.submit(dataset="wine", methods="fixed", widths=4, trials=1, training=SMALL)
            job.wait(progress=False, timeout_seconds=240)
        # Neither key is on a command line, where everybody on the machine could read it.
        assert all("sn_" not in " ".join(p.cmdline()) for p in served.family())
    finally:
        assert served.stop() == 0
    assert key not in served.log

"""Logging in to the dashboard, and what its cookie is not good for."""

import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from itsdangerous import URLSafeTimedSerializer

from service import Settings, create_app
from service.access import COOKIE, sessions
from service.store import Slice, Store, audit, keys
from shrinknets.wire import Outcome, Role
from tests.service.actors import ok, problem, spec
from tests.service.conftest import TestClient
from tests.service.guarded import Keys, log_in, make_keys

OWN = {"Origin": "http://testserver"}


@pytest.fixture
def made(store: Store) -> Keys:
    return make_keys(store)


@pytest.fixture
def guarded(made: Keys, client: TestClient) -> TestClient:
    """The service after the first keys were made."""
    return client


def test_a_reader_is_led_to_the_login_and_back(guarded: TestClient, made: Keys) -> None:
    asked = guarded.get("/jobs/job-0?a=1&b=2", follow_redirects=False)
    assert asked.status_code == 303
    assert asked.headers["location"] == "/login?next=/jobs/job-0%3Fa%3D1%26b%3D2"
    page = guarded.get(asked.headers["location"]).text
    assert 'name="next" value="/jobs/job-0?a=1&amp;b=2"' in page
    assert "Log out" not in page
    done = log_in(guarded, f" {made.by_role[Role.SUBMITTER]}\n", next="/jobs/job-0?a=1&b=2")
    assert (done.status_code, done.headers["location"]) == (303, "/jobs/job-0?a=1&b=2")
    assert "There is nothing here" in guarded.get("/jobs/job-0").text
    home = guarded.get("/").text
    assert "submitter&#39;s owner, submitter" in home
    assert guarded.get("/login", follow_redirects=False).headers["location"] == "/"


def test_the_cookie_is_for_this_site_and_no_script(guarded: TestClient, made: Keys) -> None:
    key = made.by_role[Role.VIEWER]
    cookie = log_in(guarded, key).headers["set-cookie"]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", "max-age=43200"} <= attributes
    assert "secure" not in attributes
    assert key not in cookie
    secure = TestClient(guarded.app, base_url="https://testserver")
    assert "; Secure" in log_in(secure, key).headers["set-cookie"]


def test_pages_figures_and_the_api_take_the_cookie(guarded: TestClient, made: Keys) -> None:
    log_in(guarded, made.by_role[Role.SUBMITTER])
    job_id = ok(guarded.post("/api/v1/jobs", json=spec(), headers=OWN))["id"]
    assert guarded.get(f"/jobs/{job_id}").status_code == 200
    ok(guarded.get(f"/jobs/{job_id}/figures/frontier.json"))
    assert "data-cancel" in guarded.get(f"/jobs/{job_id}").text
    log_in(guarded, made.by_role[Role.VIEWER])
    assert "data-cancel" not in guarded.get(f"/jobs/{job_id}").text
    refusal = problem(guarded.post(f"/api/v1/jobs/{job_id}/cancel", headers=OWN), 403)
    assert "needs the role submitter or admin" in refusal["detail"]


def test_logging_out_takes_the_cookie_away(guarded: TestClient, made: Keys) -> None:
    log_in(guarded, made.by_role[Role.VIEWER])
    assert COOKIE in guarded.cookies
    gone = guarded.post("/logout", headers=OWN, follow_redirects=False)
    assert gone.headers["location"] == "/login"
    assert COOKIE not in guarded.cookies
    problem(guarded.get("/api/v1/jobs"), 401)


def test_revoking_the_key_ends_the_session(
    guarded: TestClient,
    made: Keys,
    store: Store,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    log_in(guarded, made.by_role[Role.VIEWER])
    ok(guarded.get("/api/v1/jobs"))
    with store.writing() as tx:
        keys.revoke_key(tx, made.ids[Role.VIEWER])
    wait_until(lambda: guarded.get("/api/v1/jobs").status_code == 401, 5)
    assert guarded.get("/", follow_redirects=False).headers["location"] == "/login"


def test_a_changed_foreign_or_old_cookie_is_none(
    guarded: TestClient, made: Keys, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(guarded, made.by_role[Role.VIEWER])
    value = guarded.cookies[COOKIE]
    payload, _, rest = value.partition(".")
    foreign = URLSafeTimedSerializer("another secret", salt="session").dumps(made.ids[Role.ADMIN])
    unsigned = foreign.partition(".")[0] + "." + rest
    for forged in (value[:-2] + "xx", f"{payload}x.{rest}", foreign, unsigned, "", "x" * 5000):
        guarded.cookies.clear()
        guarded.cookies.set(COOKIE, forged, domain="testserver.local")
        problem(guarded.get("/api/v1/jobs"), 401)
    guarded.cookies.clear()
    guarded.cookies.set(COOKIE, value, domain="testserver.local")
    ok(guarded.get("/api/v1/jobs"))
    monkeypatch.setattr(sessions, "SESSION_SECONDS", -1)
    problem(guarded.get("/api/v1/jobs"), 401)


def test_the_secret_is_made_once_and_for_its_owner_alone(
    guarded: TestClient, made: Keys, settings: Settings
) -> None:
    log_in(guarded, made.by_role[Role.VIEWER])
    path = settings.data_dir / "session-secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) >= 32
    assert [p.name for p in settings.data_dir.iterdir() if "secret" in p.name] == [path.name]
    with TestClient(create_app(settings)) as restarted:
        restarted.cookies.update(guarded.cookies)
        ok(restarted.get("/api/v1/jobs"))


def test_an_empty_secret_is_not_used(tmp_path: Path, made: Keys, guarded: TestClient) -> None:
    (tmp_path / "session-secret").touch()
    problem(log_in(guarded, made.by_role[Role.VIEWER]), 503)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:8001"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_foreign_page_changes_nothing_by_the_cookie(
    guarded: TestClient, made: Keys, headers: dict[str, str]
) -> None:
    log_in(guarded, made.by_role[Role.ADMIN])
    for path in ("/api/v1/jobs", "/logout"):
        refusal = problem(guarded.post(path, json=spec(), headers=headers), 403)
        assert "does not come from a page of this service" in refusal["detail"]
    assert ok(guarded.get("/api/v1/jobs"))["items"] == []
    ok(guarded.get("/api/v1/jobs", headers=headers))
    key = made.header(Role.ADMIN)
    ok(guarded.post("/api/v1/jobs", json=spec(), headers={**headers, **key}))


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_foreign_page_changes_nothing_where_no_key_is_needed(client: TestClient) -> None:
    foreign = {"Origin": "http://evil.example"}
    problem(client.post("/api/v1/jobs", json=spec(), headers=foreign), 403)
    problem(client.post("/api/v1/worker/claim", json={"worker": "w"}, headers=foreign), 403)
    ok(client.post("/api/v1/jobs", json=spec(), headers=OWN))
    ok(client.post("/api/v1/jobs", json=spec()))


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_foreign_page_logs_nobody_in(guarded: TestClient, made: Keys) -> None:
    form = {"key": made.by_role[Role.ADMIN]}
    answer = guarded.post("/login", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
    ],
)
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_the_login_leads_nowhere_else(guarded: TestClient, made: Keys, target: str) -> None:
    done = log_in(guarded, made.by_role[Role.VIEWER], next=target)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    again = guarded.get("/login", params={"next": target}, follow_redirects=False)
    assert again.headers["location"] == "/"


def test_logins_are_kept_in_the_trail_and_secrets_nowhere(
    guarded: TestClient, made: Keys, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "sn_thisIsNoKeyOfThisService"
    failed = log_in(guarded, wrong)
    assert failed.status_code == 401
    assert wrong not in failed.text
    assert "This key is not valid here" in failed.text
    good = made.by_role[Role.VIEWER]
    log_in(guarded, good)
    with store.reading() as tx:
        second, first = audit.list_entries(tx, Slice()).items
    assert (first.action, first.outcome, first.key_id) == ("login", Outcome.FAILURE, None)
    assert (second.outcome, second.key_id) == (Outcome.SUCCESS, made.ids[Role.VIEWER])
    for place in (caplog.text, str(first), str(second), str(dict(failed.headers))):
        assert wrong not in place
        assert good not in place


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_key_in_a_bad_request_is_told_nowhere(
    guarded: TestClient, made: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = made.by_role[Role.SUBMITTER]
    headers = made.header(Role.SUBMITTER)
    for answer in (
        guarded.post("/api/v1/jobs", content="{", headers=headers),
        guarded.get("/api/v1/jobs?cursor=x", headers=headers),
        guarded.get("/api/v1/nothing", headers=headers),
        guarded.get("/api/v1/audit", headers=headers),
        guarded.get("/api/v1/jobs", headers={"Authorization": f"Bearer {key}x"}),
    ):
        assert answer.is_error
        assert key not in answer.text
    assert key not in caplog.text


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_many_failed_logins_are_refused_for_a_while(guarded: TestClient, made: Keys) -> None:
    answers = [log_in(guarded, f"sn_{number}") for number in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert log_in(guarded, made.by_role[Role.VIEWER]).status_code == 429


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_form_that_is_too_long_is_no_login(guarded: TestClient) -> None:
    answer = guarded.post("/login", content=b"key=" + b"x" * 100_000)
    assert answer.status_code == 401


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_without_keys_the_login_leads_on(client: TestClient) -> None:
    assert client.get("/login", follow_redirects=False).headers["location"] == "/"
    assert "Log out" not in client.get("/").text

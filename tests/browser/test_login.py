"""Logging in with a real browser, by keyboard, and what the page does when the session ends."""

from pathlib import Path

import pytest

from service.store import Store, keys
from shrinknets import Client
from shrinknets.wire import Role
from tests.browser.conftest import OpenPage
from tests.browser.test_dashboard import HAS_FIGURES, HAS_SUCCEEDED, OVERFLOW, expect_no_complaint
from tests.service.guarded import make_key
from tests.worker.real_processes import RealService, RealWorker

pytestmark = pytest.mark.slow

SMALL = {"epochs": 4, "batch_size": 128}


def test_a_reader_logs_in_watches_a_job_and_is_logged_out_with_the_key(
    service: RealService, open_page: OpenPage, tmp_path: Path, screenshots: Path
) -> None:
    with Store(service.database_url) as store:
        key_id, key = make_key(store, Role.SUBMITTER)
        _, worker_key = make_key(store, Role.WORKER)
        with Client(service.url, api_key=key) as client:
            job = client.submit(dataset="digits", methods=["shrinknets"], trials=1, training=SMALL)
        watched = open_page(f"{service.url}/jobs/{job.id}", color_scheme="dark")
        page = watched.page
        assert watched.texts("h1") == ["Log in"]
        assert page.get_by_label("API key").evaluate("key => key === document.activeElement")
        assert watched.page.evaluate(OVERFLOW) == 0
        page.screenshot(path=screenshots / "login-dark.png", full_page=True)
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        watched.wait_for("() => document.querySelector('.state .badge')")
        assert page.url == f"{service.url}/jobs/{job.id}"
        watched.mark()
        worker = RealWorker(service.url, tmp_path, "--once", api_key=worker_key)
        assert worker.process.wait(120) == 0, worker.log
        watched.wait_for(HAS_SUCCEEDED)
        watched.wait_for(HAS_FIGURES)
        assert watched.is_marked()
        expect_no_complaint(watched, service)

        page.goto(service.url)
        watched.wait_for("() => document.querySelector('table.jobs')")
        watched.mark()
        expect_no_complaint(watched, service)
        with store.writing() as tx:
            keys.revoke_key(tx, key_id)
        watched.wait_for("() => document.querySelector('h1').textContent === 'Log in'", seconds=60)


def test_a_wrong_key_is_told_and_the_right_one_logs_in_and_out(
    service: RealService, open_page: OpenPage, screenshots: Path
) -> None:
    with Store(service.database_url) as store:
        _, key = make_key(store, Role.SUBMITTER)
    watched = open_page(service.url, viewport={"width": 360, "height": 740})
    page = watched.page
    page.get_by_label("API key").fill("sn_wrong")
    page.get_by_role("button", name="Log in").click()
    assert "not valid here" in page.get_by_role("alert").inner_text()
    page.screenshot(path=screenshots / "login-phone.png", full_page=True)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    assert watched.texts("h1") == ["Jobs"]
    assert watched.page.evaluate(OVERFLOW) == 0
    with Client(service.url, api_key=key) as client:
        job = client.submit(dataset="wine", methods=["fixed"])
    page.goto(f"{service.url}/jobs/{job.id}")
    page.get_by_role("button", name="Cancel job").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    watched.wait_for("() => document.querySelector('.state .badge').textContent === 'cancelled'")
    page.get_by_role("button", name="Log out").click()
    assert watched.texts("h1") == ["Log in"]
    page.goto(f"{service.url}/docs")
    assert watched.texts("h1") == ["Log in"]
    # The only complaint is that of the wrong key.
    assert {c.partition(":")[0] for c in watched.complaints} <= {"401", "console error"}


def test_a_page_cannot_run_a_script_in_its_text(service: RealService, open_page: OpenPage) -> None:
    watched = open_page(service.url)
    watched.page.evaluate("""
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    """)
    assert watched.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in complaint for complaint in watched.complaints)


def test_the_description_of_the_api_works_under_the_policy(
    service: RealService, open_page: OpenPage, screenshots: Path
) -> None:
    watched = open_page(f"{service.url}/docs")
    watched.wait_for("() => document.querySelectorAll('.opblock').length > 10")
    watched.page.locator(".opblock-summary").first.click()
    watched.page.screenshot(path=screenshots / "api.png")
    expect_no_complaint(watched, service)

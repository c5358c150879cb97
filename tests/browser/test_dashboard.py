"""What people see, in a real browser, of a real service and a real worker."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shrinknets import Client
from tests.browser.conftest import OpenPage, WatchedPage
from tests.worker.real_processes import RealService, RealWorker

pytestmark = pytest.mark.slow

StartWorker = Callable[[], RealWorker]

SMALL = {"epochs": 12, "batch_size": 128}
METHODS = ["shrinknets", "path", "fixed", "fixed_l2"]
HAS_FIGURES = """
() => [...document.querySelectorAll("[data-figure]")].every(
  (figure) => figure.querySelectorAll(".trace").length > 0)
"""
HAS_SUCCEEDED = "() => document.querySelector('.state .badge').textContent === 'succeeded'"
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def expect_no_complaint(watched: WatchedPage, service: RealService) -> None:
    assert watched.complaints == []
    assert watched.hosts == {urlsplit(service.url).netloc}


def test_a_job_fills_its_page_until_it_has_succeeded(
    service: RealService,
    client: Client,
    start_worker: StartWorker,
    open_page: OpenPage,
    screenshots: Path,
) -> None:
    job = client.submit(
        dataset="digits", methods=METHODS, widths=[64, 32], trials=3, training=SMALL, name="digits"
    )
    watched = open_page(f"{service.url}/jobs/{job.id}")
    assert watched.texts(".state") == ["queued"]
    assert watched.page.locator("#trials-table").count() == 0
    watched.mark()
    start_worker()
    watched.wait_for("() => document.querySelectorAll('#trials-table tbody tr').length > 1")
    watched.wait_for(HAS_SUCCEEDED, seconds=120)
    watched.wait_for(HAS_FIGURES)

    assert watched.is_marked()
    assert watched.texts("header.job p.progress span") == ["10 of 10 trials ended"]
    assert len(watched.texts("#trials-table tbody tr")) == 10
    assert len(watched.texts("#frontier-table tbody tr")) == len(job.frontier())
    assert watched.page.title() == "digits: succeeded · ShrinkNets"
    expect_no_complaint(watched, service)
    watched.page.screenshot(path=screenshots / "job-light.png", full_page=True)


def test_a_finished_job_looks_right_in_the_dark_and_on_a_phone(
    service: RealService,
    client: Client,
    start_worker: StartWorker,
    open_page: OpenPage,
    screenshots: Path,
) -> None:
    start_worker()
    spec = {"widths": [64, 32], "trials": 3, "training": SMALL, "name": "A long name " * 8}
    job = client.submit(dataset="digits", methods=METHODS, **spec).wait(progress=False)
    size = {"width": 360, "height": 740}
    looks = {
        "dark": {"color_scheme": "dark"},
        "phone": {"is_mobile": True, "has_touch": True, "viewport": size, "screen": size},
    }
    for name, options in looks.items():
        for kind, path in {"job": f"/jobs/{job.id}", "list": "/"}.items():
            watched = open_page(f"{service.url}{path}", **options)
            watched.wait_for(HAS_FIGURES)
            assert watched.page.evaluate(OVERFLOW) == 0
            watched.page.screenshot(path=screenshots / f"{kind}-{name}.png", full_page=True)
            expect_no_complaint(watched, service)


def test_the_first_job_appears_on_the_list_by_itself(
    service: RealService, client: Client, open_page: OpenPage, screenshots: Path
) -> None:
    watched = open_page(service.url)
    assert watched.texts("h2") == ["No job yet"]
    watched.page.screenshot(path=screenshots / "list-empty.png", full_page=True)
    watched.mark()
    hostile = "<img src=x onerror=\"document.title='caught'\"><script>alert(1)</script>"
    client.submit(dataset="wine", methods=["fixed"], name=hostile)
    watched.wait_for("() => document.querySelectorAll('table.jobs tbody tr').length === 1")
    assert watched.texts("th.name a") == [hostile]
    assert watched.is_marked()
    assert watched.page.title() == "Jobs · ShrinkNets"
    expect_no_complaint(watched, service)


def test_a_job_is_cancelled_by_keyboard_after_being_asked(
    service: RealService, client: Client, open_page: OpenPage
) -> None:
    job = client.submit(dataset="wine", methods=["fixed"])
    watched = open_page(f"{service.url}/jobs/{job.id}")
    watched.mark()
    button = watched.page.get_by_role("button", name="Cancel job").first
    button.press("Enter")
    dialog = watched.page.get_by_role("dialog", name="Cancel this job?")
    watched.page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert job.reload().state == "queued"
    button.press("Enter")
    dialog.get_by_role("button", name="Cancel job").press("Enter")
    watched.wait_for("() => document.querySelector('.state .badge').textContent === 'cancelled'")
    assert job.reload().state == "cancelled"
    assert button.count() == 0
    assert watched.is_marked()
    expect_no_complaint(watched, service)


def test_rows_stay_sorted_and_in_place_while_trials_come_in(
    service: RealService, client: Client, start_worker: StartWorker, open_page: OpenPage
) -> None:
    job = client.submit(
        dataset="wine", methods=["fixed", "fixed_l2"], trials=12, training={"epochs": 10}
    )
    watched = open_page(f"{service.url}/jobs/{job.id}")
    start_worker()
    watched.wait_for("() => document.querySelectorAll('#trials-table tbody tr').length > 1")
    title = watched.page.locator("#trials-table").get_by_role("button", name="Parameters")
    title.press("Enter")
    title.press("Enter")
    assert watched.page.locator("#trials-table [aria-sort]").get_attribute("aria-sort") == (
        "descending"
    )
    watched.wait_for(HAS_SUCCEEDED, seconds=120)
    shown = [int(text.replace(",", "")) for text in watched.texts("#trials-table td:nth-child(7)")]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == 24
    assert title.evaluate("title => document.activeElement === title")
    expect_no_complaint(watched, service)


def test_a_page_tells_that_the_service_is_away_and_goes_on_when_it_is_back(
    service: RealService, client: Client, open_page: OpenPage
) -> None:
    job = client.submit(dataset="wine", methods=["fixed"])
    watched = open_page(f"{service.url}/jobs/{job.id}")
    watched.mark()
    service.kill()
    says = "() => document.querySelector('#connection').textContent"
    watched.wait_for(f"{says}.startsWith('Connection lost')")
    service.start()
    watched.wait_for(f"{says} === ''")
    client.job(job.id).cancel()
    watched.wait_for("() => document.querySelector('.state .badge').textContent === 'cancelled'")
    assert watched.is_marked()


def test_a_figure_offers_nothing_that_would_leave_this_machine(
    service: RealService, client: Client, open_page: OpenPage
) -> None:
    job = client.submit(dataset="wine", methods=["fixed"])
    watched = open_page(f"{service.url}/jobs/{job.id}")
    watched.wait_for("() => document.querySelectorAll('.modebar-btn').length > 0")
    buttons = watched.page.locator(".modebar-btn")
    titles = [buttons.nth(place).get_attribute("data-title") for place in range(buttons.count())]
    assert "Download plot as a PNG" in titles
    assert not [title for title in titles if title and "hare" in title]


def test_an_unknown_job_is_a_page_without_complaints(
    service: RealService, open_page: OpenPage
) -> None:
    watched = open_page(f"{service.url}/jobs/job-nothing")
    assert watched.texts("h1") == ["There is nothing here"]
    watched.page.get_by_role("link", name="See all jobs").click()
    assert watched.texts("h1") == ["Jobs"]
    assert [c for c in watched.complaints if "404" not in c] == []

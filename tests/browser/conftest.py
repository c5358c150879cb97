"""A real browser, and pages that note what went wrong in them."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from shrinknets import Client
from tests.worker.real_processes import RealService, RealWorker

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 900}

OpenPage = Callable[..., "WatchedPage"]


class WatchedPage:
    """A page, and all that a careful reader of the browser's tools would complain about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", lambda m: self.complaints.append(f"console {m.type}: {m.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda request: self._note_host(request.url))
        page.on("requestfailed", self._failed)
        page.on(
            "response",
            lambda r: r.status < 400 or self.complaints.append(f"{r.status}: {r.url}"),
        )

    def mark(self) -> None:
        """Leave a mark that a reload would wipe out."""
        self.page.evaluate("window.mark = 'here since the first load'")

    def is_marked(self) -> bool:
        return bool(self.page.evaluate("window.mark === 'here since the first load'"))

    def wait_for(self, expression: str, *, seconds: float = 30) -> None:
        self.page.wait_for_function(expression, timeout=seconds * 1000)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]

    def _note_host(self, url: str) -> None:
        # Figures that are saved as an image pass through addresses that lead nowhere.
        if urlsplit(url).scheme not in {"data", "blob"}:
            self.hosts.add(urlsplit(url).netloc)

    def _failed(self, request: Request) -> None:
        # A page that needs no more news hangs up.
        if not (request.failure == "net::ERR_ABORTED" and "/events" in request.url):
            self.complaints.append(f"{request.failure}: {request.url}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("These tests need Chromium: run `apt-get install chromium` first.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open an address in a window of its own."""
    contexts = []

    def open_(url: str, **options: Any) -> WatchedPage:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        watched = WatchedPage(page)
        page.goto(url)
        return watched

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RealService]:
    service = RealService(tmp_path)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture
def start_worker(service: RealService, tmp_path: Path) -> Iterator[Callable[[], RealWorker]]:
    workers = []

    def start() -> RealWorker:
        workers.append(RealWorker(service.url, tmp_path))
        return workers[-1]

    yield start
    for worker in workers:
        worker.process.terminate()
        worker.process.wait(60)


@pytest.fixture
def client(service: RealService) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture(scope="session")
def screenshots() -> Path:
    folder = Path(os.environ.get("SHRINKNETS_SCREENSHOTS") or Path(__file__).parent / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder

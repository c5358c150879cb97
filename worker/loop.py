"""The worker's life: claim a job, drive it, give it back, until it is told to stop."""

import contextlib
import logging
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from shrinknets import logs
from shrinknets.wire import Claim, ClaimRequest
from worker.driver import Driver
from worker.errors import LeaseLostError, NotAllowedError, ServiceError, ServiceUnreachableError
from worker.families import FamilyListing
from worker.leases import JobLease
from worker.means import Means, engine_means
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.settings import WorkerSettings

_log = logging.getLogger(__name__)


class _StoppedWaitingError(BaseException):
    """The order to stop came while the worker waited for a job; no library is to catch it."""


class _Stop:
    """The order to stop, which also ends a wait for the service's answer."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._is_waiting = False

    def order(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        _log.info("%s: stopping", signal.Signals(number).name)
        self.event.set()
        if self._is_waiting:
            self._is_waiting = False
            raise _StoppedWaitingError

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the order break the block off."""
        self._is_waiting = not self.event.is_set()
        try:
            yield
        finally:
            self._is_waiting = False


def run_worker(settings: WorkerSettings) -> None:
    """Work until SIGTERM or SIGINT, or for one job; must run in the main thread.

    Raises SettingsError where the device is not there, NotAllowedError where the service wants a
    key, or another one, and RayNotAllowedError where a Ray cluster wants another token.
    """
    stop = _Stop()
    patience = Patience(stopping=stop.event)
    with (
        _stop_signals(stop),
        _work_folder(settings) as folder,
        ServiceClient(settings.url, patience=patience, api_key=settings.key()) as client,
        engine_means(settings, folder) as means,
    ):
        _log.info(
            "%s asks %s for jobs, %d slots on %s",
            *(settings.name, settings.url, means.slots, means.device),
        )
        with contextlib.suppress(_StoppedWaitingError):
            _claim_and_drive(settings, client, means, stop)
        _log.info("stopped")


def _claim_and_drive(
    settings: WorkerSettings, client: ServiceClient, means: Means, stop: _Stop
) -> None:
    introduction = ClaimRequest(
        worker=settings.name,
        wait_seconds=settings.wait_seconds,
        host=socket.gethostname()[:200],
        device=means.device,
    )
    while not stop.event.is_set():
        if not means.engine.can_start():
            # Others may have a place for what we could only keep waiting.
            stop.event.wait(settings.poll_seconds)
            continue
        asked_at = time.monotonic()
        request = _with_families(introduction, means.listing)
        try:
            # What is broken off is not lost: the service gives no job to who has left.
            with stop.waiting():
                claim = client.claim(request)
        except ServiceUnreachableError:
            continue
        except NotAllowedError:
            # Asking again would not help, and many wrong keys from one address are refused.
            raise
        except ServiceError as error:
            _log.error("%s", error)
            claim = None
        if claim is None:
            waited = time.monotonic() - asked_at
            stop.event.wait(max(0.0, settings.poll_seconds - waited))
            continue
        with logs.about(job_id=claim.job.id):
            _work_on(claim, settings, client, means, stop.event)
        if settings.once:
            return


def _with_families(request: ClaimRequest, listing: FamilyListing) -> ClaimRequest:
    # Until it is known what can be built here the service is not to wait for long with its answer.
    seconds = request.wait_seconds if listing.is_over else min(request.wait_seconds, 2.0)
    return request.model_copy(update={"families": listing.families, "wait_seconds": seconds})


def _work_on(
    claim: Claim,
    settings: WorkerSettings,
    client: ServiceClient,
    means: Means,
    stopping: threading.Event,
) -> None:
    """Drive one job and give it back; whatever happens to it, the worker lives on."""
    lease = JobLease(client, claim)
    job = claim.job
    _log.info("job %s: claimed", job.id)
    started = time.monotonic()
    try:
        end = Driver(lease, settings=settings, means=means, stopping=stopping).run()
        lease.release(end)
    except LeaseLostError as error:
        _log.warning("job %s: lost its lease, left to others (%s)", job.id, error.detail)
    except ServiceError as error:
        _log.warning("job %s: not given back, its lease will run out (%s)", job.id, error)
    else:
        seconds = time.monotonic() - started
        _log.info("job %s: %s after %.1f s %s", job.id, end.state.value, seconds, end.reason)


@contextlib.contextmanager
def _work_folder(settings: WorkerSettings) -> Iterator[Path]:
    if settings.folder is not None:
        settings.folder.mkdir(parents=True, exist_ok=True)
        yield settings.folder
        return
    with tempfile.TemporaryDirectory(prefix="shrinknets-worker-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _stop_signals(stop: _Stop) -> Iterator[None]:
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop.order) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

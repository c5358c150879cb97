"""How long the worker goes on asking a service that does not answer."""

import logging
import threading
from dataclasses import dataclass

import tenacity

from worker.errors import ServiceUnreachableError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a call goes on asking a service that does not answer."""

    seconds: float | None = None
    """For ever when None."""
    stopping: threading.Event | None = None
    """No further try once this is set."""

    def retrying(self) -> tenacity.Retrying:
        """Retries with exponential backoff and jitter; the last error is raised as it is."""
        stop: tenacity.stop.stop_base = tenacity.stop_never
        if self.seconds is not None:
            stop = tenacity.stop_after_delay(self.seconds)
        stopping = self.stopping or threading.Event()
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ServiceUnreachableError),
            stop=stop | tenacity.stop_when_event_set(stopping),
            # At most 2 s apart: a lease must be renewed soon after the service is back.
            wait=tenacity.wait_exponential_jitter(multiplier=0.05, max=2, jitter=0.2),
            sleep=tenacity.sleep_using_event(stopping),
            before_sleep=_say_once_that_it_is_away,
            reraise=True,
        )


def _say_once_that_it_is_away(state: tenacity.RetryCallState) -> None:
    if state.attempt_number == 2 and state.outcome is not None:
        _log.warning("%s; waiting until it is back", state.outcome.exception())

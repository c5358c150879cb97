"""The errors of the client, as one tree."""

from shrinknets.wire import KEY_PREFIX, KEY_VARIABLE, FieldError, Problem


class ShrinkNetsError(Exception):
    """The base of all errors that the client raises on purpose."""


class InvalidUrlError(ShrinkNetsError, ValueError):
    """This is no address of a service."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"{url!r} is no address of a service: write it as http://host:port")


class InvalidKeyError(ShrinkNetsError, ValueError):
    """This is no API key; it is not told, since it may be most of one."""

    def __init__(self) -> None:
        super().__init__(
            "the API key must be one word of letters, digits and `_`, as `shrinknets keys create` "
            f"prints it ({KEY_PREFIX}…): look at {KEY_VARIABLE}, or at api_key=…"
        )


class ServiceUnreachableError(ShrinkNetsError):
    """Nobody answers at the service's address."""

    def __init__(self, url: str, cause: str) -> None:
        self.url = url
        super().__init__(
            f"no ShrinkNets service answers at {url} ({cause}): "
            "start one with `shrinknets serve`, or give another URL"
        )


class ServiceError(ShrinkNetsError):
    """The service answered with an error.

    Attributes:
        status: the HTTP status.
        errors: what is wrong with which field, where the service says so.
    """

    def __init__(self, problem: Problem) -> None:
        self.status = problem.status
        self.errors: list[FieldError] = problem.errors
        summary = "the service can't use this input:" if problem.errors else problem.detail
        lines = [summary or problem.title]
        lines += [f"  {e.field}: expected {e.allowed}, got {e.given}" for e in problem.errors]
        super().__init__("\n".join(lines))


class InvalidInputError(ServiceError):
    """The service can't use what it was given (422)."""


class NotFoundError(ServiceError):
    """There is no such job, trial or network (404)."""


class NotAuthenticatedError(ServiceError):
    """The service wants an API key, or another one (401)."""

    def __init__(self, problem: Problem, *, url: str, has_key: bool) -> None:
        super().__init__(problem)
        if has_key:
            what = "does not accept this API key: it is unknown there, revoked or expired. Set"
        else:
            what = "wants an API key: set"
        message = (
            f"the service at {url} {what} {KEY_VARIABLE}, or pass api_key=…; its operator makes "
            "one with `shrinknets keys create`"
        )
        self.args = (message,)


class NotAllowedError(ServiceError):
    """The role of the API key does not allow this (403)."""


class ConflictError(ServiceError):
    """The state of things does not allow it (409)."""


class JobNotSucceededError(ShrinkNetsError):
    """The job ended as failed or cancelled; what it finished is still there."""

    def __init__(self, job_id: str, state: str, reason: str) -> None:
        self.job_id = job_id
        self.state = state
        self.reason = reason
        super().__init__(f"job {job_id} {state}" + (f": {reason}" if reason else ""))


class NoNetworkError(ShrinkNetsError):
    """The job has no network, or none that fits."""


class LimitsMissedWarning(UserWarning):
    """No network of the job keeps its limits; the one that is returned misses them least."""


class NoTrialError(ShrinkNetsError):
    """The job has no such trial, or more than one of that number."""

    def __init__(self, job_id: str, which: str, choices: list[str]) -> None:
        self.job_id = job_id
        known = ", ".join(choices[:10]) + (", …" if len(choices) > 10 else "")
        super().__init__(
            f"job {job_id} has no single trial {which!r}: "
            + (f"name one of {known}" if choices else "no trial was started so far")
        )


class WaitTimeoutError(ShrinkNetsError):
    """The job did not end in the time that the caller gave; it goes on."""

    def __init__(self, job_id: str, seconds: float) -> None:
        self.job_id = job_id
        super().__init__(
            f"job {job_id} did not end within {seconds:g} s; it goes on: wait again or cancel it"
        )

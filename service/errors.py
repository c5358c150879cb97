"""The tree of errors that the service raises; `problems` alone turns them into HTTP answers."""

import math
from pathlib import Path
from typing import Any

from shrinknets.wire import FieldError


class ServiceError(Exception):
    """Anything that the service itself says is wrong; its text is meant for people."""


class SettingsError(ServiceError):
    """The environment does not describe a service that can run."""

    def __init__(self, errors: list[FieldError]) -> None:
        self.errors = errors
        lines = [f"{e.field}: got {e.given}, allowed is {e.allowed}" for e in errors]
        super().__init__("\n".join(["The settings are wrong.", *lines]))


class PortTakenError(ServiceError):
    """Another process listens where the service should."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        super().__init__(
            f"Cannot listen on {host}, port {port}: {reason}. Stop the process that holds it, "
            "or choose another with --port or SHRINKNETS_PORT."
        )


class FolderTakenError(ServiceError):
    """Another service process keeps its embedded database in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"Another service runs on the data folder {folder}: stop it, choose another folder "
            "with --data-dir or SHRINKNETS_DATA_DIR, or let both use a PostgreSQL database."
        )


class SchemaError(ServiceError):
    """The database was not migrated to the schema of this version."""


class NotFoundError(ServiceError):
    """There is nothing with this id."""

    def __init__(self, what: str, key: str) -> None:
        self.what = what
        self.key = key
        super().__init__(f"There is no {what} {key!r}.")


class NotExportedError(NotFoundError):
    """The network is there, but not in this format."""

    def __init__(self, network_id: str, wanted: str, *, reason: str) -> None:
        super().__init__(f"{wanted} file of network", network_id)
        why = (
            f"Its export failed: {reason}"
            if reason
            else f'Exports are made at the end of a trial: submit the job with "exports": '
            f'["{wanted}"], and the networks on each trial\'s frontier get one.'
        )
        self.args = (f"Network {network_id!r} has no {wanted} file. {why}",)


class NoArchitectureError(NotFoundError):
    """A network's file does not say what it is."""

    def __init__(self, network_id: str) -> None:
        super().__init__("architecture of network", network_id)
        message = (
            f"The weights of network {network_id!r} are not in a file that "
            "shrinknets_core.serialise made, so nothing tells its architecture: ask for /weights."
        )
        self.args = (message,)


class ConflictError(ServiceError):
    """The request does not fit the state that things are in."""


class LeaseLostError(ConflictError):
    """The token is not, or no longer, that of the lease's holder."""

    def __init__(self, what: str, key: str) -> None:
        self.what = what
        self.key = key
        super().__init__(
            f"This token does not hold {what} {key!r}, or no longer does: stop working on it."
        )


class InvalidInputError(ServiceError):
    """The input has the right shape, but asks for what cannot be."""

    def __init__(self, field: str, given: Any, allowed: str) -> None:
        self.error = FieldError(field=field, given=repr(given), allowed=allowed)
        super().__init__(f"{field}: got {given!r}, allowed is {allowed}")


class UnavailableError(ServiceError):
    """The database or the artifact store fails; the same request may succeed in a moment."""


class StorageFullError(ServiceError):
    """There is no room for a file; asking again helps once somebody has made some."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        super().__init__(
            f"Cannot write to {place}: {reason}. The service's operator must make room there, e.g. "
            "with `shrinknets gc`, or allow more."
        )


class UnauthorizedError(ServiceError):
    """Nobody may do this without showing who they are."""


class ForbiddenError(ServiceError):
    """The role of the key does not allow this, or the request comes from a foreign page."""


class TooManyFailuresError(ServiceError):
    """An address showed wrong keys too often."""

    def __init__(self, retry_seconds: float) -> None:
        self.retry_seconds = math.ceil(retry_seconds)
        super().__init__(
            "Too many wrong keys came from this address: try again in "
            f"{self.retry_seconds} s, with the right one."
        )


class TooManyRequestsError(ServiceError):
    """A key, or an address without one, makes requests faster than it may."""

    def __init__(self, per_second: float, retry_seconds: float) -> None:
        self.retry_seconds = math.ceil(retry_seconds)
        super().__init__(
            f"More than {per_second:g} requests per second came from you for a while: wait "
            f"{self.retry_seconds} s. The service's operator can raise "
            "SHRINKNETS_MAX_REQUESTS_PER_SECOND."
        )


class TooManyJobsError(ServiceError):
    """A key has as many jobs in the queue as it may have."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"This key has {limit:,} jobs that are queued or paused, as many as it may have: wait "
            "until some have run, or cancel those that are not needed. The service's operator can "
            "raise SHRINKNETS_MAX_QUEUED_JOBS_PER_KEY."
        )


class TooLargeError(ServiceError):
    """What was sent is more than the service takes."""


class UnsupportedMediaError(ServiceError):
    """What was sent is of a kind that the service does not take."""


class ArtifactDamagedError(ServiceError):
    """A stored file is missing, or its content no longer has the digest that names it."""

    def __init__(self, sha256: str, reason: str) -> None:
        self.sha256 = sha256
        super().__init__(f"The stored file {sha256} cannot be used: {reason}.")


class RangeNotSatisfiableError(ServiceError):
    """The file ends before the range that was asked for begins."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"The file has {size} bytes: ask for a range that begins before its end.")

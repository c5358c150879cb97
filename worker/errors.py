"""What can go wrong for a worker, as one tree."""


class WorkerError(Exception):
    """Anything that the worker itself raises."""


class ServiceError(WorkerError):
    """The service did not do what it was asked."""


class ServiceUnreachableError(ServiceError):
    """The service did not answer, or said that it cannot now; asking again may help."""

    def __init__(self, *, url: str, cause: str) -> None:
        super().__init__(f"the service at {url} does not answer: {cause}")
        self.url = url
        self.cause = cause


class LeaseLostError(ServiceError):
    """The service answered 409: the job or trial is no longer ours to write for."""

    def __init__(self, *, request: str, detail: str) -> None:
        super().__init__(f"{request}: {detail}")
        self.request = request
        self.detail = detail


class RefusedError(ServiceError):
    """The service refused the request; the same request would be refused again."""

    def __init__(self, *, request: str, status: int, detail: str) -> None:
        super().__init__(f"{request} was refused with status {status}: {detail}")
        self.request = request
        self.status = status
        self.detail = detail


class NotAllowedError(RefusedError):
    """The service wants a key, another one, or one of another role (401 or 403)."""


class StorageFullError(RefusedError):
    """The service has no room for a file (507); asking again may help once there is some."""


class DamagedFileError(ServiceError):
    """A file came with other content than its digest says; asking again may help."""

    def __init__(self, *, sha256: str, got: str) -> None:
        super().__init__(f"the file {sha256} came with the digest {got}")
        self.sha256 = sha256
        self.got = got


class UnexpectedAnswerError(ServiceError):
    """The service answered something else than the API says; versions may differ."""

    def __init__(self, *, request: str, detail: str) -> None:
        super().__init__(f"{request} was answered with something else than expected: {detail}")
        self.request = request
        self.detail = detail


class EnvironmentVariableError(WorkerError):
    """The command for one trial was started without what it must know."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"set {', '.join(names)} in the environment: "
            "python -m worker.trial is meant to be started by a worker"
        )
        self.names = names


class SettingsError(WorkerError):
    """Variables, file or options do not describe a worker that can run."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(["The settings are wrong.", *lines]))
        self.lines = lines


class TimeLimitError(WorkerError):
    """A trial took longer than its job allows."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"it took longer than the {seconds:g} s of trial_seconds: allow more, or train for "
            "fewer epochs"
        )
        self.seconds = seconds


class UnsuitableJobError(WorkerError):
    """No trial of a job could run on this worker."""


class EngineError(WorkerError):
    """What starts trials did not do what it was asked."""


class RayUnreachableError(EngineError):
    """The head of the Ray cluster did not answer, or could not; asking again may help."""

    def __init__(self, *, address: str, cause: str, may_have_worked: bool = True) -> None:
        super().__init__(f"the Ray cluster at {address} does not answer: {cause}")
        self.address = address
        self.cause = cause
        self.may_have_worked = may_have_worked
        """Whether the request may have reached it all the same."""


class RayRefusedError(EngineError):
    """Ray refused the request; the same request would be refused again."""

    def __init__(self, *, request: str, status: int, detail: str) -> None:
        super().__init__(f"Ray refused {request} with status {status}: {detail}")
        self.request = request
        self.status = status
        self.detail = detail


class RayNotAllowedError(EngineError):
    """The Ray cluster wants a token, or another one."""

    def __init__(self, *, address: str, detail: str) -> None:
        super().__init__(
            f"the Ray cluster at {address} refuses the token: {detail.strip()}; give the cluster's "
            "in RAY_AUTH_TOKEN or SHRINKNETS_WORKER_RAY_TOKEN"
        )
        self.address = address
        self.detail = detail


class ChannelClosedError(WorkerError):
    """The process at the other end of a channel is gone."""

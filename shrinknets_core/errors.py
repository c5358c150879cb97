"""The errors that the library raises on purpose."""


class ShrinkNetsCoreError(Exception):
    """The base of all errors of this library."""


class UnknownDatasetError(ShrinkNetsCoreError):
    """There is no data set of this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        super().__init__(f"unknown data set {name!r}: expected one of {', '.join(known)}")


class UnknownFamilyError(ShrinkNetsCoreError):
    """There is no network family of this name."""

    def __init__(
        self, name: str, known: tuple[str, ...], *, unreadable: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.known = known
        self.unreadable = unreadable
        message = f"unknown network family {name!r}: expected one of {', '.join(known)}"
        if unreadable:
            message += f"; the entry points of {', '.join(unreadable)} can't be read: reinstall it"
        super().__init__(message)


class BrokenFamilyError(ShrinkNetsCoreError):
    """An installed distribution announces a network family that can't be loaded."""

    def __init__(self, name: str, *, distribution: str, reason: str) -> None:
        self.name = name
        self.distribution = distribution
        self.reason = reason
        super().__init__(
            f"network family {name!r} of the installed distribution {distribution} can't be "
            f"loaded: {reason}; mend or uninstall that distribution"
        )


class FamilyClashError(ShrinkNetsCoreError):
    """One name stands for more than one network family."""

    def __init__(self, name: str, owners: tuple[str, ...]) -> None:
        self.name = name
        self.owners = owners
        super().__init__(
            f"network family {name!r} is announced more than once, by {' and '.join(owners)}: "
            "rename the entry point of one, or uninstall it"
        )


class OptionError(ShrinkNetsCoreError, ValueError):
    """An option is outside what it may be."""

    def __init__(self, option: str, *, expected: str, got: object) -> None:
        self.option = option
        self.expected = expected
        self.got = got
        super().__init__(f"{option} must be {expected}, got {got!r}")


class DivergedError(ShrinkNetsCoreError):
    """The training loss is no longer a finite number."""

    def __init__(self, *, step: int, loss: float) -> None:
        self.step = step
        self.loss = loss
        super().__init__(
            f"the training loss became {loss} in epoch {step}: lower the learning rate, "
            "or check the data for values that are not finite"
        )


class NetworkFileError(ShrinkNetsCoreError):
    """A file is not a network that this version can load."""


class CheckpointError(ShrinkNetsCoreError):
    """A checkpoint is damaged, of another version, or of another training."""


class ExportError(ShrinkNetsCoreError):
    """A network can't be written in a format."""

    def __init__(self, format_name: str, reason: str) -> None:
        self.format_name = format_name
        self.reason = reason
        super().__init__(f"no {format_name} file: {reason}")


class UntraceableError(ShrinkNetsCoreError):
    """A module's operations can't be written down once for all inputs."""

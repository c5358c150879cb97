"""The errors that the library raises on purpose."""


class ShrinkNetsCoreError(Exception):
    """The base of all errors of this library."""


class UnknownDatasetError(ShrinkNetsCoreError):
    """There is no data set of this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        super().__init__(f"unknown data set {name!r}: expected one of {', '.join(known)}")


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

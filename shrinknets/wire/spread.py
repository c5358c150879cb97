"""How numbers that should be alike lie apart."""

from shrinknets.wire._base import Wire


class Spread(Wire):
    """The mean of numbers, and how far they lie apart."""

    mean: float
    std: float | None
    """The standard deviation of the sample, so with n − 1; None of a single number."""

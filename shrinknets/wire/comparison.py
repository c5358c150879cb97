"""What the service tells of several jobs side by side."""

from shrinknets.wire._base import Wire
from shrinknets.wire.datasets import DatasetName
from shrinknets.wire.results import Network
from shrinknets.wire.states import JobState, Method


class Quartiles(Wire):
    """How numbers are spread; between two of them the quartiles are interpolated."""

    low: float
    first: float
    median: float
    third: float
    high: float


class MethodComparison(Wire):
    """What one method of a job came to, over the networks that its trials chose by validation."""

    method: Method
    n: int
    """Trials with a network."""
    test_accuracy: Quartiles | None
    parameters: Quartiles | None
    trials: int
    """All trials so far, whatever came of them."""
    train_seconds: float
    """Of all its trials, without evaluation: the compute spent."""


class JobComparison(Wire):
    """One of the jobs that are compared."""

    job_id: str
    name: str
    state: JobState
    dataset: DatasetName
    methods: list[MethodComparison]
    frontier: list[Network]
    """The networks that no other of the job beats on validation and in size, smallest first."""


class Comparison(Wire):
    """Jobs side by side, in the order in which they were asked for."""

    jobs: list[JobComparison]

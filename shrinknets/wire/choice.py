"""By which rule a job's network is chosen, and what is trained once it is."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from shrinknets.wire._base import MAX_COUNT, Wire, WrongFieldError

Limit = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]


class ChoiceRule(StrEnum):
    """Which of the networks that meet all limits is chosen; the test rows have no say."""

    VALIDATION = "validation"
    """The most accurate one on validation, the smaller one of equals."""
    ONE_STANDARD_ERROR = "one_standard_error"
    """The smallest one that validation cannot tell from the most accurate: it is within one
    standard error √(p(1−p)/n) of it, p its accuracy on the n validation rows."""
    SMALLEST = "smallest"
    """The smallest one that has the accuracy `min_validation_accuracy`."""


class ChoiceSpec(Wire):
    """How the network of a job is chosen at its end, and what is trained after that."""

    rule: ChoiceRule = ChoiceRule.VALIDATION
    max_parameters: Limit | None = None
    """Weights and biases."""
    max_macs: Limit | None = None
    """Multiply-accumulate operations for one example."""
    min_validation_accuracy: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    """A share, 0 to 1."""
    retrain: Annotated[bool, Field(strict=True)] = False
    """Train networks of the chosen widths from scratch too: the honest baseline, told beside it."""
    retrain_seeds: Annotated[int, Field(strict=True, ge=1, le=100)] = 3
    """How many, each from weights and batches of its own."""
    retrain_epochs: Annotated[int, Field(strict=True, ge=2, le=100_000)] | None = None
    """Of each; by default those of `training`."""
    fine_tune_epochs: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 0
    """Train the chosen network on for so many epochs, at a tenth of the step size."""

    @property
    def num_trials(self) -> int:
        """Trials at the end of the job, after the choice."""
        return self.retrain_seeds * self.retrain + (self.fine_tune_epochs > 0)

    @model_validator(mode="after")
    def _smallest_of_what(self) -> Self:
        if self.rule is ChoiceRule.SMALLEST and self.min_validation_accuracy is None:
            raise WrongFieldError(
                field="choice.min_validation_accuracy",
                given=None,
                allowed="a share from 0 to 1: without one the smallest network is a useless one",
            )
        return self

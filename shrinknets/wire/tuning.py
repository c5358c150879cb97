"""What a method searches besides its own parameters, what it keeps fixed, where it starts."""

from math import isfinite
from typing import Annotated

from pydantic import BeforeValidator, Field

from shrinknets.wire._base import Wire
from shrinknets.wire.ranges import LogRange

TRAINING_PARAMS = ("lr", "weight_decay", "batch_size")
"""Parameters of the training, which the job's spec has where a trial has none of its own."""

BatchSize = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
ParamName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


def _number(given: object) -> object:
    """Keeps text and truth values from being taken for numbers."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not isfinite(given):
        raise ValueError("a number")
    return given


# A whole number stays one: widths have no decimal point.
Number = Annotated[int | float, BeforeValidator(_number)]
Point = Annotated[
    dict[ParamName, Number],
    # The schema names the pattern of names, and would allow anything under others.
    Field(max_length=64, json_schema_extra={"additionalProperties": False}),
]
Fix = Annotated[
    Point,
    Field(description="Parameters that every trial of the method has as given, by name."),
]
Start = Annotated[
    tuple[Point, ...],
    Field(
        max_length=1000,
        description="The first configurations, by names of searched parameters; what one leaves "
        "out is proposed by the sampler.",
    ),
]


class Tuned(Wire):
    """Options that all methods with a search space share.

    `lr`, `weight_decay` and `batch_size` are those of the job's training where no range is given.
    """

    lr: LogRange | None = None
    """Searches Adam's step size too."""
    weight_decay: LogRange | None = None
    """Searches the decay of the weights too."""
    batch_size: Annotated[tuple[BatchSize, ...], Field(max_length=32)] = ()
    """Searches the rows per step among these too."""
    fix: Fix = {}
    start: Start = ()

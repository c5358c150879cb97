"""Ranges that a search looks through, both ends included."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from shrinknets.wire._base import Wire

Width = Annotated[int, Field(strict=True, ge=1, le=100_000)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, le=1e6)]


class LogRange(Wire):
    """A positive range that is searched log-uniformly, both ends included."""

    low: PositiveFloat
    high: PositiveFloat

    @model_validator(mode="after")
    def _not_upside_down(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got low={self.low:g}, high={self.high:g}")
        return self


class IntRange(Wire):
    """A range of whole numbers, both ends included."""

    low: Width
    high: Width

    @model_validator(mode="after")
    def _not_upside_down(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got low={self.low}, high={self.high}")
        return self

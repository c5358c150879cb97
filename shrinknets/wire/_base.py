"""The strict, frozen base of every type that crosses a process boundary."""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A frozen value with a fixed set of fields: a misspelt one is an error, never ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

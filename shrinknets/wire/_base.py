"""The strict, frozen base of every type that crosses a process boundary."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


class Wire(BaseModel):
    """A frozen value with a fixed set of fields: a misspelt one is an error, never ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class WrongFieldError(ValueError):
    """A validator of a whole says which field inside it is wrong."""

    def __init__(self, *, field: str, given: object, allowed: str) -> None:
        self.field = field
        self.given = given
        self.allowed = allowed
        super().__init__(f"{field} is {given!r}, allowed is {allowed}")


def _refuse_unstorable(text: str) -> str:
    if _NOT_STORABLE.search(text):
        raise ValueError("text without NUL characters and unpaired surrogates")
    return text


def _replace_unstorable(text: str) -> str:
    return _NOT_STORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


class _StorableText(AfterValidator):
    """Says in the JSON schema too what is refused, as far as a pattern can."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"pattern": r"^[^\u0000]*$", **handler(core)}


Storable = _StorableText(_refuse_unstorable)
"""To be named after a text's other constraints, which would not know that it is text."""

Text = Annotated[str, Storable]
"""Text that every database and every JSON parser can hold."""

Replacing = AfterValidator(_replace_unstorable)
"""The same for words: to be named after the other constraints."""

Words = Annotated[str, Replacing]
"""Words for people, such as a traceback: a character that cannot be stored is replaced."""

MAX_COUNT = 2**53 - 1
"""The last whole number that JSON parsers with floating-point numbers keep as it is."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""A whole number that every database and every JSON parser can hold."""

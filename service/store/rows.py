"""Turns rows into wire values whose fields are named as the columns are."""

from typing import Any, TypeVar

from sqlalchemy import Row

from shrinknets.wire import Wire

Value = TypeVar("Value", bound=Wire)


def build(model: type[Value], row: Row[Any], **known: Any) -> Value:
    """The value that a row describes; `known` are fields that come from elsewhere.

    Columns that the model does not know are left out.
    """
    fields = model.model_fields.keys() - known.keys()
    return model(**{name: getattr(row, name) for name in fields}, **known)

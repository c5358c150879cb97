"""Turns rows into wire values whose fields are named as the columns are."""

from typing import Any, TypeVar

from sqlalchemy import Row

from shrinknets.wire import Wire

Value = TypeVar("Value", bound=Wire)


def build(model: type[Value], row: Row[Any], **given: Any) -> Value:
    """The value that a row describes; columns that the model does not know are left out.

    Fields that are given are in no column.
    """
    columns = {name: getattr(row, name) for name in model.model_fields if name not in given}
    return model(**columns, **given)

"""Looks into a pydantic model for the fields that an object inside it may have."""

from typing import Any, get_args

from pydantic import BaseModel


def fields_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The names of the fields allowed at a path inside the model; empty where there is none."""
    found: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        if found is None or part not in found.model_fields:
            return []
        found = _model_in(found.model_fields[part].annotation)
    return list(found.model_fields) if found else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation such as `list[Record]` or `LogRange | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in get_args(annotation) if (m := _model_in(arg))), None)

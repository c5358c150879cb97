"""Says in words which field of an input is wrong, what was given and what is allowed."""

import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from service.models import fields_at
from shrinknets.wire import FieldError, WrongFieldError

MAX_ERRORS = 20
"""Nobody reads more, and a batch of records could have thousands."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 120
_short.maxdict = _short.maxlist = _short.maxtuple = 8

Details = Mapping[str, Any]

_LIMITS: dict[str, Callable[[Details], str]] = {
    "greater_than": lambda ctx: f"a number greater than {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"a number of at least {_plain(ctx['ge'])}",
    "less_than": lambda ctx: f"a number less than {_plain(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"a number of at most {_plain(ctx['le'])}",
    "string_too_short": lambda ctx: f"text of at least {ctx['min_length']} characters",
    "string_too_long": lambda ctx: f"text of at most {ctx['max_length']} characters",
    "too_short": lambda ctx: f"at least {ctx['min_length']} items",
    "too_long": lambda ctx: f"at most {ctx['max_length']} items",
    "enum": lambda ctx: f"one of {ctx['expected']}",
    "literal_error": lambda ctx: f"one of {ctx['expected']}",
    "string_pattern_mismatch": lambda ctx: f"text that matches {ctx['pattern']}",
    "value_error": lambda ctx: str(ctx["error"]),
}

_KINDS = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of at most 4300 digits",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "string_unicode": "text without unpaired surrogates",
    "list_type": "a list",
    "tuple_type": "a list",
    "missing": "a value: the field is required",
    "json_invalid": "JSON",
}

_NO_OBJECT = {"model_type", "model_attributes_type", "dict_type"}


def field_errors(
    errors: Iterable[Details], *, body: type[BaseModel] | None = None
) -> list[FieldError]:
    """Translate pydantic's errors; `body` is the model of the body, to name its fields."""
    told: dict[str, FieldError] = {}
    for error in errors:
        if len(told) == MAX_ERRORS:
            break
        if not _is_noise(error):
            # A union says the same field once per member: the first is enough.
            one = _field_error(error, body)
            told.setdefault(one.field, one)
    return list(told.values())


def shortened(value: object) -> str:
    """The value as Python writes it, cut where it gets long, safe to encode."""
    return _encodable(_short.repr(value))


def _field_error(error: Details, body: type[BaseModel] | None) -> FieldError:
    where = tuple(error["loc"])
    given = "nothing" if error["type"] == "missing" else shortened(error.get("input"))
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, WrongFieldError):
        return FieldError(field=cause.field, given=shortened(cause.given), allowed=cause.allowed)
    if error["type"] == "json_invalid":
        return FieldError(field="body", given=error["ctx"]["error"], allowed="JSON")
    return FieldError(field=_path(where), given=given, allowed=_allowed(error, where, body))


def _path(where: tuple[str | int, ...]) -> str:
    inner = where[1:] if where and where[0] in {"body", "query", "header", "path"} else where
    if not inner:
        return "body" if where else ""
    return _encodable(".".join(str(part)[:100] for part in inner))


def _allowed(error: Details, where: tuple[str | int, ...], body: type[BaseModel] | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"only the fields {', '.join(fields_at(body, where[1:-1]))}" if body else "no such"
    if kind in _NO_OBJECT:
        known = ", ".join(fields_at(body, where[1:])) if body else ""
        return f"a JSON object with the fields {known}" if known else "a JSON object"
    if kind == "missing" and body and not where[1:]:
        return f"a JSON object with the fields {', '.join(fields_at(body, ()))}"
    if kind in _LIMITS:
        return _LIMITS[kind](context)
    return _KINDS.get(kind, str(error["msg"]))


def _is_noise(error: Details) -> bool:
    # pydantic drops wrong items first and then complains that too few are left.
    given = error.get("input")
    return (
        error["type"] == "too_short"
        and isinstance(given, list | tuple)
        and len(given) >= error["ctx"]["min_length"]
    )


def _plain(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")

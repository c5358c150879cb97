"""Bodies as JSON, and the name of the field for which JSON has no word."""

import json
from collections.abc import Iterable, Iterator

from shrinknets._errors import InvalidInputError
from shrinknets.wire import FieldError, Problem

_ALLOWED = "what JSON has a word for: a finite number, text, a list or a mapping"
MAX_SHOWN = 120
"""Characters of a wrong value."""


def as_json(body: object) -> bytes:
    """Encode a body; None is an empty one.

    Raises:
        InvalidInputError: JSON has no word for a part of it, such as NaN; says for which.
    """
    if body is None:
        return b""
    try:
        return _encoded(body)
    except (TypeError, ValueError) as error:
        field, given = _culprit(body)
        wrong = FieldError(field=field, given=repr(given)[:MAX_SHOWN], allowed=_ALLOWED)
        raise InvalidInputError(
            Problem(
                type="about:blank", title="not JSON", status=422, detail=str(error), errors=[wrong]
            )
        ) from error


def _encoded(part: object) -> bytes:
    return json.dumps(part, allow_nan=False).encode()


def _culprit(body: object) -> tuple[str, object]:
    """Where the innermost part is that cannot be encoded, and that part."""
    path: list[str] = []
    part, above = body, [body]
    while (inner := next(_wrong_parts(part), None)) is not None:
        name, part = inner
        path.append(name)
        if any(part is one for one in above):
            break
        above.append(part)
    return ".".join(path) or "body", part


def _wrong_parts(whole: object) -> Iterator[tuple[str, object]]:
    match whole:
        case dict():
            parts: Iterable[tuple[object, object]] = whole.items()
        case list() | tuple():
            parts = enumerate(whole)
        case _:
            return
    for name, part in parts:
        try:
            _encoded(part)
        except (TypeError, ValueError):
            yield str(name), part

"""Log lines for people or for programs, each with the request, job and trial that it is about."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from shrinknets.redaction import redact

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")

_fields: ContextVar[dict[str, str] | None] = ContextVar("shrinknets_log_fields", default=None)


class LogFormat(StrEnum):
    """How a line looks."""

    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is worth a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure_logging(form: LogFormat, level: LogLevel, *, secrets: Sequence[str] = ()) -> None:
    """Write this process's log to standard error; `secrets` appear in no line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(form, secrets=secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They tell of each request what the service tells too, and at debug level whole headers.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def make_formatter(form: LogFormat, *, secrets: Sequence[str] = ()) -> logging.Formatter:
    """The formatter that every line of service and worker goes through."""
    match form:
        case LogFormat.HUMAN:
            return _Human(secrets)
        case LogFormat.JSON:
            return _Json(secrets)
        case _:
            assert_never(form)


def begin(**fields: str) -> None:
    """Start anew what lines are about, for the rest of this task and the threads it asks."""
    _fields.set(dict(fields))


def note(**fields: str) -> None:
    """Add to what lines of this task are about; heard by all that share its beginning."""
    known = _fields.get()
    if known is None:
        begin(**fields)
    else:
        known.update(fields)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Lines inside the block are about these too."""
    token = _fields.set({**current(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def current() -> Mapping[str, str]:
    """What lines are about at the moment."""
    return _fields.get() or {}


class _Redacting(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def _clean(self, text: str) -> str:
        return redact(text, secrets=self._secrets)

    def _fields_of(self, record: logging.LogRecord) -> dict[str, object]:
        own = getattr(record, "fields", {})
        return {
            name: self._clean(value) if isinstance(value, str) else value
            for name, value in {**current(), **own}.items()
        }

    def _trace(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._clean("\n".join(parts))


class _Human(_Redacting):
    def format(self, record: logging.LogRecord) -> str:
        # A name or a path from outside must not be able to look like a line of its own.
        message = _CONTROL.sub(_escaped, self._clean(record.getMessage()))
        when = datetime.fromtimestamp(record.created).astimezone()
        line = f"{when.isoformat(' ', 'milliseconds')} {record.levelname:<7} {record.name}:"
        fields = [f"{name}={_CONTROL.sub(_escaped, str(value))}"
                  for name, value in self._fields_of(record).items()]  # fmt: skip
        line = " ".join([line, message, *fields])
        return "\n".join(filter(None, [line, self._trace(record)]))


class _Json(_Redacting):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage()),
            **self._fields_of(record),
        }
        if trace := self._trace(record):
            line["trace"] = trace
        return json.dumps(line, default=lambda value: self._clean(str(value)))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()

"""What trials leave behind beside their records: exported networks, files and logs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from shrinknets.wire._base import Count, Replacing, Wire, Words
from shrinknets.wire.states import AttemptState

MAX_LOG_TEXT = 65_536
"""Characters of a log that one request hands in."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ExportFormat(StrEnum):
    """In what else than safetensors a network is stored, where its job asks for it."""

    ONNX = "onnx"
    PT2 = "pt2"


class ArtifactKind(StrEnum):
    """What a file holds: a network in one of the formats."""

    WEIGHTS = "weights"
    ONNX = "onnx"
    PT2 = "pt2"

    @property
    def suffix(self) -> str:
        return ".safetensors" if self is ArtifactKind.WEIGHTS else f".{self.value}"


def _each_once(formats: tuple[ExportFormat, ...]) -> tuple[ExportFormat, ...]:
    if len(set(formats)) < len(formats):
        raise ValueError(f"each of {', '.join(ExportFormat)} at most once")
    return formats


Exports = Annotated[tuple[ExportFormat, ...], AfterValidator(_each_once)]


class NetworkExport(Wire):
    """A network in another format, or why it could not be exported."""

    format: ExportFormat
    sha256: Sha256 | None = None
    """The file's digest; None where the export failed."""
    bytes: Count = 0
    reason: Words = ""
    """Why there is no file; empty where there is one."""

    @model_validator(mode="after")
    def _a_file_or_a_reason(self) -> Self:
        if (self.sha256 is None) != bool(self.reason):
            raise ValueError("either a sha256 or a reason")
        return self


def _one_of_each(exports: tuple[NetworkExport, ...]) -> tuple[NetworkExport, ...]:
    _each_once(tuple(export.format for export in exports))
    return exports


NetworkExports = Annotated[tuple[NetworkExport, ...], AfterValidator(_one_of_each)]


class Artifact(Wire):
    """A file that a trial left behind."""

    name: str
    kind: ArtifactKind
    network_id: str
    bytes: int
    sha256: str
    content_type: str
    created_at: datetime


class LogBatch(Wire):
    """The next lines that the process of an attempt wrote."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"offset": 0, "text": "epoch 1: loss 0.71\n"}]}
    )

    offset: Annotated[int, Field(ge=0, lt=2**53)]
    """Where the text begins, in UTF-8 bytes from the start of the attempt's log. More than what
    was taken in so far means that something between was left out."""
    text: Annotated[str, Field(max_length=MAX_LOG_TEXT), Replacing]


class LogPlace(Wire):
    """How far an attempt's log was taken in."""

    next: int
    """The offset at which the next batch goes on."""


class AttemptLog(Wire):
    """What one attempt at a trial wrote to standard output and standard error."""

    attempt_id: str
    number: int
    """Counts from 1 within the trial."""
    state: AttemptState
    reason: str
    started_at: datetime
    ended_at: datetime | None
    text: str
    """Where something was left out, a line in brackets says how much."""


class TrialLog(Wire):
    """The log of a trial, or a part of it, attempt by attempt."""

    attempts: list[AttemptLog]
    """All attempts in their order, those that wrote nothing in this part with an empty text."""
    omitted_bytes: int
    """Of this part; of a long log only the beginning and the end are kept."""
    next: int
    """Given as `after`, it asks for what comes after this part."""

    def as_text(self) -> str:
        """The whole part, with a line in brackets before each attempt but the first."""
        parts = []
        for attempt in self.attempts:
            if attempt.number > 1 and attempt.text:
                parts.append(
                    f"[attempt {attempt.number}, {attempt.started_at:%Y-%m-%d %H:%M:%S}]\n"
                )
            parts.append(attempt.text)
        return "".join(parts)

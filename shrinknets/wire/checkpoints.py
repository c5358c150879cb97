"""From what a trial goes on when its process was lost, paused or preempted."""

from typing import Annotated

from pydantic import ConfigDict, Field

from shrinknets.wire._base import MAX_COUNT, Count, Wire
from shrinknets.wire.outputs import Sha256

MAX_CHECKPOINT_FILES = 10_000

Step = Annotated[int, Field(ge=1, le=MAX_COUNT)]
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FILE = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"


class CheckpointFile(Wire):
    """A checkpoint that the service keeps."""

    step: Step
    """The last epoch in it."""
    sha256: Sha256
    size_bytes: Count


class NewCheckpoint(Wire):
    """A trial hands a checkpoint in; all files must have been uploaded before."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"step": 41, "sha256": _SHA256, "files": [_FILE]}]}
    )

    step: Step
    """The last epoch in it; the records up to it must have been reported before."""
    sha256: Sha256
    files: Annotated[list[Sha256], Field(max_length=MAX_CHECKPOINT_FILES)] = []
    """Weights of networks that the trial has found but not yet handed in: they are kept with it."""


class Resumption(Wire):
    """A trial's process says from where it goes on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"step": 41}]})

    step: Count
    """That of one of the checkpoints; 0 where it starts from the beginning."""

"""What a driver asks about trials that run, and its order to end one early."""

from typing import Annotated

from pydantic import ConfigDict, Field

from shrinknets.wire._base import MAX_COUNT, Count, Text, Wire, Words
from shrinknets.wire.states import Phase

MAX_ASKED = 200
"""Trials in one request."""


class Pruning(Wire):
    """The driver wants a trial to end after the epoch that it is in, as `pruned`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "epoch 20: 0.81, below the median of 0.93"}]}
    )

    reason: Annotated[Words, Field(min_length=1, max_length=2000)]
    """In words, for people."""


class Epochs(Wire):
    """Epochs of one trial by rising step, as columns of one length."""

    step: list[int]
    phase: list[Phase]
    validation_accuracy: list[float]
    parameters: list[int]
    macs: list[int]


class EpochsRequest(Wire):
    """Asks for what trials have reported since the driver asked last."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"after": {"tri_000000000000000000000001": 12}}]}
    )

    after: Annotated[
        dict[Annotated[str, Field(max_length=32)], Annotated[Count, Field(le=MAX_COUNT)]],
        Field(max_length=MAX_ASKED),
    ]
    """The last step that is known, by trial; 0 for a whole trial."""


class NewEpochs(Wire):
    """The epochs of those trials of the job that have any."""

    trials: dict[Text, Epochs]


class Spent(Wire):
    """What a job has spent so far."""

    seconds: float
    """In which at least one of its trials was running."""
    epoch_macs: float
    """Sum over all epochs: multiply-accumulates of the network at their end, for one example."""

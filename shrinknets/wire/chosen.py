"""What the service tells of the network that was chosen for a job."""

from datetime import datetime

from shrinknets.wire._base import Wire
from shrinknets.wire.choice import ChoiceSpec
from shrinknets.wire.results import Network
from shrinknets.wire.spread import Spread


class Retrained(Wire):
    """Networks of the chosen widths that were trained from scratch."""

    n: int
    """Those that have ended with a network."""
    validation_accuracy: Spread
    test_accuracy: Spread


class Chosen(Wire):
    """The network that was chosen for a job, why, and what became of it."""

    job_id: str
    rule: ChoiceSpec
    network: Network
    reason: str
    """Why this one, in words."""
    is_feasible: bool
    """Whether it meets all limits; if none does, this one is the closest."""
    num_candidates: int
    """Networks of the search; retrained ones are no candidates."""
    most_accurate: Network
    """Of the candidates that meet all limits, on validation; `network` where none meets them."""
    validation_rows: int | None
    """By which all of them were compared; None where it is not known."""
    standard_error: float | None
    """Of the most accurate one's validation accuracy."""
    made_at: datetime | None
    """None while the search goes on: another network may be chosen yet."""
    retrained: Retrained | None
    fine_tuned: Network | None
    final: Network
    """The network to take: the fine-tuned one where that is the more accurate on validation."""

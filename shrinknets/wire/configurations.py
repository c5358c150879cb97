"""What the trainings of one configuration came to together."""

from shrinknets.wire._base import Wire
from shrinknets.wire.results import Params
from shrinknets.wire.spread import Spread
from shrinknets.wire.states import Method


class Configuration(Wire):
    """The trainings of one set of parameters with different seeds."""

    method: Method
    configuration: int
    """Counts from 0 within job and method; its trials have the numbers from here times the job's
    `repeats` on."""
    params: Params
    trials: int
    """Trainings that have begun or ended."""
    ended: int
    n: int
    """Those with a network, of which the rest tells."""
    validation_accuracy: Spread | None
    parameters: Spread | None

"""What a training tells while it runs: epochs, trained networks, and a collapse."""

from dataclasses import dataclass
from enum import StrEnum

from torch import nn


class Phase(StrEnum):
    """What a training does in an epoch."""

    TRAIN = "train"
    WARMUP = "warmup"
    SHRINK = "shrink"
    POLISH = "polish"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch.

    Attributes:
        step: the epoch's number in this training, from 1.
        train_loss: mean cross-entropy over the epoch's batches, penalties left out.
        validation_accuracy: a share, 0 to 1.
        widths: living features of each of the family's layers at the end of the epoch.
        parameters, macs: of the network of these widths, gates folded.
        lam: the penalty in force at the end of the epoch, in loss per unit of gate.
        seconds: spent on training, without evaluation.
    """

    step: int
    phase: Phase
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    widths: tuple[int, ...]
    parameters: int
    macs: int
    lam: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A concrete network with its weights: plain PyTorch, no gates left.

    Attributes:
        module: takes raw rows (batch, …) float32 and gives logits (batch, classes); it is on the
            CPU, in evaluation mode.
        family: how it is built.
        input_shape: of one example, without the batch.
        num_classes: numbers in the logits of one example.
        width_names: what the family calls the layer of each width.
        full_widths: the layers of the network that it was cut from.
        kept: for each layer the original numbers of the features that stayed.
        step: the epoch that it comes from, the best by validation.
        test_accuracy: measured once, after the choice.
    """

    module: nn.Sequential
    family: str = "mlp"
    input_shape: tuple[int, ...]
    num_classes: int
    width_names: tuple[str, ...]
    full_widths: tuple[int, ...]
    kept: tuple[tuple[int, ...], ...]
    parameters: int
    macs: int
    validation_accuracy: float
    test_accuracy: float
    step: int
    lam: float

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each of the family's layers, input side first."""
        return tuple(len(features) for features in self.kept)

    @property
    def hidden_units(self) -> int:
        """All features together."""
        return sum(self.widths)


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """A layer lost all that it had: the penalty was too high for a network to be left."""

    step: int
    reason: str


TrialEvent = EpochRecord | TrainedNetwork | Collapse

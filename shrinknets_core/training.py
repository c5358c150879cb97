"""The training loop that all methods share, and the choice of the best epoch."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shrinknets_core.data import Rows, Split
from shrinknets_core.errors import DivergedError, OptionError
from shrinknets_core.events import EpochRecord, Phase
from shrinknets_core.groups import num_alive
from shrinknets_core.mlp import MLP, mlp_size

EVALUATION_ROWS = 8192
"""Rows per forward pass of an evaluation, so that wide networks don't fill the memory."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train; the same for all methods of a comparison.

    Attributes:
        epochs: passes over the training rows, at least 2.
        batch_size: rows per step.
        lr: Adam's step size; `polish_share` of the epochs anneal it to zero along a cosine.
        weight_decay: decoupled decay of the weights (AdamW); gates never decay.
        polish_share: the last part of the epochs, in which nothing is removed any more.
        seed: of the initial weights and of the order of the rows.
        device: where to train, such as `cpu` or `cuda:0`.
    """

    epochs: int = 60
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0
    polish_share: float = 0.3
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        checks = {
            "epochs": (self.epochs >= 2, "at least 2", self.epochs),
            "batch_size": (self.batch_size >= 1, "at least 1", self.batch_size),
            "lr": (self.lr > 0, "positive", self.lr),
            "weight_decay": (self.weight_decay >= 0, "at least 0", self.weight_decay),
            "polish_share": (0 < self.polish_share < 1, "between 0 and 1", self.polish_share),
        }
        for option, (holds, expected, got) in checks.items():
            if not holds:
                raise OptionError(option, expected=expected, got=got)

    @property
    def polish_epochs(self) -> int:
        """Epochs at the end in which the step size is annealed."""
        return max(1, min(self.epochs - 1, round(self.epochs * self.polish_share)))

    def build(self, split: Split, widths: Sequence[int], *, filters: bool) -> MLP:
        """Make the network with weights drawn from the seed, on the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = MLP(split.inputs, widths, split.num_classes, filters=filters)
        return model.to(device=self.device, dtype=torch.float32)


class Loop:
    """One model in training: its optimiser, its order of rows, its count of epochs.

    Args:
        model: trained in place.
        split: must be on the model's device.
        options: batch size, step size, decay and seed are taken from here.
        parameters: what the optimiser holds; by default the model's weights without the gates.
        l2: coefficient of half the squared norm of all weights, added to the loss.
        first_step: the number of the epoch before the first one here.
    """

    def __init__(
        self,
        model: MLP,
        split: Split,
        options: TrainOptions,
        *,
        parameters: Sequence[nn.Parameter] | None = None,
        l2: float = 0.0,
        first_step: int = 0,
    ) -> None:
        self.model = model
        self.split = split
        self.step = first_step
        self.optimizer = torch.optim.AdamW(
            model.weights() if parameters is None else parameters,
            lr=options.lr,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self._batch_size = options.batch_size
        self._l2 = l2
        self._rng = torch.Generator(device=options.device).manual_seed(options.seed)

    def epoch(
        self,
        *,
        phase: Phase,
        lr: float,
        lam: float = 0.0,
        penalty: Callable[[], Tensor] | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> EpochRecord:
        """Train for one epoch, then measure on the validation rows.

        Args:
            phase: what this epoch is for, goes into the record.
            lr: the optimiser's step size in this epoch.
            lam: the penalty in force, goes into the record.
            penalty: gives what is added to the loss of each batch.
            after_step: called after each step of the optimiser.

        Raises:
            DivergedError: the loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.step += 1
        started = time.perf_counter()
        train_loss = self._train(penalty, after_step)
        seconds = time.perf_counter() - started
        if not torch.isfinite(torch.tensor(train_loss)):
            raise DivergedError(step=self.step, loss=train_loss)
        validation_loss, validation_accuracy = evaluate(self.model, self.split.validation)
        widths = self.widths()
        size = mlp_size(self.split.inputs, widths, self.split.num_classes)
        return EpochRecord(
            step=self.step,
            phase=phase,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            widths=widths,
            parameters=size.parameters,
            macs=size.macs,
            lam=lam,
            seconds=seconds,
        )

    def widths(self) -> tuple[int, ...]:
        """Count the living features of each hidden layer."""
        if self.model.filters:
            return num_alive(self.model.groups())
        return self.model.widths()

    def _train(
        self, penalty: Callable[[], Tensor] | None, after_step: Callable[[], None] | None
    ) -> float:
        self.model.train()
        total = torch.zeros((), device=self.split.train.x.device)
        for x, y in self._batches(self.split.train):
            loss = cross_entropy(self.model(x), y)
            total += loss.detach() * len(y)
            torch.autograd.backward(loss if penalty is None else loss + penalty())
            if self._l2 > 0:
                self._add_l2_gradient()
            self.optimizer.step()
            if after_step is not None:
                after_step()
            self.optimizer.zero_grad()
        return float(total) / len(self.split.train)

    def _batches(self, rows: Rows) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(rows), generator=self._rng, device=rows.x.device)
        for indices in torch.split(order, self._batch_size):
            yield rows.x.index_select(0, indices), rows.y.index_select(0, indices)

    @torch.no_grad()
    def _add_l2_gradient(self) -> None:
        for group in self.optimizer.param_groups:
            for weight in group["params"]:
                weight.grad.add_(weight, alpha=self._l2)


@torch.no_grad()
def evaluate(model: nn.Module, rows: Rows) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy (0 to 1) of the model on the rows."""
    model.eval()
    loss = torch.zeros((), device=rows.x.device)
    correct = torch.zeros((), device=rows.x.device)
    chunks = (torch.split(part, EVALUATION_ROWS) for part in (rows.x, rows.y))
    for x, y in zip(*chunks, strict=True):
        logits = model(x)
        loss += cross_entropy(logits, y, reduction="sum")
        correct += (logits.argmax(dim=1) == y).sum()
    return float(loss) / len(rows), float(correct) / len(rows)


class Choice:
    """The best epoch by validation (accuracy, then loss) among those of the latest size."""

    def __init__(self) -> None:
        self.record: EpochRecord | None = None
        self.model: MLP | None = None

    def offer(self, record: EpochRecord, model: MLP) -> None:
        """Keep a copy of the model, gates folded, if it is the better one."""
        if self._is_better(record):
            self.record = record
            self.model = model.folded()

    def _is_better(self, new: EpochRecord) -> bool:
        old = self.record
        if old is None or old.widths != new.widths:
            return True
        return (new.validation_accuracy, -new.validation_loss) > (
            old.validation_accuracy,
            -old.validation_loss,
        )

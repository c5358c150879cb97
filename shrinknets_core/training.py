"""The training loop that all methods share, and the choice of the best epoch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shrinknets_core.data import Rows, Split
from shrinknets_core.errors import DivergedError, OptionError
from shrinknets_core.events import EpochRecord, Phase
from shrinknets_core.families import Family
from shrinknets_core.method import Rule, ShrinkOptions
from shrinknets_core.snapshots import HasPlain
from shrinknets_core.states import load_optimizer, read_record
from shrinknets_core.trainee import Trainee

Rebuild = Callable[[Sequence[int], Mapping[str, Tensor]], nn.Module]
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

    def steps_per_epoch(self, split: Split) -> int:
        """Return the optimiser's steps in one epoch."""
        return len(batch_sizes(len(split.train), self.batch_size))

    def build(
        self,
        split: Split,
        widths: Sequence[int],
        *,
        family: Family,
        shrink: ShrinkOptions | None = None,
    ) -> Trainee:
        """Make the network with weights drawn from the seed, on the device.

        Raises:
            OptionError: the family has no such network.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = family.build(split.input_shape, widths, split.num_classes)
        module.to(device=self.device, dtype=torch.float32)
        return Trainee(family, module, split, widths, shrink=shrink)


class Loop:
    """One network in training: its optimiser, its order of rows, its count of epochs.

    With the paper's rule the gates are in the optimiser and the penalty is in the loss.

    Args:
        trainee: trained in place.
        split: must be on the network's device.
        options: batch size, step size, decay and seed are taken from here.
        l2: coefficient of half the squared norm of all weights, added to the loss.
        first_step: the number of the epoch before the first one here.
    """

    def __init__(
        self,
        trainee: Trainee,
        split: Split,
        options: TrainOptions,
        *,
        l2: float = 0.0,
        first_step: int = 0,
    ) -> None:
        self.trainee = trainee
        self.split = split
        self.step = first_step
        self._shrinker = trainee.shrinker
        self._penalises = (
            self._shrinker is not None and self._shrinker.options.rule is Rule.SUBGRADIENT
        )
        self._options = options
        self.optimizer = self._make_optimizer()
        self._batch_size = options.batch_size
        self._l2 = l2
        self._rng = torch.Generator(device=options.device).manual_seed(options.seed)

    def epoch(self, *, phase: Phase, lr: float) -> EpochRecord:
        """Train for one epoch, then measure on the validation rows.

        Args:
            phase: what this epoch is for, goes into the record.
            lr: the optimiser's step size in this epoch.

        Raises:
            DivergedError: the loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.step += 1
        started = time.perf_counter()
        train_loss = self._train()
        seconds = time.perf_counter() - started
        if not torch.isfinite(torch.tensor(train_loss)):
            raise DivergedError(step=self.step, loss=train_loss)
        validation_loss, validation_accuracy = evaluate(self.trainee.module, self.split.validation)
        widths = self.trainee.widths()
        size = self.trainee.size(widths)
        return EpochRecord(
            step=self.step,
            phase=phase,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            widths=widths,
            parameters=size.parameters,
            macs=size.macs,
            lam=0.0 if self._shrinker is None else self._shrinker.method.lam_now,
            seconds=seconds,
        )

    def collect(self) -> None:
        """Remove all dead features, from the optimiser's state too."""
        if self._shrinker is not None:
            self._shrinker.collect(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return all that later epochs depend on; references, not copies."""
        optimizer: dict[int, Any] = self.optimizer.state_dict()["state"]
        return {
            "step": self.step,
            "trainee": self.trainee.state_dict(),
            "optimizer": {str(number): one for number, one in optimizer.items()},
            "order": self._rng.get_state(),
            "global": torch.get_rng_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in place, with an optimiser of its own; sets the global generator."""
        self.trainee.load_state_dict(state["trainee"])
        self.optimizer = self._make_optimizer()
        load_optimizer(self.optimizer, state["optimizer"])
        self._rng.set_state(state["order"])
        torch.set_rng_state(state["global"])
        self.step = int(state["step"])

    def _make_optimizer(self) -> torch.optim.AdamW:
        options = self._options
        return torch.optim.AdamW(
            self._parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )

    def _parameters(self) -> list[nn.Parameter]:
        if self._shrinker is None:
            return list(self.trainee.module.parameters())
        gates = self._shrinker.gates() if self._penalises else []
        return [*self._shrinker.parameters(), *gates]

    def _train(self) -> float:
        module, shrinker = self.trainee.module, self._shrinker
        module.train()
        total = torch.zeros((), device=self.split.train.x.device)
        for x, y in draw_batches(self.split.train, self._batch_size, self._rng):
            loss = cross_entropy(module(x), y)
            total += loss.detach() * len(y)
            if shrinker is not None and self._penalises:
                loss = loss + shrinker.penalty()
            torch.autograd.backward(loss)
            if self._l2 > 0:
                self._add_l2_gradient()
            self.optimizer.step()
            # Autograd would remember the old shapes through the loss.
            del loss
            self.optimizer.zero_grad()
            if shrinker is not None:
                shrinker.step()
        if shrinker is not None:
            shrinker.end_epoch()
        return float(total) / len(self.split.train)

    @torch.no_grad()
    def _add_l2_gradient(self) -> None:
        for group in self.optimizer.param_groups:
            for weight in group["params"]:
                weight.grad.add_(weight, alpha=self._l2)


def draw_batches(
    rows: Rows, batch_size: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches in an order drawn from the generator, on the rows' device."""
    order = torch.randperm(len(rows), generator=rng, device=rows.x.device)
    for indices in torch.split(order, batch_sizes(len(rows), batch_size)):
        yield rows.x.index_select(0, indices), rows.y.index_select(0, indices)


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """Return the sizes of an epoch's batches; a last row alone joins the batch before.

    Batch norm can't work with one example.
    """
    sizes = [batch_size] * (rows // batch_size)
    rest = rows % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


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
        self.module: nn.Module | None = None
        self._widths: tuple[int, ...] = ()

    def offer(self, record: EpochRecord, trainee: HasPlain) -> None:
        """Keep a plain copy of the network, gates folded, if it is the better one."""
        if self._is_better(record):
            self.record = record
            self.module = trainee.plain()
            self._widths = tuple(len(features) for features in trainee.kept())

    def state_dict(self) -> dict[str, Any] | None:
        """Return the choice so far, None where there is none; its tensors never change."""
        if self.record is None or self.module is None:
            return None
        tensors = {name: t.detach().cpu() for name, t in self.module.state_dict().items()}
        return {"record": asdict(self.record), "widths": list(self._widths), "module": tensors}

    def load_state_dict(self, state: Mapping[str, Any] | None, rebuild: Rebuild) -> None:
        """Take over a choice, in place; `rebuild` makes a network of widths and tensors."""
        if state is None:
            return
        self._widths = tuple(state["widths"])
        self.module = rebuild(self._widths, state["module"])
        self.record = read_record(state["record"])

    def _is_better(self, new: EpochRecord) -> bool:
        old = self.record
        if old is None or old.widths != new.widths:
            return True
        return (new.validation_accuracy, -new.validation_loss) > (
            old.validation_accuracy,
            -old.validation_loss,
        )

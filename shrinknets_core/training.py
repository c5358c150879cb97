"""The training loop that all methods share, and the choice of the best epoch."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shrinknets_core.batches import batch_sizes, draw_batches, in_parts
from shrinknets_core.data import Rows, Split
from shrinknets_core.errors import DivergedError, OptionError
from shrinknets_core.events import EpochRecord, Phase
from shrinknets_core.families import Family
from shrinknets_core.generators import global_states, go_on, set_global_states
from shrinknets_core.method import Rule, ShrinkOptions
from shrinknets_core.speed import Forward, Precision
from shrinknets_core.states import load_optimizer
from shrinknets_core.trainee import Trainee

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
        micro_batches: parts that each batch goes through the network in, one after the other. Their
            gradients are added up, so that a step is the same and needs less memory; only batch
            norm takes its statistics from each part instead of from the batch.
        precision: of products in training, `fp32`, `tf32` or `bf16`; all else is float32.
        compile: whether to compile networks whose size stays: fixed ones, and one that has shrunk
            while it is polished. The path's are too many.
    """

    epochs: int = 60
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0
    polish_share: float = 0.3
    seed: int = 0
    device: str = "cpu"
    micro_batches: int = 1
    precision: str = Precision.FP32
    compile: bool = False

    def __post_init__(self) -> None:
        checks = {
            "epochs": (self.epochs >= 2, "at least 2", self.epochs),
            "batch_size": (self.batch_size >= 1, "at least 1", self.batch_size),
            "micro_batches": (self.micro_batches >= 1, "at least 1", self.micro_batches),
            "lr": (self.lr > 0, "positive", self.lr),
            "weight_decay": (self.weight_decay >= 0, "at least 0", self.weight_decay),
            "polish_share": (0 < self.polish_share < 1, "between 0 and 1", self.polish_share),
            "precision": (
                self.precision in set(Precision),
                f"one of {', '.join(Precision)}",
                self.precision,
            ),
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
        split: on the network's device, or on the CPU.
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
        self._forward = Forward(
            trainee.module,
            options.precision,
            compiled=options.compile and self._shrinker is None,
        )
        self._batch_size = options.batch_size
        self._micro_batches = options.micro_batches
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
        with self._forward.steps():
            train_loss = self._train()
        seconds = time.perf_counter() - started
        if not torch.isfinite(torch.tensor(train_loss)):
            raise DivergedError(step=self.step, loss=train_loss)
        validation_loss, validation_accuracy = evaluate(
            self.trainee.module,
            self.split.validation,
            rows_at_once=max(1, EVALUATION_ROWS // self._micro_batches),
        )
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
            **global_states(self._rng.device),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in place, with an optimiser of its own; sets global generators."""
        self.trainee.load_state_dict(state["trainee"])
        self.optimizer = self._make_optimizer()
        load_optimizer(self.optimizer, state["optimizer"])
        go_on(self._rng, state["order"])
        set_global_states(state, self._rng.device)
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
        shrinker = self._shrinker
        self.trainee.module.train()
        total = torch.zeros((), device=self._rng.device)
        for x, y in draw_batches(self.split.train, self._batch_size, self._rng):
            for part in in_parts(x, y, self._micro_batches):
                total += self._backward(*part, share=len(part[1]) / len(y))
            if self._l2 > 0:
                self._add_l2_gradient()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if shrinker is not None:
                shrinker.step()
        if shrinker is not None:
            shrinker.end_epoch()
        return float(total) / len(self.split.train)

    def _backward(self, x: Tensor, y: Tensor, *, share: float) -> Tensor:
        """Add the gradients of a share of a batch's loss; returns the rows' losses, summed.

        The loss ends here, since autograd would remember the old shapes through it.
        """
        loss = cross_entropy(self._forward(x), y)
        total = loss.detach() * len(y)
        if self._shrinker is not None and self._penalises:
            loss = loss + self._shrinker.penalty()
        torch.autograd.backward(loss if share == 1 else loss * share)
        return total

    @torch.no_grad()
    def _add_l2_gradient(self) -> None:
        for group in self.optimizer.param_groups:
            for weight in group["params"]:
                weight.grad.add_(weight, alpha=self._l2)


@torch.no_grad()
def evaluate(
    model: nn.Module, rows: Rows, *, rows_at_once: int = EVALUATION_ROWS
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy (0 to 1) of the model on the rows.

    The rows are on the model's device, or on the CPU.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), rows.x.device)
    loss = torch.zeros((), device=device)
    correct = torch.zeros((), device=device)
    chunks = (torch.split(part, rows_at_once) for part in (rows.x, rows.y))
    for x, classes in zip(*chunks, strict=True):
        y = classes.to(device)
        logits = model(x.to(device))
        loss += cross_entropy(logits, y, reduction="sum")
        correct += (logits.argmax(dim=1) == y).sum()
    return float(loss) / len(rows), float(correct) / len(rows)

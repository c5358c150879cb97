"""Polish of many small networks at once: one step of all costs hardly more than one of each."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shrinknets_core.batches import draw_batches
from shrinknets_core.choice import Choice
from shrinknets_core.data import Rows, Split
from shrinknets_core.errors import DivergedError
from shrinknets_core.events import EpochRecord, Phase, TrainedNetwork, TrialEvent
from shrinknets_core.finishing import finish
from shrinknets_core.generators import go_on
from shrinknets_core.polishing import annealed
from shrinknets_core.snapshots import Snapshot
from shrinknets_core.stacking import LinearStack
from shrinknets_core.states import copied, load_optimizer, read_record
from shrinknets_core.training import EVALUATION_ROWS, TrainOptions


def polish_together(
    snapshots: Sequence[Snapshot],
    split: Split,
    options: TrainOptions,
    *,
    first_step: int,
    epochs: int,
) -> Iterator[TrialEvent]:
    """Anneal copies of all networks at once: each as `Polish` would alone, on the same batches.

    Yields after each epoch a record for each network, and after the last one the networks.

    Raises:
        DivergedError: a loss is not finite.
    """
    return PolishTogether(snapshots, split, options, first_step=first_step, epochs=epochs).events()


class PolishTogether:
    """A polish of several networks, with a state after each of its events."""

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        split: Split,
        options: TrainOptions,
        *,
        first_step: int,
        epochs: int,
    ) -> None:
        self._stack = StackLoop(snapshots, split, options, first_step=first_step)
        self._lr = options.lr
        self._epochs = epochs
        self._epoch = 0
        """How many have begun."""
        self._num_given = 0
        """Of the finished networks."""

    @property
    def step(self) -> int:
        """The number of the last record."""
        return self._stack.step

    def events(self) -> Iterator[TrialEvent]:
        """Yield what is left."""
        yield from self._stack.pending_records()
        while self._epoch < self._epochs:
            lr = annealed(self._lr, self._epoch, self._epochs)
            self._epoch += 1
            yield from self._stack.epoch(lr=lr)
        while self._num_given < len(self._stack.snapshots):
            network = self._stack.network(self._num_given)
            self._num_given += 1
            yield network

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands, in copies on the CPU."""
        place = {"epoch": self._epoch, "num_given": self._num_given}
        return {**place, "stack": self._stack.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same snapshots, in place."""
        self._epoch, self._num_given = int(state["epoch"]), int(state["num_given"])
        self._stack.load_state_dict(state["stack"])


class StackLoop:
    """Several networks in training as one: their stack, optimiser, order of rows, best epochs.

    Args:
        snapshots: copied.
        split: must be on the networks' device.
        options: batch size, step size, decay and seed are taken from here.
        first_step: the number of the last epoch before.
    """

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        split: Split,
        options: TrainOptions,
        *,
        first_step: int,
    ) -> None:
        self.snapshots = tuple(snapshots)
        self.split = split
        self.step = first_step
        self.stack = LinearStack([snapshot.module for snapshot in snapshots])
        self.optimizer = torch.optim.AdamW(
            self.stack.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
        self.choices = [Choice() for _ in snapshots]
        self._pending: list[EpochRecord] = []
        self._batch_size = options.batch_size
        self._rng = torch.Generator(device=options.device).manual_seed(options.seed)

    def epoch(self, *, lr: float) -> Iterator[EpochRecord]:
        """Train all networks for one epoch, then measure each on the validation rows.

        Raises:
            DivergedError: a loss is not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        started = time.perf_counter()
        train_losses = self._train().tolist()
        seconds = (time.perf_counter() - started) / len(self.snapshots)
        for loss in train_losses:
            if not math.isfinite(loss):
                raise DivergedError(step=self.step + 1, loss=loss)
        losses, accuracies = _evaluate(self.stack, self.split.validation)
        for number, snapshot in enumerate(self.snapshots):
            record = EpochRecord(
                step=self.step + number + 1,
                phase=Phase.POLISH,
                train_loss=train_losses[number],
                validation_loss=losses[number],
                validation_accuracy=accuracies[number],
                widths=snapshot.widths,
                parameters=snapshot.size.parameters,
                macs=snapshot.size.macs,
                lam=0.0,
                seconds=seconds,
            )
            self.choices[number].offer(record, _Member(self.stack, snapshot, number))
            self._pending.append(record)
        yield from self.pending_records()

    def pending_records(self) -> Iterator[EpochRecord]:
        """Yield the records of the last epoch that are still to be told."""
        while self._pending:
            record = self._pending.pop(0)
            self.step = record.step
            yield record

    def network(self, number: int) -> TrainedNetwork:
        """Measure a network's best epoch on the test rows."""
        snapshot = self.snapshots[number]
        return finish(self.choices[number], self.split, snapshot, lam=snapshot.lam)

    def state_dict(self) -> dict[str, Any]:
        """Return all that later epochs depend on, in copies on the CPU."""
        optimizer: dict[int, Any] = self.optimizer.state_dict()["state"]
        state = {
            "step": self.step,
            "stack": self.stack.state_dict(),
            "optimizer": optimizer,
            "order": self._rng.get_state(),
            "pending": [asdict(record) for record in self._pending],
        }
        return {**copied(state), "choices": [choice.state_dict() for choice in self.choices]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same snapshots, in place."""
        self.step = int(state["step"])
        self.stack.load_state_dict(state["stack"])
        load_optimizer(self.optimizer, state["optimizer"])
        go_on(self._rng, state["order"])
        self._pending = [read_record(fields) for fields in state["pending"]]
        parts = zip(self.choices, state["choices"], self.snapshots, strict=True)
        for choice, chosen, snapshot in parts:
            choice.load_state_dict(chosen, snapshot.rebuild)

    def _train(self) -> Tensor:
        """Return the mean training loss of each network, (networks,)."""
        self.stack.train()
        rows = self.split.train
        totals = rows.x.new_zeros(len(self.snapshots))
        for x, y in draw_batches(rows, self._batch_size, self._rng):
            losses = _losses(self.stack(x), y).mean(1)
            totals += losses.detach() * len(y)
            torch.autograd.backward(losses.sum())
            self.optimizer.step()
            self.optimizer.zero_grad()
        return totals / len(rows)


@dataclass(frozen=True)
class _Member:
    """One network of a stack, of which a choice takes copies."""

    stack: LinearStack
    snapshot: Snapshot
    number: int

    def plain(self) -> nn.Module:
        module = self.snapshot.plain()
        self.stack.copy_to(module, self.number)
        return module

    def kept(self) -> tuple[tuple[int, ...], ...]:
        return self.snapshot.kept()


def _losses(logits: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each network on each row, (networks, batch)."""
    networks = len(logits)
    losses = cross_entropy(logits.flatten(0, 1), y.repeat(networks), reduction="none")
    return losses.view(networks, len(y))


@torch.no_grad()
def _evaluate(stack: LinearStack, rows: Rows) -> tuple[list[float], list[float]]:
    """Return mean cross-entropy and accuracy (0 to 1) of each network on the rows."""
    stack.eval()
    num_networks = len(stack.biases[0])
    losses, correct = rows.x.new_zeros(num_networks), rows.x.new_zeros(num_networks)
    at_once = max(1, EVALUATION_ROWS // num_networks)
    for x, y in zip(torch.split(rows.x, at_once), torch.split(rows.y, at_once), strict=True):
        logits = stack(x)
        losses += _losses(logits, y).sum(1)
        correct += (logits.argmax(dim=2) == y).sum(1)
    # Divided as Python's numbers, as `evaluate` does, so that equal counts give equal shares.
    mean_losses, accuracies = (
        [number / len(rows) for number in sums] for sums in torch.stack([losses, correct]).tolist()
    )
    return mean_losses, accuracies

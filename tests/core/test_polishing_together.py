"""Networks polished at once end as each would alone."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from shrinknets_core import (
    DivergedError,
    EpochRecord,
    Phase,
    Split,
    TrainedNetwork,
    TrainOptions,
    TrialEvent,
    polish_queue,
    split_rows,
)
from shrinknets_core.families import get_family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.polish_queue import PolishQueue
from shrinknets_core.polishing import Polish
from shrinknets_core.polishing_together import StackLoop, polish_together
from shrinknets_core.snapshots import Snapshot, take_snapshot
from shrinknets_core.stacking import LinearStack, can_stack
from shrinknets_core.training import Loop

WIDTHS = ((30, 12), (17, 20), (9, 1))


def in_float64(split: Split) -> Split:
    parts = {
        name: dataclasses.replace(part, x=part.x.double())
        for name in ("train", "validation", "test")
        for part in [getattr(split, name)]
    }
    return dataclasses.replace(split, **parts)


def snapshots_of(split: Split, *widths: tuple[int, ...]) -> list[Snapshot]:
    options = TrainOptions(seed=5)
    trainees = [options.build(split, each, family=mlp_family()) for each in widths]
    for trainee in trainees:
        trainee.module.to(split.train.x.dtype)
    return [take_snapshot(trainee, lam=0.1 * n) for n, trainee in enumerate(trainees, start=1)]


def alone(snapshot: Snapshot, split: Split, options: TrainOptions) -> list[TrialEvent]:
    polish = Polish(snapshot, split, options, first_step=0, epochs=4)
    return [*polish.epochs(), finish(polish.choice, split, snapshot, lam=snapshot.lam)]


def test_polish_at_once_equals_polish_one_by_one(digits: Split) -> None:
    split = in_float64(digits)
    options = TrainOptions(lr=3e-3, weight_decay=0.05, batch_size=100, seed=3)
    snapshots = snapshots_of(split, *WIDTHS)
    events = list(polish_together(snapshots, split, options, first_step=7, epochs=4))
    assert [e.step for e in events if isinstance(e, EpochRecord)] == list(range(8, 20))
    networks = [event for event in events if isinstance(event, TrainedNetwork)]
    for number, snapshot in enumerate(snapshots):
        *expected, network = alone(snapshot, split, options)
        records = [e for e in events if isinstance(e, EpochRecord)][number :: len(WIDTHS)]
        for ours, theirs in zip(records, expected, strict=True):
            assert isinstance(theirs, EpochRecord)
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-6)
            assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-6)
            same: dict[str, Any] = dict.fromkeys(
                ("step", "seconds", "train_loss", "validation_loss"), 0
            )
            assert dataclasses.replace(ours, **same) == dataclasses.replace(theirs, **same)
        assert isinstance(network, TrainedNetwork)
        got = networks[number]
        assert (got.widths, got.parameters, got.lam) == (
            WIDTHS[number],
            network.parameters,
            snapshot.lam,
        )
        assert got.test_accuracy == network.test_accuracy
        torch.testing.assert_close(got.module.state_dict(), network.module.state_dict())


def test_padding_stays_zero_while_the_stack_trains(digits: Split) -> None:
    loop = StackLoop(snapshots_of(digits, *WIDTHS), digits, TrainOptions(), first_step=0)
    list(loop.epoch(lr=0.01))
    for number, widths in enumerate(WIDTHS):
        for position, width in enumerate(widths):
            assert not loop.stack.weights[position][number, width:].any()
            assert not loop.stack.biases[position][number, width:].any()
            assert not loop.stack.weights[position + 1][number, :, width:].any()
            assert loop.stack.weights[position][number, :width].any(1).all()


def test_images_go_through_a_stack_as_through_each_network() -> None:
    x = torch.randn(5, 3, 4, 4)
    modules = [mlp_family().build((3, 4, 4), widths, 2) for widths in ((6,), (2,))]
    logits = LinearStack(modules)(x)
    for ours, module in zip(logits, modules, strict=True):
        torch.testing.assert_close(ours, module(x))


def test_only_plain_stacks_of_linear_layers_are_stacked() -> None:
    assert can_stack(mlp_family().build((4,), (3, 2), 2))
    assert not can_stack(get_family("residual_mlp").build((4,), (3, 2), 2))
    assert not can_stack(get_family("lenet5").build((1, 16, 16), (2, 2, 2), 2))
    assert not can_stack(nn.Sequential(nn.Linear(3, 2, bias=False)))
    assert not can_stack(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)))
    assert not can_stack(nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(3, 2), nn.ReLU()))


def test_a_loss_that_is_not_finite_ends_the_polish_with_its_epoch(digits: Split) -> None:
    snapshots = snapshots_of(digits, (8,), (4,))
    head = snapshots[1].module.get_submodule("head")
    assert isinstance(head, nn.Linear)
    nn.init.constant_(head.weight, torch.inf)
    with pytest.raises(DivergedError, match="in epoch 4"):
        list(polish_together(snapshots, digits, TrainOptions(), first_step=3, epochs=2))


def polished(queue: PolishQueue, snapshots: list[Snapshot]) -> list[list[int]]:
    """Return the hidden units of the networks that come out after each snapshot and at the end."""
    rounds = [*(queue.add(snapshot) for snapshot in snapshots), queue.flush()]
    return [[e.hidden_units for e in one if isinstance(e, TrainedNetwork)] for one in rounds]


def test_large_networks_are_polished_at_once_and_small_ones_wait_for_company(
    digits: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = snapshots_of(digits, (200,), (60,), (20,), (19,), (18,))
    monkeypatch.setattr(polish_queue, "STACK_PARAMETERS", 3 * snapshots[2].size.parameters)
    loop = Loop(TrainOptions().build(digits, (300,), family=mlp_family()), digits, TrainOptions())
    queue = PolishQueue(loop, TrainOptions(), epochs=1)
    assert polished(queue, snapshots) == [[200], [60], [], [], [20, 19, 18], []]
    assert loop.step == 5
    assert polished(queue, snapshots[3:]) == [[], [], [19, 18]]


def test_networks_that_cannot_be_stacked_are_polished_one_by_one() -> None:
    split = split_rows("mine", torch.randn(60, 20), torch.arange(60) % 2, seed=0)
    options, family = TrainOptions(batch_size=16), get_family("residual_mlp")
    trainee = options.build(split, (6, 5), family=family)
    queue = PolishQueue(Loop(trainee, split, options), options, epochs=2)
    events = list(queue.add(take_snapshot(trainee, lam=0.0)))
    assert [e.phase for e in events if isinstance(e, EpochRecord)] == [Phase.POLISH] * 2
    assert isinstance(events[-1], TrainedNetwork)

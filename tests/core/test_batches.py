"""Batches are the same wherever the data lie and in however many parts they are trained."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from shrinknets_core import (
    Checkpoint,
    EpochRecord,
    Phase,
    Rule,
    ShrinkOptions,
    Split,
    TrainedNetwork,
    TrainOptions,
    load_dataset,
    train_fixed,
)
from shrinknets_core.batches import batch_sizes, batches, in_parts, num_bytes, place, prefetched
from shrinknets_core.data import Rows
from shrinknets_core.families import get_family
from shrinknets_core.trainee import Trainee
from shrinknets_core.training import Loop


def in_float64(split: Split) -> Split:
    def double(rows: Rows) -> Rows:
        return Rows(x=rows.x.double(), y=rows.y)

    return dataclasses.replace(
        split,
        train=double(split.train),
        validation=double(split.validation),
        test=double(split.test),
    )


def trained(family: str, micro_batches: int, **loop_options: Any) -> dict[str, Tensor]:
    """Weights and gates after two epochs in float64."""
    split = in_float64(load_dataset("wine", seed=0))
    # 113 rows: batches of 16, the last one of 17, which do not come in equal parts.
    options = TrainOptions(batch_size=16, lr=3e-3, micro_batches=micro_batches, weight_decay=1e-3)
    chosen = get_family(family)
    rule = loop_options.pop("rule", None)
    steps = options.steps_per_epoch(split)
    shrink = None if rule is None else ShrinkOptions(rule=rule, steps_per_epoch=steps)
    torch.manual_seed(0)
    module = chosen.build(split.input_shape, [12, 9], split.num_classes).double()
    trainee = Trainee(chosen, module, split, [12, 9], shrink=shrink)
    if trainee.shrinker is not None:
        trainee.shrinker.lam = 0.01
    loop = Loop(trainee, split, options, **loop_options)
    for _ in range(2):
        loop.epoch(phase=Phase.TRAIN, lr=options.lr)
    gates = [] if trainee.shrinker is None else trainee.shrinker.gates()
    state = copy.deepcopy(module.state_dict())
    return state | {f"gate {number}": gate.detach() for number, gate in enumerate(gates)}


@pytest.mark.parametrize(
    "how", [{}, {"l2": 0.01}, {"rule": Rule.PROXIMAL}, {"rule": Rule.SUBGRADIENT, "l2": 0.01}]
)
@pytest.mark.parametrize("micro_batches", [2, 3, 1000])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(
    how: dict[str, Any], micro_batches: int
) -> None:
    torch.testing.assert_close(
        trained("mlp", micro_batches, **how), trained("mlp", 1, **how), rtol=1e-9, atol=1e-11
    )


def test_a_training_goes_on_in_parts_from_a_checkpoint_of_whole_batches(
    digits: Split, quick: TrainOptions
) -> None:
    run = train_fixed(digits, widths=(8,), options=quick)
    steps = [next(run) for _ in range(2)]
    other = train_fixed(digits, widths=(8,), options=dataclasses.replace(quick, micro_batches=2))
    Checkpoint.from_bytes(Checkpoint.of(run).to_bytes()).restore(other)
    steps += [event for event in other if isinstance(event, EpochRecord)]
    whole = list(train_fixed(digits, widths=(8,), options=quick))
    for one, expected in zip(steps, whole[:-1], strict=True):
        assert isinstance(one, EpochRecord)
        assert isinstance(expected, EpochRecord)
        assert one.step == expected.step
        assert one.train_loss == pytest.approx(expected.train_loss, rel=1e-4)


def test_only_batch_norm_sees_the_parts() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(32, 1, 16, 16), torch.arange(32) % 2
    module = torch.nn.BatchNorm2d(1).double()
    for part, _ in in_parts(x.double(), y, 2):
        module(part)
    means = [part.mean() for part, _ in in_parts(x.double(), y, 2)]
    expected = 0.9 * (0.1 * means[0]) + 0.1 * means[1]
    assert module.running_mean is not None
    torch.testing.assert_close(module.running_mean[0], expected)


@pytest.mark.parametrize(
    ("rows", "number", "sizes"),
    [(7, 2, [4, 3]), (3, 2, [3]), (1, 4, [1]), (5, 9, [3, 2]), (8, 1, [8]), (8, 4, [2, 2, 2, 2])],
)
def test_no_part_of_a_batch_is_one_row(rows: int, number: int, sizes: list[int]) -> None:
    parts = in_parts(torch.arange(rows).view(-1, 1), torch.arange(rows), number)
    assert [len(y) for _, y in parts] == sizes
    assert torch.cat([y for _, y in parts]).tolist() == list(range(rows))


def test_rows_that_are_fetched_make_the_same_batches_as_rows_that_are_there(digits: Split) -> None:
    order = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(1))
    sizes = batch_sizes(len(digits.train), 64)
    there = list(batches(digits.train, order, sizes, "cpu"))
    fetched = list(prefetched(digits.train, torch.split(order, sizes), torch.device("cpu")))
    assert len(there) == len(fetched) == len(sizes)
    for (x, y), (other_x, other_y) in zip(there, fetched, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)
    assert list(prefetched(digits.train, [], torch.device("cpu"))) == []


def test_a_split_knows_its_bytes_and_stays_on_the_processor(digits: Split) -> None:
    assert num_bytes(digits) == 1797 * (64 * 4 + 8)
    assert place(digits, "cpu").train.x is digits.train.x


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_data_set_that_does_not_fit_on_the_card_is_trained_on_with_equal_results(
    digits: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainOptions(epochs=3, device="cuda:0")
    there = list(train_fixed(digits, widths=(20, 10), options=options))
    monkeypatch.setattr("shrinknets_core.batches.RESIDENT_SHARE", 0.0)
    assert place(digits, "cuda:0").train.x.device.type == "cpu"
    fetched = list(train_fixed(digits, widths=(20, 10), options=options))
    for one, other in zip(there, fetched, strict=True):
        if isinstance(one, EpochRecord):
            assert isinstance(other, EpochRecord)
            assert one.train_loss == other.train_loss
            assert one.validation_accuracy == other.validation_accuracy
    assert isinstance(there[-1], TrainedNetwork)
    assert isinstance(fetched[-1], TrainedNetwork)
    assert there[-1].test_accuracy == fetched[-1].test_accuracy

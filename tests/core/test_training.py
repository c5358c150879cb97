"""The methods on real data: what they yield, how they end, that a seed settles everything."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from shrinknets_core import (
    Collapse,
    DivergedError,
    EpochRecord,
    OptionError,
    PathOptions,
    Phase,
    Rule,
    Split,
    TrainedNetwork,
    TrainOptions,
    UnknownDatasetError,
    dataset_names,
    follow_path,
    load_dataset,
    mlp_size,
    split_rows,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.finishing import on_raw_rows
from shrinknets_core.path import LambdaControl
from shrinknets_core.training import Choice, Loop
from tests.core.conftest import make_mlp


@pytest.mark.parametrize("name", dataset_names())
def test_every_data_set_splits_into_disjoint_standardised_parts(name: str) -> None:
    split = load_dataset(name, seed=3)
    rows = torch.cat([split.train.x, split.validation.x, split.test.x])
    assert len(split.test) == pytest.approx(0.2 * len(rows), abs=1)
    assert len(split.validation) == pytest.approx(0.16 * len(rows), abs=1)
    assert split.train.x.mean(0).abs().max() < 1e-4
    assert set(split.test.y.tolist()) == set(range(split.num_classes))
    raw = rows * split.std + split.mean
    everything = load_dataset(name, seed=4)
    other = torch.cat([everything.train.x, everything.validation.x, everything.test.x])
    other = other * everything.std + everything.mean
    torch.testing.assert_close(raw.sum(0), other.sum(0), rtol=1e-4, atol=1e-2)


def test_an_unknown_data_set_names_the_known_ones() -> None:
    with pytest.raises(UnknownDatasetError, match="'mnits': expected one of digits"):
        load_dataset("mnits", seed=0)


def test_a_fixed_network_yields_its_epochs_and_then_itself(
    digits: Split, quick: TrainOptions
) -> None:
    *records, network = train_fixed(digits, widths=(20, 10), options=quick)
    assert [r.step for r in records if isinstance(r, EpochRecord)] == list(range(1, 7))
    assert isinstance(network, TrainedNetwork)
    assert network.widths == (20, 10)
    assert network.parameters == sum(p.numel() for p in network.module.parameters())
    best = max(r.validation_accuracy for r in records if isinstance(r, EpochRecord))
    assert network.validation_accuracy == best > 0.2


@pytest.mark.parametrize("rule", Rule)
def test_a_shrinking_network_ends_smaller_and_the_file_of_features_agrees(
    digits: Split, rule: Rule
) -> None:
    options = TrainOptions(epochs=20, lr=3e-3)
    events = list(train_shrinking(digits, widths=(60, 50), options=options, lam=0.02, rule=rule))
    network = events[-1]
    assert isinstance(network, TrainedNetwork)
    assert network.full_widths == (60, 50)
    assert 2 <= network.hidden_units < 90
    assert all(list(kept) == sorted(set(kept)) for kept in network.kept)
    assert (
        network.widths
        == tuple(
            layer.out_features for layer in network.module if isinstance(layer, torch.nn.Linear)
        )[:-1]
    )
    assert network.test_accuracy > 0.5


def test_size_never_rises_and_polish_keeps_it(digits: Split) -> None:
    options = TrainOptions(epochs=20, lr=3e-3)
    events = list(train_shrinking(digits, widths=(60,), options=options, lam=0.02))
    records = [event for event in events if isinstance(event, EpochRecord)]
    sizes = [record.parameters for record in records]
    assert sizes == sorted(sizes, reverse=True)
    assert {r.widths for r in records if r.phase == Phase.POLISH} == {records[-1].widths}
    assert [r.phase for r in records].count(Phase.POLISH) == options.polish_epochs


@pytest.mark.parametrize("rule", Rule)
def test_a_penalty_too_high_is_reported_as_a_collapse(digits: Split, rule: Rule) -> None:
    options = TrainOptions(epochs=100, lr=3e-2)
    events = list(train_shrinking(digits, widths=(30, 20), options=options, lam=50.0, rule=rule))
    assert isinstance(events[-1], Collapse)
    assert "hidden." in events[-1].reason
    assert "λ = 50" in events[-1].reason
    assert events[-1].step < 100


def test_the_path_yields_ever_smaller_networks_that_work(digits: Split) -> None:
    options = TrainOptions(epochs=20, batch_size=64, lr=3e-3)
    events = list(follow_path(digits, widths=(100,), options=options))
    networks = [event for event in events if isinstance(event, TrainedNetwork)]
    sizes = [network.parameters for network in networks]
    assert len(sizes) >= 5
    in_force = {e.lam for e in events if isinstance(e, EpochRecord) and e.phase == Phase.SHRINK}
    assert {network.lam for network in networks} <= in_force
    assert all(later <= 0.81 * earlier for earlier, later in pairwise(sizes))
    assert max(n.test_accuracy for n in networks if n.hidden_units <= 50) > 0.9
    steps = [event.step for event in events if isinstance(event, EpochRecord)]
    assert steps == list(range(1, len(steps) + 1))


def test_a_path_that_kept_nothing_is_a_collapse(digits: Split, quick: TrainOptions) -> None:
    path = PathOptions(first_lam=50.0)
    assert isinstance(
        list(follow_path(digits, widths=(1,), options=quick, path=path))[-1], Collapse
    )


def test_lambda_rises_slowly_and_falls_by_half_at_most() -> None:
    options = PathOptions(first_lam=1.0, max_rise=0.15)
    control = LambdaControl(options, units=1000)
    control.aim(1000)
    control.correct(1000)
    assert 1 < control.lam <= math.exp(0.15) * (1 + 1e-12)
    control.aim(1000)
    before = control.lam
    control.correct(1)
    assert control.lam == pytest.approx(before * math.exp(-0.7))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.ones(10), torch.zeros(10, dtype=torch.int64), "shapes"),
        (torch.ones(10, 2), torch.zeros(9, dtype=torch.int64), "shapes"),
        (torch.ones(10, 2), torch.full((10,), -1), "whole numbers from 0"),
        (torch.ones(10, 2), torch.zeros(10), "whole numbers from 0"),
        (torch.ones(10, 2), torch.arange(10), "enough rows"),
    ],
)
def test_rows_that_cannot_be_split_are_refused_in_words(
    x: torch.Tensor, y: torch.Tensor, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        split_rows("mine", x, y, seed=0)


def test_training_works_whatever_the_default_dtype_is(quick: TrainOptions) -> None:
    x = torch.randn(100, 3, dtype=torch.float64)
    split = split_rows("mine", x, (x[:, 0] > 0).long(), seed=0)
    torch.set_default_dtype(torch.float64)
    try:
        network = list(train_fixed(split, widths=(4,), options=quick))[-1]
    finally:
        torch.set_default_dtype(torch.float32)
    assert isinstance(network, TrainedNetwork)
    assert {p.dtype for p in network.module.parameters()} == {torch.float32}


@pytest.mark.parametrize("method", ["fixed", "shrinking", "path"])
def test_the_seed_settles_everything(digits: Split, method: str) -> None:
    def run(seed: int) -> list[EpochRecord]:
        options = TrainOptions(epochs=4, seed=seed)
        events = {
            "fixed": lambda: train_fixed(digits, widths=(8,), options=options, l2=1e-4),
            "shrinking": lambda: train_shrinking(digits, widths=(8,), options=options, lam=0.01),
            "path": lambda: follow_path(digits, widths=(8,), options=options),
        }[method]()
        records = [e for e, _ in zip(events, range(12), strict=False) if isinstance(e, EpochRecord)]
        return [dataclasses.replace(record, seconds=0) for record in records]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_data_that_are_not_finite_stop_the_training_with_words(
    digits: Split, quick: TrainOptions
) -> None:
    digits = dataclasses.replace(
        digits, train=dataclasses.replace(digits.train, x=digits.train.x * torch.inf)
    )
    with pytest.raises(DivergedError, match=r"became nan in epoch 1: lower the learning rate"):
        list(train_fixed(digits, widths=(8,), options=quick))


@pytest.mark.parametrize(
    ("option", "value"),
    [("epochs", 1), ("batch_size", 0), ("lr", 0.0), ("weight_decay", -1.0), ("polish_share", 1.0)],
)
def test_an_option_out_of_range_is_named_with_what_is_allowed(option: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{option} must be .*, got {value}"):
        TrainOptions(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("lam", [0.0, -1.0, math.nan])
def test_a_penalty_that_is_not_positive_is_refused(
    digits: Split, quick: TrainOptions, lam: float
) -> None:
    with pytest.raises(OptionError, match="lam must be positive"):
        train_shrinking(digits, widths=(8,), options=quick, lam=lam)


def test_sizes_agree_with_torch_counting_a_real_forward_pass() -> None:
    model = make_mlp(7, [5, 4], 3, seed=0).folded()
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 7, dtype=torch.float64))
    size = mlp_size(7, [5, 4], 3)
    assert size.parameters == sum(p.numel() for p in model.parameters())
    assert 2 * size.macs == counter.get_total_flops()


def test_folding_gates_and_scaling_into_the_weights_changes_no_output(digits: Split) -> None:
    model = make_mlp(64, [20, 10], 10, seed=0).float()
    plain = on_raw_rows(model.folded(), mean=digits.mean, std=digits.std)
    raw = digits.test.x * digits.std + digits.mean
    torch.testing.assert_close(plain(raw), model(digits.test.x), rtol=1e-4, atol=1e-5)


def test_l2_is_half_the_squared_norm_in_the_loss(digits: Split) -> None:
    options = TrainOptions(epochs=2, batch_size=10_000)
    ours = options.build(digits, (6,), filters=False)
    theirs = options.build(digits, (6,), filters=False)
    loop = Loop(ours, digits, options, l2=0.3)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=options.lr)
    for _ in range(5):
        loop.epoch(phase=Phase.TRAIN, lr=options.lr)
        penalty = 0.15 * sum(p.square().sum() for p in theirs.parameters())
        (cross_entropy(theirs(digits.train.x), digits.train.y) + penalty).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-3, atol=1e-5)


def test_the_choice_forgets_epochs_of_a_larger_network() -> None:
    model = make_mlp(3, [2], 2, seed=0)
    base = EpochRecord(
        step=1, phase=Phase.SHRINK, train_loss=1, validation_loss=1, validation_accuracy=0.9,
        widths=(2,), parameters=9, macs=9, lam=0.1, seconds=1,
    )  # fmt: skip
    choice = Choice()
    for changes in (
        {},
        {"step": 2, "widths": (1,), "validation_accuracy": 0.5},
        {"step": 3, "widths": (1,), "validation_accuracy": 0.5, "validation_loss": 0.9},
        {"step": 4, "widths": (1,), "validation_accuracy": 0.4},
    ):
        choice.offer(dataclasses.replace(base, **changes), model)  # type: ignore[arg-type]
    assert choice.record is not None
    assert choice.record.step == 3

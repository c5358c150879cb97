"""The methods on real data: what they yield, how they end, that a seed settles everything."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import cross_entropy

from shrinknets_core import (
    Collapse,
    DivergedError,
    EpochRecord,
    OptionError,
    PathOptions,
    Phase,
    Rule,
    ShrinkOptions,
    Split,
    TrainedNetwork,
    TrainOptions,
    UnknownDatasetError,
    dataset_names,
    follow_path,
    load_dataset,
    split_rows,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.batches import batch_sizes
from shrinknets_core.choice import Choice
from shrinknets_core.families import get_family, mlp_family
from shrinknets_core.finishing import on_raw_rows
from shrinknets_core.training import Loop


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
    assert "hidden" in events[-1].reason
    assert "λ = 50" in events[-1].reason
    assert events[-1].step < 100


@pytest.mark.slow
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


@pytest.mark.parametrize("family", ["residual_mlp", "lenet5"])
def test_every_method_trains_networks_of_other_families(family: str) -> None:
    rng = torch.Generator().manual_seed(0)
    shape = (1, 16, 16) if family == "lenet5" else (20,)
    x = torch.randn(300, *shape, generator=rng)
    y = (x.flatten(1)[:, :3].sum(1) > 0).long()
    split = split_rows("mine", x, y, seed=0)
    widths = (16, 17, 18)
    options = TrainOptions(epochs=6, batch_size=16, lr=3e-3)
    chosen = get_family(family)
    trainings = {
        "fixed": train_fixed(split, widths=widths, options=options, family=chosen),
        "shrinking": train_shrinking(
            split, widths=widths, options=options, lam=0.001, family=chosen
        ),
        "path": follow_path(split, widths=widths, options=options, family=chosen),
    }
    for events in trainings.values():
        network = next(event for event in events if isinstance(event, TrainedNetwork))
        assert network.family == family
        assert len(network.widths) == 3
        assert network.parameters == sum(p.numel() for p in network.module.parameters())
        assert network.module(x).shape == (300, 2)


def test_images_are_standardised_by_channel_and_networks_take_raw_ones() -> None:
    x = 5 + 3 * torch.randn(60, 3, 16, 16)
    split = split_rows("images", x, torch.arange(60) % 2, seed=0)
    assert split.mean.shape == split.std.shape == (3, 1, 1)
    assert split.input_shape == (3, 16, 16)
    assert split.train.x.mean((0, 2, 3)).abs().max() < 1e-4
    model = get_family("lenet5").build((3, 16, 16), (3, 4, 5), 2)
    plain = on_raw_rows(model, mean=split.mean, std=split.std)
    raw = split.test.x * split.std + split.mean
    torch.testing.assert_close(plain(raw), model(split.test.x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "expected"), [(10, [4, 4, 2]), (9, [4, 5]), (8, [4, 4]), (1, [1]), (3, [3])]
)
def test_no_batch_has_one_row_alone(rows: int, expected: list[int]) -> None:
    assert batch_sizes(rows, 4) == expected


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


def test_folding_gates_and_scaling_into_the_weights_changes_no_output(digits: Split) -> None:
    options = TrainOptions()
    trainee = options.build(digits, (20, 10), family=mlp_family(), shrink=ShrinkOptions())
    assert trainee.shrinker is not None
    for theta in trainee.shrinker.gates():
        theta.data.uniform_(0.1, 2.0)
    expected = trainee.module(digits.test.x)
    plain = on_raw_rows(trainee.plain(), mean=digits.mean, std=digits.std)
    assert [type(layer).__name__ for layer in plain] == ["Linear", "ReLU"] * 2 + ["Linear"]
    raw = digits.test.x * digits.std + digits.mean
    torch.testing.assert_close(plain(raw), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(trainee.module(digits.test.x), expected)


def test_the_papers_rule_is_adam_over_weights_and_gates_with_the_penalty_in_the_loss(
    digits: Split,
) -> None:
    options = TrainOptions(epochs=4, batch_size=200, lr=0.05)
    lam = 0.01
    events = train_shrinking(digits, widths=(40,), options=options, lam=lam, rule="subgradient")
    records = [event for event in events if isinstance(event, EpochRecord)]
    model = options.build(digits, (40,), family=mlp_family()).module
    assert isinstance(model, torch.nn.Sequential)
    draw = torch.rand(40, generator=torch.Generator().manual_seed(options.seed))
    theta = torch.nn.Parameter(1 - draw)
    optimizer = torch.optim.Adam([*model.parameters(), theta], lr=options.lr)
    alive = torch.ones(40)
    rng = torch.Generator().manual_seed(options.seed)
    for record in records:
        total = 0.0
        order = torch.randperm(len(digits.train), generator=rng)
        for rows in order.split(batch_sizes(len(order), options.batch_size)):
            hidden = model.relu1(model.hidden1(digits.train.x[rows])) * theta.relu()
            loss = cross_entropy(model.head(hidden), digits.train.y[rows])
            total += loss.item() * len(rows)
            (loss + lam * theta.relu().sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
            alive *= theta.detach() > 0
            theta.data *= alive
        assert record.train_loss == pytest.approx(total / len(order), rel=1e-3)
        assert record.widths == (int(alive.sum()),)
    assert records[-1].widths < (40,)


def test_l2_is_half_the_squared_norm_in_the_loss(digits: Split) -> None:
    options = TrainOptions(epochs=2, batch_size=10_000)
    trainee = options.build(digits, (6,), family=mlp_family())
    ours, theirs = trainee.module, options.build(digits, (6,), family=mlp_family()).module
    loop = Loop(trainee, digits, options, l2=0.3)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=options.lr)
    for _ in range(5):
        loop.epoch(phase=Phase.TRAIN, lr=options.lr)
        penalty = 0.15 * sum(p.square().sum() for p in theirs.parameters())
        (cross_entropy(theirs(digits.train.x), digits.train.y) + penalty).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-3, atol=1e-5)


def test_the_choice_forgets_epochs_of_a_larger_network(digits: Split) -> None:
    trainee = TrainOptions().build(digits, (2,), family=mlp_family())
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
        choice.offer(dataclasses.replace(base, **changes), trainee)  # type: ignore[arg-type]
    assert choice.record is not None
    assert choice.record.step == 3

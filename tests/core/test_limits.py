"""A network that is over a limit goes on shrinking until it keeps it, and not for ever."""

import json
import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shrinknets_core import (
    EpochRecord,
    Limits,
    OptionError,
    Phase,
    Run,
    Size,
    Split,
    TrainedNetwork,
    TrainOptions,
    limits,
    train_shrinking,
)
from shrinknets_core.families import mlp_family
from shrinknets_core.limits import MAX_RISE, Tightening
from shrinknets_core.shrinking import shrink_options
from shrinknets_core.training import Loop
from tests.core.test_resuming import expect_the_same_rest

# 64 inputs and 10 classes: 64·20 + 20·10 + 10·10 products, and 20 + 10 + 10 biases.
MACS = 1580
PARAMETERS = 1620


@pytest.fixture
def loop(digits: Split) -> Loop:
    """A network of 20 and 10 features that has not been trained."""
    options = TrainOptions(epochs=3, batch_size=128)
    shrink = shrink_options(digits, options, warmup=0)
    trainee = options.build(digits, (20, 10), family=mlp_family(), shrink=shrink)
    return Loop(trainee, digits, options)


def kill_half_of_the_first_layer(loop: Loop) -> None:
    assert loop.trainee.shrinker is not None
    loop.trainee.shrinker.groups[0].kill(range(10))


@pytest.mark.parametrize("name", ["parameters", "macs", "milliseconds"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{name}.*positive"):
        Limits(**{name: value})


def test_the_excess_is_the_largest_of_the_shares_of_the_limits(loop: Loop) -> None:
    assert Limits().excess(loop) == 0
    assert Limits(parameters=PARAMETERS).excess(loop) == 1
    assert Limits(parameters=PARAMETERS / 2).excess(loop) == 2
    assert Limits(macs=MACS * 4).excess(loop) == 0.25
    assert Limits(parameters=PARAMETERS * 2, macs=MACS / 3).excess(loop) == pytest.approx(3)
    assert Limits(parameters=PARAMETERS / 3, macs=MACS * 2).excess(loop) == pytest.approx(3)


def test_dead_features_count_no_more_whether_they_were_collected_or_not(loop: Loop) -> None:
    kill_half_of_the_first_layer(loop)
    for _ in range(2):
        # Ten features with 64 inputs, a bias and 10 outputs each are gone.
        assert Limits(parameters=1).excess(loop) == PARAMETERS - 10 * 75
        assert Limits(macs=1).excess(loop) == MACS - 10 * 74
        loop.collect()
    plain = loop.trainee.plain()
    assert sum(p.numel() for p in plain.parameters()) == PARAMETERS - 10 * 75


def test_a_limit_on_time_is_for_one_row_of_the_network_without_its_dead_features(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[tuple[list[tuple[int, ...]], tuple[int, ...]]] = []

    def four_milliseconds(model: nn.Module, rows: torch.Tensor) -> float:
        timed.append(([tuple(p.shape) for p in model.parameters()], tuple(rows.shape)))
        return 0.004

    monkeypatch.setattr(limits, "forward_seconds", four_milliseconds)
    kill_half_of_the_first_layer(loop)
    assert Limits(parameters=PARAMETERS).excess(loop) < 1
    assert timed == []
    assert Limits(parameters=PARAMETERS, milliseconds=2).excess(loop) == pytest.approx(2)
    assert timed == [([(10, 64), (10,), (10, 10), (10,), (10, 10), (10,)], (1, 64))]


def test_the_time_of_a_real_network_is_measured_and_leaves_it_as_it_was(loop: Loop) -> None:
    before = {name: t.clone() for name, t in loop.trainee.module.state_dict().items()}
    excess = Limits(milliseconds=1).excess(loop)
    assert 0 < excess < 1000
    assert Limits(milliseconds=1e9).excess(loop) < 1
    after = loop.trainee.module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert loop.trainee.module.training


class FakeLoop:
    """A training in which the sizes are known beforehand; the last one stays."""

    def __init__(self, sizes: list[int], place: int = 0) -> None:
        self._sizes = sizes
        self.place = place
        self.trainee: Any = self
        self.shrinker = SimpleNamespace(lam=0.0)
        self.lams: list[float] = []

    def widths(self) -> tuple[int, ...]:
        return ()

    def size(self, _: tuple[int, ...]) -> Size:
        now = self._sizes[min(self.place, len(self._sizes) - 1)]
        return Size(parameters=now, macs=7)

    def epoch(self, *, phase: Phase, lr: float) -> EpochRecord:
        assert (phase, lr) == (Phase.SHRINK, 0.25)
        self.lams.append(self.shrinker.lam)
        self.place += 1
        size = self.size(())
        return EpochRecord(
            step=self.place,
            phase=phase,
            train_loss=0.0,
            validation_loss=0.0,
            validation_accuracy=0.0,
            widths=(),
            parameters=size.parameters,
            macs=size.macs,
            lam=self.shrinker.lam,
            seconds=0.0,
        )


def tightening(loop: FakeLoop, limit: float | None, epochs: int = 20) -> Tightening:
    options = TrainOptions(epochs=epochs, lr=0.25)
    kept = None if limit is None else Limits(parameters=limit)
    return Tightening(loop, options, kept, 0.5)  # type: ignore[arg-type]


def records_of(tightening: Tightening) -> list[EpochRecord]:
    records = []
    while tightening.is_due:
        records.append(tightening.epoch())
    return records


def test_without_limits_or_within_them_there_is_no_epoch_more() -> None:
    assert not tightening(FakeLoop([100]), None).is_due
    assert not tightening(FakeLoop([100]), 100).is_due
    assert tightening(FakeLoop([101]), 100).is_due


def test_lam_begins_where_it_was_and_rises_while_the_network_does_not_shrink() -> None:
    loop = FakeLoop([200])
    assert len(records_of(tightening(loop, 100, epochs=9))) == 9
    assert loop.lams[0] == 0.5
    # A tenth was to go, nothing went: the first rise is twice that, and then the aim falls on.
    assert loop.lams[1] == pytest.approx(0.5 * math.exp(0.2))
    assert loop.lams[2] == pytest.approx(0.5 * math.exp(0.2 + MAX_RISE))
    assert loop.lams[-1] == pytest.approx(0.5 * math.exp(0.2 + 7 * MAX_RISE))


def test_just_over_the_limit_no_more_is_asked_for_than_to_end_just_below_it() -> None:
    loop = FakeLoop([102])
    records_of(tightening(loop, 100, epochs=2))
    assert loop.lams == pytest.approx([0.5, 0.5 * (102 / 98) ** 2])


sizes = st.lists(st.integers(1, 300), min_size=1, max_size=12)


@given(sizes, st.integers(1, 300), st.integers(2, 10))
def test_it_ends_at_the_first_size_that_keeps_the_limit_or_after_as_many_epochs_again(
    found: list[int], limit: int, epochs: int
) -> None:
    loop = FakeLoop(found)
    records = records_of(tightening(loop, limit, epochs))
    keeping = [place for place, size in enumerate(found) if size <= limit]
    assert len(records) == (min(keeping[0], epochs) if keeping else epochs)
    rises = [math.log(after / before) for before, after in pairwise(loop.lams)]
    assert all(rise <= MAX_RISE + 1e-9 for rise in rises)
    assert all(lam > 0 for lam in loop.lams)


@given(sizes, st.integers(1, 300), st.integers(0, 12))
def test_it_goes_on_from_its_state_as_if_it_had_not_been_interrupted(
    found: list[int], limit: int, cut: int
) -> None:
    whole = records_of(tightening(FakeLoop(found), limit))
    loop = FakeLoop(found)
    first = tightening(loop, limit)
    records: list[EpochRecord] = []
    while first.is_due and len(records) < cut:
        records.append(first.epoch())
    state = json.loads(json.dumps(first.state_dict()))
    second = tightening(FakeLoop(found, loop.place), limit)
    second.load_state_dict(state)
    assert [*records, *records_of(second)] == whole


def shrunk(split: Split, *, lam: float, **given: Any) -> Run:
    options = TrainOptions(epochs=10, batch_size=64, lr=3e-3)
    return train_shrinking(split, widths=(40,), options=options, lam=lam, **given)


# The paper's rule has more of the loss to overcome.
RULES = pytest.mark.parametrize(("rule", "lam"), [("proximal", 3e-3), ("subgradient", 5e-2)])


@RULES
def test_a_network_that_is_still_too_large_shrinks_on_until_it_keeps_the_limit(
    digits: Split, rule: str, lam: float
) -> None:
    free = list(shrunk(digits, lam=lam, rule=rule))[-1]
    assert isinstance(free, TrainedNetwork)
    limit = int(0.85 * free.parameters)
    *records, network = shrunk(digits, lam=lam, rule=rule, limits=Limits(parameters=limit))
    assert isinstance(network, TrainedNetwork)
    assert 0.7 * limit < network.parameters <= limit
    assert 10 < len(records) <= 20


def test_a_limit_that_is_kept_anyway_changes_nothing(digits: Split) -> None:
    free, limited = (
        list(shrunk(digits, lam=3e-2, limits=given))[-1] for given in (None, Limits(macs=10**6))
    )
    assert isinstance(free, TrainedNetwork)
    assert isinstance(limited, TrainedNetwork)
    assert (free.kept, free.step) == (limited.kept, limited.step)
    pairs = zip(free.module.parameters(), limited.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.slow
@RULES
def test_a_training_that_is_cut_off_while_it_shrinks_to_a_limit_goes_on_bit_for_bit(
    digits: Split, rule: str, lam: float
) -> None:
    def start() -> Run:
        return shrunk(digits, lam=lam, rule=rule, limits=Limits(parameters=1800))

    def around_the_limit(events: list[Any]) -> list[int]:
        return [*range(5, len(events), 4), len(events) - 1]

    *records, network = expect_the_same_rest(start, around_the_limit)
    assert network["parameters"] <= 1800
    assert 10 < len(records) <= 20

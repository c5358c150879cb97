"""A training that goes on from a checkpoint gives bit for bit what one in one piece gives."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from shrinknets_core import (
    Checkpoint,
    CheckpointError,
    Collapse,
    EpochRecord,
    OptionError,
    PathOptions,
    Phase,
    Run,
    Split,
    TrainedNetwork,
    TrainOptions,
    TrialEvent,
    follow_path,
    polish_queue,
    split_rows,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.families import get_family

Start = Callable[[], Run]
QUICK = TrainOptions(epochs=10, batch_size=64, lr=3e-3, seed=5)


def facts(event: TrialEvent) -> Any:
    """All of an event but its seconds, in values that can be compared."""
    match event:
        case EpochRecord():
            return {**asdict(event), "seconds": None}
        case TrainedNetwork():
            tensors = {k: v.numpy().tobytes() for k, v in event.module.state_dict().items()}
            return {**vars(event), "module": tensors}
        case Collapse():
            return asdict(event)


def in_pieces(start: Start) -> tuple[list[Any], list[bytes]]:
    """The events of a run, and the checkpoint after each of them."""
    run = start()
    events, saved = [], []
    for event in run:
        events.append(facts(event))
        saved.append(Checkpoint.of(run).to_bytes())
    return events, saved


def rest_after(content: bytes, start: Start) -> list[Any]:
    run = start()
    Checkpoint.from_bytes(content).restore(run)
    # Whoever goes on in another process has drawn other numbers before.
    return [facts(event) for event in run]


def expect_the_same_rest(start: Start, cuts: Callable[[list[Any]], Sequence[int]]) -> list[Any]:
    whole = [facts(event) for event in start()]
    events, saved = in_pieces(start)
    assert events == whole, "taking checkpoints changes nothing"
    for cut in cuts(events):
        assert rest_after(saved[cut], start) == whole[cut + 1 :], f"after event {cut}"
    return whole


def every(events: list[Any]) -> Sequence[int]:
    return range(len(events))


@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_a_fixed_training_goes_on_from_any_epoch(digits: Split, l2: float) -> None:
    def start() -> Run:
        return train_fixed(digits, widths=(30, 20), options=QUICK, l2=l2)

    assert len(expect_the_same_rest(start, every)) == QUICK.epochs + 1


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["proximal", "subgradient"])
def test_a_shrinking_training_goes_on_from_any_epoch(digits: Split, rule: str) -> None:
    options = TrainOptions(epochs=16, batch_size=32, lr=3e-3, seed=5, weight_decay=0.01)

    def start() -> Run:
        return train_shrinking(digits, widths=(60, 50), options=options, lam=0.03, rule=rule)

    events = expect_the_same_rest(start, every)
    assert events[-2]["widths"] < events[0]["widths"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["proximal", "subgradient"])
def test_a_training_that_collapses_does_so_after_a_resume_too(digits: Split, rule: str) -> None:
    options = TrainOptions(epochs=100, batch_size=64, lr=3e-2)

    def start() -> Run:
        return train_shrinking(digits, widths=(30, 20), options=options, lam=50.0, rule=rule)

    events = expect_the_same_rest(start, lambda events: range(0, len(events), 2))
    assert "collapsed" in events[-1]["reason"]
    *_, before, _last = in_pieces(start)[1]
    assert [event["reason"] for event in rest_after(before, start)] == [events[-1]["reason"]]


@pytest.mark.slow
@pytest.mark.parametrize("stacked", [True, False])
def test_a_path_goes_on_from_any_place(
    digits: Split, stacked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not stacked:
        monkeypatch.setattr(polish_queue, "STACK_PARAMETERS", 0)
    path = PathOptions(shrink_rate=0.2, snapshot_ratio=0.6, polish_share=0.3)

    def start() -> Run:
        return follow_path(digits, widths=(60,), options=QUICK, path=path)

    def telling(events: list[Any]) -> Sequence[int]:
        """In the warm-up, before, in and after polishing, between networks, and at the end."""
        kept = [place for place, event in enumerate(events) if "kept" in event]
        polish = [n for n, event in enumerate(events) if event.get("phase") == Phase.POLISH]
        around = {0, polish[0] - 1, *polish[:4], *kept, kept[0] + 1, len(events) - 1}
        return sorted(place for place in around if place < len(events))

    events = expect_the_same_rest(start, telling)
    assert sum("kept" in event for event in events) >= 3
    assert {event["phase"] for event in events if "phase" in event} >= {Phase.SHRINK, Phase.POLISH}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["residual_mlp", "lenet5"])
@pytest.mark.parametrize("method", ["fixed", "proximal", "subgradient", "path"])
def test_networks_of_other_families_go_on_too(family: str, method: str) -> None:
    rng = torch.Generator().manual_seed(0)
    shape = (1, 16, 16) if family == "lenet5" else (20,)
    x = torch.randn(200, *shape, generator=rng)
    split = split_rows("mine", x, (x.flatten(1)[:, :3].sum(1) > 0).long(), seed=0)
    options = TrainOptions(epochs=8, batch_size=16, lr=3e-3, weight_decay=0.01)
    common: Any = {"widths": (12, 13, 14), "options": options, "family": get_family(family)}

    def start() -> Run:
        match method:
            case "fixed":
                return train_fixed(split, **common)
            case "path":
                path = PathOptions(shrink_rate=0.3, snapshot_ratio=0.5)
                return follow_path(split, **common, path=path)
            case rule:
                return train_shrinking(split, **common, lam=0.01, rule=rule)

    def some(events: list[Any]) -> Sequence[int]:
        return range(0, len(events), max(1, len(events) // 6))

    expect_the_same_rest(start, some)


@pytest.mark.slow
def test_a_run_can_be_resumed_again_and_again(digits: Split) -> None:
    def start() -> Run:
        return train_shrinking(digits, widths=(40,), options=QUICK, lam=0.02)

    whole = [facts(event) for event in start()]
    run, events = start(), []
    while (event := next(run, None)) is not None:
        events.append(facts(event))
        content = Checkpoint.of(run).to_bytes()
        run = start()
        Checkpoint.from_bytes(content).restore(run)
    assert events == whole


def test_what_belongs_to_the_caller_comes_back(digits: Split, quick: TrainOptions) -> None:
    run = train_fixed(digits, widths=(5,), options=quick)
    next(run)
    found = Checkpoint.from_bytes(Checkpoint.of(run, networks=[{"sha256": "ab"}]).to_bytes())
    assert (found.step, found.extra) == (1, {"networks": [{"sha256": "ab"}]})


def test_a_checkpoint_of_another_training_is_refused_with_the_difference(
    digits: Split, quick: TrainOptions
) -> None:
    run = train_fixed(digits, widths=(5,), options=quick)
    next(run)
    checkpoint = Checkpoint.of(run)
    with pytest.raises(CheckpointError, match=r"widths is \[5\] there and \[6\] here"):
        checkpoint.restore(train_fixed(digits, widths=(6,), options=quick))
    with pytest.raises(CheckpointError, match="method is 'fixed' there and 'shrinknets' here"):
        checkpoint.restore(train_shrinking(digits, widths=(5,), options=quick, lam=0.1))
    other = TrainOptions(**{**asdict(quick), "seed": 99})
    with pytest.raises(CheckpointError, match=r"options\.seed"):
        checkpoint.restore(train_fixed(digits, widths=(5,), options=other))


def test_a_run_that_has_begun_takes_no_state(digits: Split, quick: TrainOptions) -> None:
    run = train_fixed(digits, widths=(5,), options=quick)
    next(run)
    with pytest.raises(OptionError, match="has not begun"):
        Checkpoint.of(run).restore(run)


def test_any_damage_to_the_file_is_noticed(
    digits: Split, quick: TrainOptions, tmp_path: Path
) -> None:
    run = train_fixed(digits, widths=(5,), options=quick)
    next(run)
    path = tmp_path / "x.checkpoint"
    Checkpoint.of(run).save(path)
    whole = path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]
    assert Checkpoint.load(path).step == 1
    rng = torch.Generator().manual_seed(0)
    for place in torch.randint(len(whole), (200,), generator=rng).tolist():
        broken = bytearray(whole)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"x\.checkpoint: "):
            Checkpoint.load(path)
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            Checkpoint.load(path)


def test_a_checkpoint_of_another_version_is_refused(
    digits: Split, quick: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_fixed(digits, widths=(5,), options=quick)
    next(run)
    monkeypatch.setattr("shrinknets_core.checkpoints.FORMAT", "shrinknets-checkpoint/0")
    old = Checkpoint.of(run).to_bytes()
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="checkpoint/0', this version reads"):
        Checkpoint.from_bytes(old)

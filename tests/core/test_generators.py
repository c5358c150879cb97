"""What is drawn goes on where it was, on the device that it was drawn on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shrinknets_core import (
    Checkpoint,
    EpochRecord,
    PathOptions,
    Phase,
    Run,
    Shrinker,
    Split,
    TrainedNetwork,
    TrainOptions,
    follow_path,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.families import Family, Layer
from shrinknets_core.generators import global_states, go_on, set_global_states
from shrinknets_core.states import copied
from tests.core.method.test_deaths import flat, push, set_gates
from tests.core.test_resuming import expect_the_same_rest

OF_CUDA = torch.arange(16, dtype=torch.uint8)
"""As long as the state of a CUDA generator: its seed and its offset."""
CPU = torch.device("cpu")


def test_a_generator_goes_on_from_a_state_of_its_kind_and_ignores_others() -> None:
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    torch.rand(3, generator=one)
    go_on(other, one.get_state())
    assert torch.equal(torch.rand(5, generator=one), torch.rand(5, generator=other))
    before = one.get_state()
    go_on(one, OF_CUDA)
    assert torch.equal(one.get_state(), before)


def test_a_training_on_the_cpu_keeps_and_sets_the_state_of_the_cpu_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: pytest.fail("set"))
    states = global_states(CPU)
    expected = torch.rand(3)
    assert list(states) == ["global"]
    set_global_states({**states, "global_cuda": OF_CUDA}, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_a_training_on_a_card_keeps_the_state_of_that_card_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, now = torch.device("cuda:1"), {"cuda:1": OF_CUDA}

    def set_state(state: Tensor, device: torch.device) -> None:
        now[str(device)] = state

    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: now[str(device)])
    monkeypatch.setattr(torch.cuda, "set_rng_state", set_state)
    states = global_states(card)
    now["cuda:1"] = OF_CUDA + 1
    # One that was made on a CPU says nothing of cards.
    set_global_states(global_states(CPU), card)
    assert torch.equal(now["cuda:1"], OF_CUDA + 1)
    set_global_states(states, card)
    assert torch.equal(now["cuda:1"], OF_CUDA)


def by_chance() -> Shrinker:
    """400 gates that stand at 0, each of which dies in a step with a chance of 0.3."""
    shrinker = flat(400, removal="random", removal_probability=0.3)
    set_gates(shrinker, [0.0] * 400)
    return shrinker


def deaths_after_a_step(shrinker: Shrinker) -> list[float]:
    push(shrinker, [0.0] * 400)
    return shrinker.groups[0].filter.alive.tolist()


def resumed(state: dict[str, Any], model: dict[str, Tensor]) -> Shrinker:
    shrinker = flat(400, removal="random", removal_probability=0.3)
    shrinker.load_state_dict(state)
    shrinker.model.load_state_dict(model)
    return shrinker


def test_removal_by_chance_goes_on_where_it_was() -> None:
    whole = by_chance()
    deaths_after_a_step(whole)
    state, model = copied([whole.state_dict(), whole.model.state_dict()])
    twice = resumed(resumed(state, model).state_dict(), model)
    assert deaths_after_a_step(twice) == deaths_after_a_step(whole)
    assert 0 < sum(deaths_after_a_step(twice)) < 400


def test_removal_by_chance_begins_anew_with_the_state_of_another_kind_of_device() -> None:
    first = by_chance()
    deaths_after_a_step(first)
    state, model = copied([first.state_dict(), by_chance().model.state_dict()])
    state["method"]["rule"]["deaths"]["rng"] = OF_CUDA
    assert deaths_after_a_step(resumed(state, model)) == deaths_after_a_step(by_chance())


def make_dropping(shape: tuple[int, ...], widths: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(shape[0], widths[0]), nn.ReLU(), nn.Dropout(0.5), nn.Linear(widths[0], classes)
    )


DROPPING = Family(name="dropping", make=make_dropping, layers=(Layer(name="0", full=20),))


def start_run(method: str, split: Split, device: str = "cpu") -> Run:
    """A short run of a network with dropout, which draws from torch's global generators."""
    torch.manual_seed(7)
    options = TrainOptions(epochs=6, batch_size=128, lr=3e-3, device=device)
    common: dict[str, Any] = {"widths": (20,), "options": options, "family": DROPPING}
    match method:
        case "fixed":
            return train_fixed(split, **common)
        case "path" | "stack":
            path = PathOptions(shrink_rate=0.3, snapshot_ratio=0.6)
            # Perceptrons without dropout are polished as one stack, which has an order of its own.
            family = DROPPING if method == "path" else None
            return follow_path(split, **{**common, "family": family}, path=path)
        case rule:
            return train_shrinking(split, **common, lam=0.01, rule=rule)


METHODS = pytest.mark.parametrize("method", ["fixed", "proximal", "subgradient", "path"])


@METHODS
def test_dropout_goes_on_where_it_was(digits: Split, method: str) -> None:
    def some(events: list[Any]) -> Sequence[int]:
        return range(1, len(events), max(2, len(events) // 3))

    expect_the_same_rest(lambda: start_run(method, digits), some)


def as_if_of_a_card(state: Any) -> Any:
    """A state of the CPU with generators as a CUDA device has them."""
    match state:
        case {"order": _, **others}:
            rest = {name: as_if_of_a_card(one) for name, one in others.items()}
            return {**rest, "order": OF_CUDA.clone(), "global_cuda": OF_CUDA.clone()}
        case dict():
            return {name: as_if_of_a_card(one) for name, one in state.items()}
        case list():
            return [as_if_of_a_card(one) for one in state]
        case _:
            return state


def in_the_middle(method: str, split: Split, device: str = "cpu") -> Run:
    """Train until networks are polished, where the method does that."""
    phase = {"fixed": Phase.TRAIN, "subgradient": Phase.SHRINK}.get(method, Phase.POLISH)
    run = start_run(method, split, device)
    for event in run:
        assert isinstance(event, EpochRecord)
        if event.phase is phase and event.step >= 4:
            break
    return run


@pytest.mark.parametrize("method", ["fixed", "proximal", "subgradient", "path", "stack"])
def test_a_checkpoint_of_a_card_goes_on_on_the_cpu(digits: Split, method: str) -> None:
    here = Checkpoint.of(in_the_middle(method, digits))
    options = {**here.description["options"], "device": "cuda"}
    there = replace(
        here,
        description={**here.description, "options": options},
        state=as_if_of_a_card(here.state),
    )
    run = start_run(method, digits)
    Checkpoint.from_bytes(there.to_bytes()).restore(run)
    assert run.step == here.step
    events = list(run)
    assert any(isinstance(event, TrainedNetwork) for event in events)

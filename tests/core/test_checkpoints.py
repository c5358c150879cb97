"""A checkpoint from the middle of shrinking goes on bit for bit in a freshly built model."""

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shrinknets_core import OptionError, Shrinker, ShrinkOptions
from tests.core.test_shrinker import Net

OPTIONS = ShrinkOptions(warmup_steps=3, ramp_steps=3, check_steps=4, collect_share=0.01)


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(0)
    xs = torch.randn(count, 8, 3, 5, 5, generator=rng)
    return [(x, torch.arange(8) % 5) for x in xs]


def build(seed: int) -> tuple[nn.Module, Shrinker, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = Net()
    shrinker = Shrinker(model, torch.randn(2, 3, 5, 5), lam=0.3, options=OPTIONS)
    optimizer = torch.optim.AdamW(shrinker.parameters(), lr=1e-2)
    return model, shrinker, optimizer


def train(
    model: nn.Module,
    shrinker: Shrinker,
    optimizer: torch.optim.Optimizer,
    data: list[tuple[Tensor, Tensor]],
) -> list[float]:
    losses = []
    model.train()
    for x, y in data:
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        shrinker.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("taken_at", [1, 10, 40])
def test_a_resumed_run_equals_the_uninterrupted_one(taken_at: int) -> None:
    data = batches(60)
    model, shrinker, optimizer = build(seed=0)
    train(model, shrinker, optimizer, data[:taken_at])
    state = through_a_file([shrinker.state_dict(), model.state_dict(), optimizer.state_dict()])
    expected = train(model, shrinker, optimizer, data[taken_at:])

    twin, other, _ = build(seed=1)
    other.load_state_dict(state[0])
    twin.load_state_dict(state[1])
    resumed = torch.optim.AdamW(other.parameters(), lr=1e-2)
    resumed.load_state_dict(state[2])
    assert train(twin, other, resumed, data[taken_at:]) == expected
    assert {g.name: g.size for g in other.groups} == {g.name: g.size for g in shrinker.groups}
    assert sum(g.size for g in shrinker.groups) < 37


def test_a_checkpoint_of_another_model_is_refused() -> None:
    _, shrinker, _ = build(seed=0)
    state = shrinker.state_dict()
    other = Shrinker(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), torch.randn(2, 4))
    with pytest.raises(OptionError, match="a checkpoint of this model"):
        other.load_state_dict(state)


def test_a_checkpoint_is_not_loaded_over_a_model_that_has_lost_features() -> None:
    model, shrinker, _ = build(seed=0)
    state = shrinker.state_dict()
    group = shrinker.groups[0]
    group.kill([group.size - 1])
    shrinker.collect()
    before = [p.shape for p in model.parameters()]
    with pytest.raises(OptionError, match="before any removal"):
        shrinker.load_state_dict(state)
    assert [p.shape for p in model.parameters()] == before

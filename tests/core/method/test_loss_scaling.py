"""With a GradScaler the gates move as they do without one."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from shrinknets_core import Shrinker, ShrinkOptions
from tests.core.conftest import make_shrinker

STEPS = 12
OPTIONS = {"warmup_steps": 0, "ramp_steps": 0, "refresh_steps": 1, "check_steps": 10**9}


def train(*, scaled: bool, overflow_at: int | None, probation: int) -> Shrinker:
    """Take some steps; at one of them the loss overflows, or nothing happens if not scaled."""
    options = ShrinkOptions(**OPTIONS, steps_per_epoch=2, probation_steps=probation)  # type: ignore[arg-type]
    shrinker = make_shrinker("mlp", [12, 9], options=options, lam=0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=50, enabled=scaled)
    optimizer = torch.optim.SGD(shrinker.parameters(), lr=0.05)
    rng = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        x = torch.randn(16, 6, generator=rng, dtype=torch.float64)
        if step == overflow_at and not scaled:
            continue
        loss = cross_entropy(shrinker.model(x), torch.arange(16) % 4)
        if step == overflow_at:
            loss = loss * float("inf")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        shrinker.step(scaler)
        scaler.update()
        optimizer.zero_grad()
    return shrinker


@pytest.mark.parametrize("probation", [0, 3])
@pytest.mark.parametrize("overflow_at", [None, 0, 5])
def test_gates_move_as_without_a_scaler(overflow_at: int | None, probation: int) -> None:
    plain = train(scaled=False, overflow_at=overflow_at, probation=probation)
    scaled = train(scaled=True, overflow_at=overflow_at, probation=probation)
    fresh = make_shrinker("mlp", [12, 9])
    for one, two, start in zip(plain.gates(), scaled.gates(), fresh.gates(), strict=True):
        assert not torch.equal(one, start)
        torch.testing.assert_close(two, one, rtol=1e-9, atol=1e-12)

"""Whatever dies in a random network, what is computed stays the same, and so does training."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shrinknets_core import Shrinker
from tests.core.random_networks import RandomNetwork, networks

pytestmark = pytest.mark.slow

TOLERANCE = 1e-10


def inputs() -> Tensor:
    return torch.randn(4, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def kill(shrinker: Shrinker, share: float, seed: int) -> None:
    """Kill a share of groups and branches; 1.0 leaves one feature here and none there."""
    rng = torch.Generator().manual_seed(seed)
    for group in shrinker.groups:
        count = int(share * group.size)
        if share == 1.0 and seed % 2:
            count = group.size - 1
        if group.bypass is not None:
            count = int(torch.rand((), generator=rng) < share)
        group.kill(torch.randperm(group.size, generator=rng)[:count])


def outputs(model: nn.Module, *, training: bool | int) -> Tensor:
    buffers = copy.deepcopy(dict(model.named_buffers()))
    model.train(bool(training))
    with torch.no_grad():
        result = model(inputs())
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    return result


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= TOLERANCE * (1 + a.abs().max()))


@settings(max_examples=40, deadline=None)
@given(networks(), st.sampled_from([0.0, 0.3, 0.6, 1.0]), st.integers(0, 9))
def test_outputs_are_the_same_before_and_after(
    model: RandomNetwork, share: float, seed: int
) -> None:
    plain = [outputs(model, training=mode) for mode in (False, True)]
    shrinker = Shrinker(model, inputs())
    assert not shrinker.failures
    assert all(
        close(a, outputs(model, training=m)) for a, m in zip(plain, (False, True), strict=True)
    )
    kill(shrinker, share, seed)
    before = [outputs(model, training=mode) for mode in (False, True)]
    sizes = {group.name: group.size for group in shrinker.groups}
    report = shrinker.collect()
    after = [outputs(model, training=mode) for mode in (False, True)]
    assert all(close(a, b) for a, b in zip(before, after, strict=True))
    assert {g.name: g.size + report.removed[g.name] for g in shrinker.groups} == sizes
    network = shrinker.finish()
    assert all(
        close(a, outputs(network, training=m)) for a, m in zip(before, (False, True), strict=True)
    )
    assert not any("filter" in name for name, _ in network.named_modules())


@settings(max_examples=20, deadline=None)
@given(networks(), st.sampled_from([0.3, 0.7]), st.integers(0, 9))
def test_training_goes_on_as_if_nothing_had_been_collected(
    model: RandomNetwork, share: float, seed: int
) -> None:
    """The masked run and the collected run take the same steps, with the same momenta."""
    results = []
    for collects in (False, True):
        twin = RandomNetwork(model.steps, model.seed)
        shrinker = Shrinker(twin, inputs())
        # Not Adam: it makes steps of full size out of gradients that are nothing but rounding,
        # such as those of a bias before a norm.
        optimizer = torch.optim.SGD(shrinker.parameters(), lr=1e-2, momentum=0.9, weight_decay=0.1)
        step(twin, optimizer)
        kill(shrinker, share, seed)
        if collects:
            shrinker.collect(optimizer)
        for _ in range(3):
            step(twin, optimizer)
        results.append(outputs(twin, training=False))
    assert close(results[0], results[1])


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.train()
    optimizer.zero_grad()
    model(inputs()).square().mean().backward()
    optimizer.step()

"""Both update rules kill for good, never the last ones, and do what their formulas say."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from shrinknets_core import OptionError, Shrinker, ShrinkOptions
from shrinknets_core.method.deaths import MAX_MOVE
from shrinknets_core.method.layout import Layout
from shrinknets_core.method.norms import scales
from shrinknets_core.method.rules import LEAST_SCALE
from tests.core.conftest import make_shrinker

ONCE = {"steps_per_epoch": 1, "refresh_steps": 1, "check_steps": 10**9}
Options = dict[str, float | str]


def shrinker_of(widths: list[int], *, lam: float = 0.1, **options: float | str) -> Shrinker:
    chosen = ShrinkOptions(**{**ONCE, **options})  # type: ignore[arg-type]
    return make_shrinker("mlp", widths, options=chosen, lam=lam)


def noise_in(shrinker: Shrinker, scale: float, rng: torch.Generator) -> None:
    """Leave random gradients in all gates, as a backward pass would."""
    for theta in shrinker.gates():
        theta.grad = scale * torch.randn(theta.shape, generator=rng, dtype=theta.dtype)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(2, 30), min_size=1, max_size=3),
    lam=st.floats(1e-4, 1.0),
    least=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_the_dead_stay_dead_and_the_last_ones_live(
    widths: list[int], lam: float, least: int, seed: int
) -> None:
    shrinker = shrinker_of(widths, lam=lam, step_size=1.0, min_features=least)
    rng = torch.Generator().manual_seed(seed)
    dead = [torch.zeros(width, dtype=torch.bool) for width in widths]
    for _ in range(60):
        noise_in(shrinker, 0.3, rng)
        shrinker.step()
        for group, before in zip(shrinker.groups, dead, strict=True):
            gate = group.filter.theta
            assert not (before & (gate > 0)).any()
            before |= group.filter.alive == 0
            assert torch.equal(gate == 0, before)
    for group, width in zip(shrinker.groups, widths, strict=True):
        assert group.alive >= min(least, width)


def test_a_proximal_step_is_the_formula_feature_by_feature() -> None:
    shrinker = shrinker_of([5, 4], lam=0.1, step_size=0.02, steps_per_epoch=2, exponent=0.5)
    before = scales(Layout(shrinker.model, shrinker.tensors(), shrinker.groups))
    units = {group: values.mean().item() for group, values in before.items()}
    costs = [math.sqrt(group.cost) for group in shrinker.groups]
    shrinker.method  # noqa: B018  (notes the scales)
    with torch.no_grad():
        for parameter in shrinker.parameters():
            parameter.mul_(torch.rand_like(parameter) + 0.7)
    after = scales(Layout(shrinker.model, shrinker.tensors(), shrinker.groups))
    noise_in(shrinker, 1.0, torch.Generator().manual_seed(0))
    expected = []
    for group, cost in zip(shrinker.groups, costs, strict=True):
        theta, gradient = group.filter.theta, group.filter.theta.grad
        assert gradient is not None
        for k, scale in enumerate((after[group] / units[group]).tolist()):
            price = scale * cost / (sum(costs) / 2)
            move = 0.02 / 2 / max(scale, LEAST_SCALE) ** 2 * (gradient[k].item() + 0.1 * price)
            expected.append(max(0.0, theta[k].item() - max(-MAX_MOVE, min(MAX_MOVE, move))))
    shrinker.step()
    found = torch.cat([theta.detach() for theta in shrinker.gates()])
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_neither_price_nor_pace_changes_when_weights_take_over_from_a_gate() -> None:
    losses = []
    for factor in (1.0, 4.0):
        shrinker = shrinker_of([5], lam=1e-4, step_size=0.1)
        (theta,) = shrinker.gates()
        shrinker.method  # noqa: B018  (notes the scales)
        with torch.no_grad():
            theta[2] /= factor
            for name in ("hidden1.weight", "hidden1.bias"):
                shrinker.tensors()[name].data[2] *= factor
        before = theta.detach().clone()
        shrinker.step()
        losses.append(((before - theta) / before).detach())
    # The same share of the function goes at each step, however it is divided.
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-9, atol=0)


def test_no_gate_moves_far_in_one_step() -> None:
    shrinker = shrinker_of([5], step_size=1e6)
    before = shrinker.gates()[0].detach().clone()
    noise_in(shrinker, 1.0, torch.Generator().manual_seed(0))
    shrinker.step()
    assert float((shrinker.gates()[0].detach() - before).abs().max()) <= MAX_MOVE + 1e-12


def test_gates_hold_still_in_the_warmup_and_the_pull_ramps_up() -> None:
    shrinker = shrinker_of([5], lam=1.0, warmup_steps=3, ramp_steps=4)
    in_force = []
    for _ in range(9):
        in_force.append(shrinker.method.lam_now)
        assert shrinker.gates()[0].requires_grad == (len(in_force) > 4)
        shrinker.step()
    assert in_force == pytest.approx([0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


@pytest.mark.parametrize("price", ["unit", "parameters", "macs", "latency"])
def test_every_price_is_positive_and_relative_to_the_mean(price: str) -> None:
    shrinker = make_shrinker(
        "lenet5", [8, 9, 40], inputs=(1, 16, 16), options=ShrinkOptions(price=price, exponent=1)
    )
    before = [p.clone() for p in shrinker.parameters()]
    shrinker.step()
    prices = [float((g.filter.price / _relative(shrinker, g.name)).mean()) for g in shrinker.groups]
    assert min(prices) > 0
    assert sum(prices) / 3 == pytest.approx(1)
    if price == "macs":
        # conv1: 144 pixels of 25 each, and 9 channels of conv2 that read it at 4 pixels.
        macs = [144 * 25 + 9 * 25 * 4, 8 * 25 * 4 + 40, 9 + 4]
        assert prices == pytest.approx([3 * m / sum(macs) for m in macs])
    assert all(torch.equal(*pair) for pair in zip(before, shrinker.parameters(), strict=True))


def _relative(shrinker: Shrinker, name: str) -> torch.Tensor:
    found = scales(Layout(shrinker.model, shrinker.tensors(), shrinker.groups))
    values = next(scale for group, scale in found.items() if group.name == name)
    return values / values.mean()


OPTIMIZERS: dict[str, Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.5),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.95, weight_decay=0.01),
    "adam l2": lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_subgradient_never_revives_with_momentum_and_decay(name: str) -> None:
    shrinker = shrinker_of([40, 30], rule="subgradient", lam=0.03)
    shrinker.draw_gates(torch.Generator().manual_seed(0))
    optimizer = OPTIMIZERS[name]([*shrinker.parameters(), *shrinker.gates()])
    dead = [torch.zeros(width, dtype=torch.bool) for width in (40, 30)]
    for _ in range(150):
        x, y = torch.randn(8, 6, dtype=torch.float64), torch.randint(3, (8,))
        (cross_entropy(shrinker.model(x), y) + shrinker.penalty()).backward()
        optimizer.step()
        shrinker.step()
        optimizer.zero_grad()
        for group, before in zip(shrinker.groups, dead, strict=True):
            assert not (before & (group.filter.theta > 0)).any()
            before |= group.filter.alive == 0
    assert all(bool(before.any()) for before in dead)
    assert min(shrinker.num_alive().values()) >= 1


def test_the_penalty_is_lambda_times_the_sum_of_the_positive_gates() -> None:
    shrinker = shrinker_of([2, 2], rule="subgradient", lam=0.1)
    first, second = shrinker.gates()
    first.data.copy_(torch.tensor([0.5, -3.0]))
    second.data.copy_(torch.tensor([0.25, 1.0]))
    assert shrinker.penalty().item() == pytest.approx(0.175)
    with pytest.raises(OptionError, match="'subgradient' for a penalty"):
        shrinker_of([2]).penalty()


def test_gates_of_the_paper_rule_start_uniform_and_all_alive() -> None:
    shrinker = shrinker_of([5000], rule="subgradient")
    shrinker.draw_gates(torch.Generator().manual_seed(0))
    (theta,) = shrinker.gates()
    assert 0 < theta.min() < 0.01 < 0.99 < theta.max() <= 1
    assert theta.mean().item() == pytest.approx(0.5, abs=0.02)


def test_gates_in_an_optimiser_are_refused_in_words() -> None:
    shrinker = shrinker_of([4])
    shrinker.lam = 0.1
    optimizer = torch.optim.SGD(shrinker.model.parameters(), lr=0.1)
    shrinker.model(torch.randn(3, 6, dtype=torch.float64)).sum().backward()
    optimizer.step()
    with pytest.raises(OptionError, match=r"`shrinker.parameters\(\)`.*got 'SGD over the gates"):
        shrinker.step()

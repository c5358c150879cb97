"""Both update rules kill for good, never the last one, and do what their formulas say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from shrinknets_core import MLP, Proximal, Subgradient, num_alive
from shrinknets_core.rules import starved
from tests.core.conftest import make_mlp


def noise_in(model: MLP, scale: float, rng: torch.Generator) -> None:
    """Leave random gradients in all gates, as a backward pass would."""
    for theta in model.gates():
        theta.grad = scale * torch.randn(theta.shape, generator=rng, dtype=theta.dtype)


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    lam=st.floats(1e-4, 1.0),
    seed=st.integers(0, 1000),
)
def test_proximal_never_revives_and_never_kills_the_last(
    widths: list[int], lam: float, seed: int
) -> None:
    model = make_mlp(3, widths, 2, seed=seed)
    rule = Proximal(model.groups())
    rng = torch.Generator().manual_seed(seed)
    dead = [torch.zeros(width, dtype=torch.bool) for width in widths]
    for _ in range(60):
        noise_in(model, 0.3, rng)
        rule.step(lam)
        for layer, before in zip(model.gatings(), dead, strict=True):
            assert not (before & (layer.theta > 0)).any()
            before |= layer.alive == 0
            assert torch.equal(layer.theta == 0, before)
        assert min(num_alive(model.groups())) >= 1


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adam l2"])
def test_subgradient_never_revives_with_momentum_and_decay(name: str) -> None:
    model = make_mlp(5, [40, 30], 3, seed=0)
    parameters = [*model.weights(), *model.gates()]
    optimizer: torch.optim.Optimizer = {
        "adam": lambda: torch.optim.Adam(parameters, lr=0.05),
        "adamw": lambda: torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.5),
        "sgd": lambda: torch.optim.SGD(parameters, lr=0.3, momentum=0.95, weight_decay=0.01),
        "adam l2": lambda: torch.optim.Adam(parameters, lr=0.05, weight_decay=0.1),
    }[name]()
    rule = Subgradient(model.groups(), generator=torch.Generator().manual_seed(0))
    dead = [torch.zeros(width, dtype=torch.bool) for width in (40, 30)]
    for _ in range(150):
        x, y = torch.randn(8, 5, dtype=torch.float64), torch.randint(3, (8,))
        loss = cross_entropy(model(x), y) + rule.penalty(0.03)
        loss.backward()
        optimizer.step()
        rule.step()
        optimizer.zero_grad()
        for layer, before in zip(model.gatings(), dead, strict=True):
            assert not (before & (layer.theta > 0)).any()
            before |= layer.alive == 0
    assert all(bool(before.any()) for before in dead)
    assert min(num_alive(model.groups())) >= 1


def test_a_feature_killed_by_hand_stays_dead_even_if_it_was_the_protected_one() -> None:
    model = make_mlp(3, [6], 2, seed=0)
    rule = Proximal(model.groups())
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        layer = model.gatings()[0]
        strongest = layer.theta.argmax()
        layer.kill(strongest)
        for _ in range(3):
            noise_in(model, 0.01, rng)
            rule.step(0.5)
            assert layer.theta[strongest] == 0
            assert layer.num_alive() >= 1
        if layer.num_alive() == 1:
            break


def test_the_last_feature_survives_a_state_loaded_from_elsewhere() -> None:
    model, other = make_mlp(3, [4], 2, seed=0), make_mlp(3, [4], 2, seed=0)
    rule = Proximal(model.groups())
    rule.step(1e-3)
    other.gatings()[0].kill(model.gates()[0].argmax())
    model.load_state_dict(other.state_dict())
    rule.step(1e6)
    assert num_alive(model.groups()) == (1,)


def test_a_proximal_step_is_the_formula_feature_by_feature() -> None:
    model = make_mlp(3, [5, 4], 2, seed=3)
    groups = model.groups()
    costs = [math.sqrt(group.parameters_per_feature()) for group in groups]
    expected = []
    rng = torch.Generator().manual_seed(0)
    noise_in(model, 1.0, rng)
    for index, group in enumerate(groups):
        incoming = model.linears()[index].weight
        outgoing = model.linears()[index + 1].weight
        scales = [
            incoming[k].square().sum().sqrt().item() * outgoing[:, k].square().sum().sqrt().item()
            for k in range(len(incoming))
        ]
        weight = costs[index] / (sum(costs) / 2) / (sum(scales) / len(scales))
        theta, gradient = group.filter.theta, group.filter.theta.grad
        assert gradient is not None
        expected.append(
            [
                max(0.0, theta[k].item() - 0.5 * (gradient[k].item() + 0.1 * weight * scale))
                for k, scale in enumerate(scales)
            ]
        )
    Proximal(groups, step_size=0.5).step(0.1)
    for group, values in zip(groups, expected, strict=True):
        assert group.filter.theta.tolist() == pytest.approx(values, rel=1e-12)


def test_a_gate_gets_no_cheaper_when_its_weights_take_over() -> None:
    model = make_mlp(3, [5], 2, seed=3)
    theta = model.gates()[0]
    rule = Proximal(model.groups(), refresh=1)
    rule.step(0.0)
    with torch.no_grad():
        theta[2] /= 10
        model.hidden[0].weight[2] *= 10
    twin = make_mlp(3, [5], 2, seed=3)
    rule_of_twin = Proximal(twin.groups())
    before = theta.clone(), twin.gates()[0].clone()
    rule.step(1e-3)
    rule_of_twin.step(1e-3)
    lost = (before[0] - theta) / before[0]
    lost_by_twin = (before[1] - twin.gates()[0]) / before[1]
    # Ten times the weight, so ten times the price for each unit of gate, a hundred times the share.
    assert lost[2].item() == pytest.approx(100 * lost_by_twin[2].item(), rel=1e-9)
    assert lost[1].item() == pytest.approx(lost_by_twin[1].item(), rel=1e-9)


def test_the_penalty_is_lambda_times_the_sum_of_the_positive_gates() -> None:
    model = make_mlp(3, [2, 2], 2, seed=0)
    model.gatings()[0].theta.data = torch.tensor([0.5, -3.0], dtype=torch.float64)
    model.gatings()[1].theta.data = torch.tensor([0.25, 1.0], dtype=torch.float64)
    assert Subgradient(model.groups()).penalty(0.1).item() == pytest.approx(0.175)


def test_gates_of_the_paper_rule_start_uniform_and_all_alive() -> None:
    model = make_mlp(3, [5000], 2, seed=0)
    Subgradient(model.groups(), generator=torch.Generator().manual_seed(0))
    theta = model.gates()[0]
    assert 0 < theta.min() < 0.01 < 0.99 < theta.max() <= 1
    assert theta.mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_group_that_only_its_floor_keeps_alive_is_starved() -> None:
    model = make_mlp(3, [5, 5], 2, seed=0)
    rule = Proximal(model.groups())
    for theta in model.gates():
        theta.grad = torch.full_like(theta, 100.0 if theta is model.gates()[0] else -1.0)
    rule.step(0.1)
    assert starved(model.groups()) == ["hidden.0"]
    assert num_alive(model.groups())[0] == 1

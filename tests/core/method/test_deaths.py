"""Gates at 0 get the chance that was promised to them, and no other."""

import pytest
import torch

from shrinknets_core import Shrinker, ShrinkOptions
from shrinknets_core.method.stepping import round_up
from tests.core.conftest import kill_some, make_shrinker

FLAT: dict[str, float | bool | str] = {
    "scale_free": False,
    "price": "unit",
    "step_size": 0.1,
    "steps_per_epoch": 1,
    "check_steps": 10**9,
}


def flat(width: int, **options: float | bool | str) -> Shrinker:
    chosen = ShrinkOptions(**{**FLAT, **options})  # type: ignore[arg-type]
    return make_shrinker("mlp", [width], gates="ones", lam=0.1, options=chosen)


def push(shrinker: Shrinker, slopes: list[float]) -> list[float]:
    (theta,) = shrinker.gates()
    theta.grad = torch.tensor(slopes, dtype=theta.dtype)
    shrinker.step()
    return theta.tolist()


def set_gates(shrinker: Shrinker, gates: list[float]) -> None:
    shrinker.method  # noqa: B018  (from here on the gates are its own)
    shrinker.gates()[0].data.copy_(torch.tensor(gates))


def test_after_probation_the_useful_come_back_and_the_useless_are_dead() -> None:
    shrinker = flat(4, probation_steps=5)
    set_gates(shrinker, [0.01, 0.01, 1.0, 1.0])
    assert push(shrinker, [1.0, 1.0, 0.0, 0.0])[:2] == [0, 0]
    assert shrinker.num_alive() == {"hidden1": 4}
    for step in range(5):
        # On average −0.3 for the first, though one step in five speaks against it; 0 for the other.
        gates = push(shrinker, [1.0 if step == 2 else -0.625, 0.0, 0.0, 0.0])
        assert gates[:2] == [0, 0] or step == 4
    assert gates[0] == pytest.approx(0.1 * (0.3 - 0.1))
    assert shrinker.groups[0].filter.alive.tolist() == [1, 0, 1, 1]


def test_a_probation_survives_a_collection() -> None:
    shrinker = flat(4, probation_steps=5)
    set_gates(shrinker, [1.0, 0.01, 1.0, 1.0])
    push(shrinker, [0.0, 1.0, 0.0, 0.0])
    push(shrinker, [0.0, -1.0, 0.0, 0.0])
    shrinker.groups[0].kill([0])
    shrinker.collect()
    for _ in range(4):
        gates = push(shrinker, [-1.0, 0.0, 0.0])
    assert gates[0] == pytest.approx(0.1 * 0.9)


def test_without_probation_a_gate_at_zero_is_dead_at_once() -> None:
    shrinker = flat(3)
    set_gates(shrinker, [0.01, 1.0, 1.0])
    push(shrinker, [1.0, 0.0, 0.0])
    assert push(shrinker, [-5.0, 0.0, 0.0])[0] == 0
    assert shrinker.num_alive() == {"hidden1": 2}


def test_removal_at_epoch_ends_lets_gates_back_before() -> None:
    shrinker = flat(4, removal="epoch_ends")
    set_gates(shrinker, [0.01, 0.01, 1.0, 1.0])
    assert push(shrinker, [1.0, 1.0, 0.0, 0.0])[:2] == [0, 0]
    assert push(shrinker, [-1.0, 0.0, 0.0, 0.0])[:2] == [pytest.approx(0.09), 0]
    shrinker.end_epoch()
    assert push(shrinker, [0.0, -9.0, 0.0, 0.0])[1] == 0
    assert shrinker.num_alive() == {"hidden1": 3}


def test_random_removal_takes_its_share_of_the_gates_at_zero() -> None:
    shrinker = flat(4000, removal="random", removal_probability=0.1)
    set_gates(shrinker, [0.0] * 4000)
    for _ in range(5):
        push(shrinker, [0.0] * 4000)
    assert shrinker.num_alive()["hidden1"] == pytest.approx(4000 * 0.9**5, rel=0.05)


def test_the_one_sided_derivative_at_zero_reaches_a_gate() -> None:
    shrinker = flat(4)
    (theta,) = shrinker.gates()
    theta.data.zero_()
    shrinker.model(torch.randn(8, 6, dtype=torch.float64)).square().sum().backward()
    at_zero = theta.grad
    assert at_zero is not None
    assert (at_zero != 0).any()


def test_a_dead_feature_is_silent_whatever_becomes_of_its_weights() -> None:
    shrinker = flat(6)
    shrinker.groups[0].kill([1, 4])
    x = torch.randn(5, 6, dtype=torch.float64)
    before = shrinker.model(x)
    with torch.no_grad():
        shrinker.tensors()["hidden1.weight"][[1, 4]] += 100
        shrinker.tensors()["hidden1.bias"][[1, 4]] = -3
        shrinker.tensors()["head.weight"][:, [1, 4]] *= -50
    assert torch.equal(shrinker.model(x), before)


def test_a_group_that_only_its_floor_keeps_alive_has_collapsed() -> None:
    shrinker = make_shrinker(
        "mlp", [5, 5], gates="ones", options=ShrinkOptions(**FLAT)  # type: ignore[arg-type]
    )  # fmt: skip
    for _ in range(8):
        for theta, slope in zip(shrinker.gates(), (100.0, -1.0), strict=True):
            theta.grad = torch.full_like(theta, slope)
        shrinker.step()
    assert shrinker.collapsed() == ["hidden1"]
    assert shrinker.num_alive() == {"hidden1": 1, "hidden2": 5}


@pytest.mark.parametrize(
    ("dead", "multiple", "left"), [(3, 8, 16), (8, 8, 8), (9, 8, 8), (13, 16, 16), (0, 4, 16)]
)
def test_widths_are_rounded_up_by_keeping_dead_features(
    dead: int, multiple: int, left: int
) -> None:
    lost = torch.arange(16) < dead
    kept = round_up(lost, multiple)
    assert int((~kept).sum()) == left
    assert not (kept & ~lost).any()


def test_rounded_collections_change_no_output_and_count_the_living_alone() -> None:
    shrinker = make_shrinker("mlp", [30, 20], options=ShrinkOptions(round_to=8))
    kill_some(shrinker, 0.4, seed=0)
    x = torch.randn(5, 6, dtype=torch.float64)
    before = shrinker.model(x)
    shrinker.collect()
    assert [group.size for group in shrinker.groups] == [24, 16]
    assert shrinker.num_alive() == {"hidden1": 18, "hidden2": 12}
    torch.testing.assert_close(shrinker.model(x), before, rtol=1e-12, atol=1e-12)

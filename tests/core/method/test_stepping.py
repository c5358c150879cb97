"""A step of the method: it collects by itself, reaches targets, and disturbs no training."""

import gc
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from shrinknets_core import OptionError, Shrinker, ShrinkOptions, Split, Target
from shrinknets_core.families import get_family
from shrinknets_core.method import LambdaControl
from tests.core.conftest import make_shrinker


@pytest.mark.parametrize(
    ("family", "widths", "inputs"),
    [
        ("mlp", [20, 15], (6,)),
        ("residual_mlp", [14, 12, 10], (6,)),
        ("lenet5", [8, 9, 12], (1, 16, 16)),
    ],
)
@pytest.mark.parametrize("removal", ["at_once", "epoch_ends"])
def test_training_goes_on_as_if_nothing_had_been_collected(
    family: str, widths: list[int], inputs: tuple[int, ...], removal: str
) -> None:
    shrinkers = []
    for share in (0.02, 1.0):
        options = ShrinkOptions(
            collect_share=share, check_steps=10, refresh_steps=4, steps_per_epoch=20,
            removal=removal, probation_steps=3 * (removal == "at_once"),
        )  # fmt: skip
        shrinkers.append(
            make_shrinker(family, widths, inputs=inputs, gates="ones", lam=0.02, options=options)
        )
    optimizers = [torch.optim.AdamW(s.parameters(), lr=1e-2, weight_decay=0.1) for s in shrinkers]
    rng = torch.Generator().manual_seed(0)
    for step in range(120):
        x = torch.randn(16, *inputs, generator=rng, dtype=torch.float64)
        y = torch.randint(4, (16,), generator=rng)
        losses = []
        for shrinker, optimizer in zip(shrinkers, optimizers, strict=True):
            loss = cross_entropy(shrinker.model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            shrinker.step()
            if step % 20 == 19:
                shrinker.end_epoch()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-7)
    collected, masked = shrinkers
    assert sum(g.size for g in collected.groups) < sum(g.size for g in masked.groups)
    # What was inside a branch that went is no group any more.
    alive = masked.num_alive()
    assert collected.num_alive() == {name: alive[name] for name in collected.num_alive()}
    assert collected.size() == masked.size()


def train(shrinker: Shrinker, digits: Split, *, epochs: int, batch: int = 64) -> float:
    """Train in float32 on digits; returns the test accuracy."""
    optimizer = torch.optim.AdamW(shrinker.parameters(), lr=1e-3, fused=True)
    rng = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(digits.train), generator=rng).split(batch):
            cross_entropy(shrinker.model(digits.train.x[rows]), digits.train.y[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
            shrinker.step()
        shrinker.end_epoch()
    predicted = shrinker.model(digits.test.x).argmax(1)
    return (predicted == digits.test.y).float().mean().item()


@pytest.mark.parametrize(
    "target", [{"parameters": 3000}, {"features": 40}, {"macs": 4000}], ids=str
)
@pytest.mark.parametrize("widths", [[300], [120, 80]], ids=str)
def test_a_target_is_reached_within_a_tenth_and_the_network_works(
    digits: Split, target: dict[str, float], widths: list[int]
) -> None:
    torch.manual_seed(0)
    model = get_family("mlp").build((64,), widths, 10)
    options = ShrinkOptions(steps_per_epoch=18, warmup_steps=36)
    shrinker = Shrinker(model, digits.train.x[:2], options=options, target=Target(**target))
    accuracy = train(shrinker, digits, epochs=60)
    measured = {
        "parameters": shrinker.size().parameters,
        "macs": shrinker.size().macs,
        "features": sum(shrinker.num_alive().values()),
    }
    ((measure, wanted),) = target.items()
    assert 0.9 * wanted <= measured[measure] <= wanted
    assert shrinker.collapsed() == []
    assert shrinker.lam == 0
    assert accuracy > 0.9
    plain = shrinker.finish()
    assert {type(m) for m in plain.children()} == {nn.Flatten, nn.Linear, nn.ReLU}
    assert sum(p.numel() for p in plain.parameters()) <= 1.1 * measured["parameters"]


def test_a_target_that_cannot_be_reached_ends_the_pushing(digits: Split) -> None:
    model = get_family("mlp").build((64,), [10], 10)
    options = ShrinkOptions(steps_per_epoch=18)
    target = Target(features=0.5, first_lam=1.0)
    shrinker = Shrinker(model, digits.train.x[:2], options=options, target=target)
    train(shrinker, digits, epochs=20)
    assert shrinker.collapsed() == ["hidden1"]
    assert shrinker.lam == 0


def test_a_target_in_time_is_reached_by_what_a_clock_says(
    digits: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A real clock would make this test as good as the machine is idle.
    def seconds(shrinker: Shrinker) -> float:
        return 1e-6 * shrinker.groups[0].size

    monkeypatch.setattr(Shrinker, "seconds", seconds)
    model = get_family("mlp").build((64,), [300], 10)
    options = ShrinkOptions(steps_per_epoch=18)
    target = Target(milliseconds=0.1)
    shrinker = Shrinker(model, digits.train.x[:2], options=options, target=target)
    train(shrinker, digits, epochs=40)
    assert 90 <= shrinker.groups[0].size <= 100
    assert shrinker.lam == 0


def test_a_forward_pass_is_timed_with_and_without_half_of_a_group() -> None:
    shrinker = make_shrinker("lenet5", [8, 9, 400], inputs=(1, 16, 16))
    before = [p.clone() for p in shrinker.parameters()]
    x = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    outputs = shrinker.model(x)
    assert shrinker.seconds() > 0
    assert all(shrinker.seconds(group) > 0 for group in shrinker.groups)
    assert all(torch.equal(*pair) for pair in zip(before, shrinker.parameters(), strict=True))
    assert torch.equal(shrinker.model(x), outputs)


def test_dead_features_leave_by_themselves_and_all_optimisers_follow() -> None:
    options = ShrinkOptions(check_steps=4)
    shrinker = make_shrinker("mlp", [20], options=options, gates="ones")
    weights = shrinker.parameters()
    optimizers = [torch.optim.Adam(weights[:2]), torch.optim.SGD(weights[2:], 0.1, momentum=0.9)]
    for step in range(9):
        shrinker.model(torch.randn(3, 6, dtype=torch.float64)).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if step == 1:
            shrinker.groups[0].kill(range(7))
        shrinker.step()
        assert shrinker.groups[0].size == (20 if step < 3 else 13)
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            assert all(v.shape in {parameter.shape, ()} for v in state.values() if v is not None)


def test_a_model_without_features_to_remove_trains_on() -> None:
    shrinker = make_shrinker("mlp", [1], options=ShrinkOptions(check_steps=1), lam=0.1)
    assert shrinker.groups == []
    optimizer = torch.optim.SGD(shrinker.parameters(), lr=0.1)
    for _ in range(3):
        shrinker.model(torch.randn(3, 6, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
        shrinker.step()
        shrinker.end_epoch()
    assert shrinker.collapsed() == []
    assert shrinker.size() == get_family("mlp").size((6,), (1,), 4)


def test_a_share_too_small_is_not_worth_a_collection() -> None:
    shrinker = make_shrinker("mlp", [100], options=ShrinkOptions(check_steps=1))
    shrinker.groups[0].kill([3, 4])
    shrinker.step()
    assert shrinker.groups[0].size == 100


def test_nothing_of_a_shrinker_stays_behind_in_torch() -> None:
    from torch.optim.optimizer import _global_optimizer_post_hooks as hooks  # noqa: PLC0415

    gc.collect()
    before = len(hooks)
    shrinker = make_shrinker("mlp", [4])
    shrinker.step()
    assert len(hooks) == before + 1
    size = shrinker.size()
    shrinker.finish()
    assert len(hooks) == before
    assert shrinker.size() == size
    other = make_shrinker("mlp", [4])
    other.step()
    del shrinker, other
    gc.collect()
    assert len(hooks) == before


def test_gates_follow_their_model_to_another_dtype_and_a_loaded_state() -> None:
    shrinker = make_shrinker("mlp", [6], gates="ones", lam=0.1)
    shrinker.step()
    state = {name: value.clone() for name, value in shrinker.model.state_dict().items()}
    shrinker.model.float()
    shrinker.step()
    assert shrinker.gates()[0].dtype == torch.float32
    shrinker.model.double().load_state_dict(state)
    gates = shrinker.gates()[0].detach().clone()
    shrinker.step()
    assert (shrinker.gates()[0] < gates).all()


@pytest.mark.parametrize("lam", [-1.0, math.nan, math.inf])
def test_a_penalty_below_zero_is_refused(lam: float) -> None:
    shrinker = make_shrinker("mlp", [6])
    with pytest.raises(OptionError, match="lam must be at least 0"):
        shrinker.lam = lam


def test_lambda_rises_slowly_and_falls_by_half_at_most() -> None:
    control = LambdaControl(1000, first_lam=1.0, rate=0.04, max_rise=0.15)
    control.aim(1000)
    control.correct(1000)
    assert 1 < control.lam <= math.exp(0.15) * (1 + 1e-12)
    control.aim(1000)
    before = control.lam
    control.correct(1)
    assert control.lam == pytest.approx(before * math.exp(-0.7))
    with pytest.raises(OptionError, match="first_lam must be positive"):
        LambdaControl(1000, first_lam=0.0, rate=0.04)

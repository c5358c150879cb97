"""Collection changes shapes and nothing else: not outputs, not the next steps of training."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from shrinknets_core import MLP, OptionError, Proximal, collect, collection, num_alive
from tests.core.conftest import kill_some, make_mlp

OPTIMIZERS: dict[str, Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True),
    "sgd with momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=0.01),
}

shapes = st.tuples(
    st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5)
)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, share=st.floats(0, 1), seed=st.integers(0, 10_000), training=st.booleans())
def test_outputs_are_the_same_before_and_after(
    shape: tuple[int, list[int], int], share: float, seed: int, training: bool
) -> None:
    model = make_mlp(*shape, seed=seed).train(training)
    kill_some(model, share, seed=seed)
    x = torch.randn(11, shape[0], dtype=torch.float64)
    before = model(x).detach()
    report = collect(model, model.groups())
    after = model(x).detach()
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12 * float(before.abs().max()))
    assert report.total == sum(shape[1]) - sum(model.widths())
    assert all(layer.num_alive() == layer.num_features for layer in model.gatings())


def train(model: MLP, optimizer: torch.optim.Optimizer, *, seed: int) -> float:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(16, model.linears()[0].in_features, generator=rng, dtype=torch.float64)
    y = torch.randint(model.linears()[-1].out_features, (16,), generator=rng)
    loss = cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    for theta in model.gates():
        theta.grad = None
    return loss.item()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_as_it_would_have_with_the_dead_masked(name: str) -> None:
    collected = make_mlp(6, [12, 9, 7], 4, seed=1)
    masked = copy.deepcopy(collected)
    optimizers = [OPTIMIZERS[name](model.weights()) for model in (collected, masked)]
    for step in range(40):
        losses = [
            train(model, optimizer, seed=step)
            for model, optimizer in zip((collected, masked), optimizers, strict=True)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        if step % 8 == 3:
            kill_some(masked, 0.2 * step / 8, seed=step)
            transfer_deaths(masked, collected)
            collect(collected, collected.groups(), [optimizers[0]])
    assert sum(collected.widths()) < sum(masked.widths())


@pytest.mark.parametrize("widths", [[20], [20, 15], [14, 12, 10]])
def test_gates_too_go_on_as_if_nothing_had_been_collected(widths: list[int]) -> None:
    models = [make_mlp(6, widths, 4, seed=1, gates="ones") for _ in range(2)]
    optimizers = [OPTIMIZERS["adamw"](model.weights()) for model in models]
    rules = [Proximal(model.groups(), refresh=4) for model in models]
    rng = torch.Generator().manual_seed(0)
    for step in range(150):
        x = torch.randn(16, 6, generator=rng, dtype=torch.float64)
        y = torch.randint(4, (16,), generator=rng)
        losses = []
        for model, optimizer, rule in zip(models, optimizers, rules, strict=True):
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            rule.step(0.02)
            optimizer.zero_grad()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        if step % 10 == 3:
            del loss
            collect(models[0], models[0].groups(), [optimizers[0]])
    assert sum(num_alive(models[1].groups())) < sum(widths)
    assert num_alive(models[0].groups()) == num_alive(models[1].groups())


def test_an_optimiser_with_state_of_another_shape_is_refused_before_anything_changes() -> None:
    model = make_mlp(4, [6, 5], 3, seed=0)
    optimizer = torch.optim.Adafactor(model.weights())
    train(model, optimizer, seed=0)
    kill_some(model, 0.5, seed=0)
    with pytest.raises(OptionError, match="got 'Adafactor'"):
        collect(model, model.groups(), [optimizer])
    assert model.widths() == (6, 5)


def transfer_deaths(source: MLP, target: MLP) -> None:
    for theirs, ours in zip(source.gatings(), target.gatings(), strict=True):
        ours.alive.copy_(theirs.alive[ours.feature_ids])
        ours.theta.data.mul_(ours.alive)


def test_parameters_keep_their_identity_and_the_layers_tell_their_sizes() -> None:
    model = make_mlp(4, [6, 5], 3, seed=0)
    before = [id(p) for p in model.parameters()]
    kill_some(model, 0.5, seed=0)
    collect(model, model.groups())
    assert [id(p) for p in model.parameters()] == before
    assert [(m.in_features, m.out_features) for m in model.linears()] == [(4, 3), (3, 3), (3, 3)]


def test_feature_numbers_stay_those_of_the_first_network_through_several_collections() -> None:
    model = make_mlp(4, [6], 3, seed=0)
    model.gatings()[0].kill(torch.tensor([1, 4]))
    collect(model, model.groups())
    model.gatings()[0].kill(torch.tensor([0]))
    collect(model, model.groups())
    assert model.kept()[0].tolist() == [2, 3, 5]


def test_nothing_dead_means_nothing_copied() -> None:
    model = make_mlp(4, [6], 3, seed=0)
    storage = model.hidden[0].weight.data_ptr()
    assert collect(model, model.groups()).total == 0
    assert model.hidden[0].weight.data_ptr() == storage


def test_an_error_half_way_leaves_network_and_optimiser_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_mlp(4, [6, 5], 3, seed=0)
    optimizer = torch.optim.Adam(model.weights())
    train(model, optimizer, seed=0)
    kill_some(model, 0.5, seed=0)
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    cuts: list[Any] = []
    cut = collection._cut

    def failing_cut(*args: Any) -> torch.Tensor:
        cuts.append(args)
        if len(cuts) == 9:
            raise MemoryError("no room for the copy")
        return cut(*args)

    monkeypatch.setattr(collection, "_cut", failing_cut)
    with pytest.raises(MemoryError):
        collect(model, model.groups(), [optimizer])
    torch.testing.assert_close(model.state_dict(), state[0], rtol=0, atol=0)
    torch.testing.assert_close(optimizer.state_dict()["state"], state[1]["state"], rtol=0, atol=0)

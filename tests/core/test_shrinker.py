"""The Shrinker on ordinary modules: what survives a collection, and what works after it."""

import copy
import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from shrinknets_core import OptionError, Shrinker


class Net(nn.Module):
    """A norm, a residual sum, a shared layer and a flatten: most of what a collection meets."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.back = nn.Conv2d(12, 8, 1)
        self.hidden = nn.Linear(8 * 4, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.norm(self.conv(x)))
        x = x + self.back(torch.sigmoid(self.inner(x)))
        x = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return self.head(relu(self.hidden(x)))


@pytest.fixture
def model() -> Net:
    torch.manual_seed(0)
    return Net().double()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(6, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def kill_some(shrinker: Shrinker) -> None:
    for group in shrinker.groups:
        if group.bypass is None:
            group.kill(range(0, group.size, 3))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> float:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), torch.arange(len(x)) % 5)
        loss.backward()
        return loss.detach()

    model.train()
    return float(optimizer.step(closure))  # type: ignore[arg-type]


def test_finds_every_layer_s_features(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x)
    sizes = {group.name: group.size for group in shrinker.groups}
    assert sizes == {"conv": 8, "inner": 12, "hidden": 16, "(branch)": 1}
    assert all(group.alive == group.size for group in shrinker.groups)


def test_outputs_do_not_change_when_gates_are_put_in(model: Net, x: Tensor) -> None:
    before = model.eval()(x)
    Shrinker(model, x)
    assert torch.equal(model(x), before)


def test_a_group_that_is_wholly_dead_keeps_one_feature_with_a_gate_of_zero(
    model: Net, x: Tensor
) -> None:
    shrinker = Shrinker(model, x)
    group = next(group for group in shrinker.groups if group.name == "hidden")
    group.kill(range(group.size))
    before = model.eval()(x)
    shrinker.collect()
    assert (group.size, group.alive) == (1, 0)
    torch.testing.assert_close(model(x), before, rtol=1e-12, atol=1e-12)


def test_kill_refuses_features_that_are_not_there(model: Net, x: Tensor) -> None:
    group = Shrinker(model, x).groups[0]
    with pytest.raises(OptionError, match="indices from 0 to 7"):
        group.kill([8])


def test_where_chooses_layers(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x, where=lambda name: name == "inner")
    assert [group.name for group in shrinker.groups] == ["inner"]


def test_names_identities_and_hooks_survive(model: Net, x: Tensor) -> None:
    names = dict(model.named_parameters())
    calls = []
    model.inner.register_forward_hook(lambda *_: calls.append(1))
    model.head.weight.requires_grad_(False)
    shrinker = Shrinker(model, x)
    kill_some(shrinker)
    shrinker.collect()
    calls.clear()
    network = shrinker.finish()
    network(x)
    assert network is model
    assert calls == [1]
    assert {n: id(p) for n, p in network.named_parameters()} == {n: id(p) for n, p in names.items()}
    assert not model.head.weight.requires_grad
    assert model.inner.out_channels == model.inner.weight.shape[0] == model.back.in_channels


OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "Adadelta": torch.optim.Adadelta,
    "Adafactor": torch.optim.Adafactor,
    "Adagrad": torch.optim.Adagrad,
    "Adam": lambda p: torch.optim.Adam(p, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, fused=True),
    "Adamax": torch.optim.Adamax,
    "ASGD": torch.optim.ASGD,
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=3),
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
    "Rprop": torch.optim.Rprop,
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
}

CONTINUING = set(OPTIMISERS) - {"LBFGS", "Adafactor"}
"""Optimisers that treat entries one by one: the cut run must equal the masked one exactly."""


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_every_optimiser_goes_on_after_a_collection(kind: str, x: Tensor) -> None:
    outputs = []
    for collects in (False, True):
        torch.manual_seed(0)
        model = Net().double()
        shrinker = Shrinker(model, x)
        optimizer = OPTIMISERS[kind](shrinker.parameters())
        for _ in range(3):
            step(model, optimizer, x)
        kill_some(shrinker)
        if collects:
            shrinker.collect(optimizer)
        loss = [step(model, optimizer, x) for _ in range(3)]
        outputs.append(model.eval()(x).detach())
        assert all(value == value for value in loss)
    if kind in CONTINUING:
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-9, atol=1e-9)


def test_several_optimisers_and_schedulers_go_on(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x)
    parameters = shrinker.parameters()
    optimizers = [torch.optim.Adam(parameters[:4]), torch.optim.SGD(parameters[4:], lr=0.1)]
    schedules = [torch.optim.lr_scheduler.StepLR(o, 1) for o in optimizers]
    cross_entropy(model(x), torch.zeros(6, dtype=torch.int64)).backward()
    for optimizer, schedule in zip(optimizers, schedules, strict=True):
        optimizer.step()
        schedule.step()
    kill_some(shrinker)
    shrinker.collect(*optimizers)
    for optimizer, schedule in zip(optimizers, schedules, strict=True):
        optimizer.zero_grad()
        step(model, optimizer, x)
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]


def test_an_optimiser_s_failure_leaves_everything_as_it_was(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x)
    optimizer = torch.optim.SGD(shrinker.parameters(), lr=0.1)
    optimizer.state[model.inner.weight]["odd"] = torch.zeros(7)
    kill_some(shrinker)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(OptionError, match="SGD with odd"):
        shrinker.collect(optimizer)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_a_graph_that_is_still_alive_does_not_harm_the_next_step(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x)
    optimizer = torch.optim.Adam(shrinker.parameters())
    loss = cross_entropy(model(x), torch.zeros(6, dtype=torch.int64))
    loss.backward()
    optimizer.step()
    kill_some(shrinker)
    shrinker.collect(optimizer)
    step(model, optimizer, x)
    assert loss.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("finished", [False, True])
def test_a_collected_model_can_be_copied_exported_and_compiled(
    finished: bool, model: Net, x: Tensor
) -> None:
    shrinker = Shrinker(model, x)
    for group in shrinker.groups:
        group.filter.theta.data.uniform_(0.5, 1.5)
    kill_some(shrinker)
    shrinker.collect()
    if finished:
        shrinker.finish()
    expected = model.eval()(x)
    twin = copy.deepcopy(model)
    program = torch.export.export(model, (x,))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for parameter in model.parameters():
        assert parameter.shape != (0,)
    for other in (twin, program.module(), compiled):
        torch.testing.assert_close(other(x), expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin(x), expected, rtol=1e-12, atol=1e-12)


def test_finish_leaves_nothing_of_ours(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x)
    for group in shrinker.groups:
        group.filter.theta.data.uniform_(0.5, 1.5)
    expected = model.eval()(x)
    network = shrinker.finish()
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
    assert all(type(m).__module__.startswith(("torch", __name__)) for m in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert set(network.state_dict()) == set(Net().state_dict())


def test_a_finished_network_saves_and_loads_without_pickle(model: Net, x: Tensor) -> None:
    shrinker = Shrinker(model, x)
    kill_some(shrinker)
    network = shrinker.finish().eval()
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


class Untraceable(nn.Module):
    """Its path depends on the data; the blocks inside don't."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 6))
        self.second = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        while float(x.abs().sum()) > 1.0:
            x = x / 2
        return self.second(x)


def test_a_model_that_cannot_be_traced_shrinks_in_its_parts() -> None:
    model, x = Untraceable().double(), torch.randn(5, 4, dtype=torch.float64)
    shrinker = Shrinker(model, x)
    assert {group.name: group.size for group in shrinker.groups} == {"first.0": 9, "second.0": 7}
    kill_some(shrinker)
    before = model(x)
    assert shrinker.collect().total == 6
    torch.testing.assert_close(model(x), before, rtol=1e-12, atol=1e-12)


def test_a_batch_of_one_is_enough() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shrinker = Shrinker(model, torch.randn(1, 4))
    assert [group.size for group in shrinker.groups] == [8]


def test_gates_keep_the_type_that_autocast_chose() -> None:
    model = nn.Sequential(
        nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)
    )
    shrinker = Shrinker(model, torch.randn(2, 4))
    kill_some(shrinker)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = model(torch.ones(3, 4))
        shrinker.collect()
        assert before.dtype == torch.bfloat16
        assert torch.allclose(before, model(torch.ones(3, 4)), atol=0.02)


def test_inputs_that_the_model_does_not_take_are_told() -> None:
    with pytest.raises(OptionError, match="inputs that the model runs on"):
        Shrinker(nn.Linear(4, 2), torch.randn(1, 5))


class AddsWhatFits(nn.Module):
    """Adds its input where that happens to have the width of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 11), nn.Linear(11, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.second(x)
        return self.last(torch.tanh(x + y if x.shape == y.shape else y))


def test_sizes_that_become_equal_by_chance_change_nothing() -> None:
    torch.manual_seed(0)
    model, x = AddsWhatFits().double(), torch.randn(5, 4, dtype=torch.float64)
    shrinker = Shrinker(model, x)
    for group in shrinker.groups:
        group.kill(range(3, group.size))
    before = model(x)
    assert shrinker.collect().total > 0
    torch.testing.assert_close(model(x), before, rtol=1e-10, atol=1e-10)

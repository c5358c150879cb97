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


class Block(nn.Module):
    """A pre-activation block, or one whose norm comes last, beside a skip."""

    def __init__(self, *, last: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 9), nn.Linear(9, 6), last

    def forward(self, x: Tensor) -> Tensor:
        out = torch.sigmoid(self.first(x))
        out = self.last(self.second(out))
        out += x
        return relu(out)


@pytest.fixture
def deep() -> nn.Module:
    torch.manual_seed(0)
    blocks = (Block(last=nn.Identity()), Block(last=nn.BatchNorm1d(6)))
    return nn.Sequential(nn.Linear(4, 6), *blocks, nn.Linear(6, 3)).double()


def test_a_branch_whose_group_died_is_removed_and_no_longer_run(deep: nn.Module) -> None:
    x = torch.randn(7, 4, dtype=torch.float64)
    shrinker = Shrinker(deep, x)
    optimizer = torch.optim.AdamW(shrinker.parameters())
    deep(x).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    inner = next(group for group in shrinker.groups if group.name == "2.first")
    inner.kill(range(inner.size))
    modes = (False, True)
    before = [deep.train(mode)(x).detach() for mode in modes]
    report = shrinker.collect(optimizer)
    assert (report.removed["2.first"], report.removed["2 (branch)"]) == (9, 1)
    assert [name for name, _ in deep[2].named_parameters() if "filter" not in name] == []
    for mode, expected in zip(modes, before, strict=True):
        torch.testing.assert_close(deep.train(mode)(x), expected, rtol=1e-10, atol=1e-10)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in shrinker.parameters()}
    deep(x).square().sum().backward()
    optimizer.step()
    after = deep.eval()(x)
    network = shrinker.finish()
    torch.testing.assert_close(network(x), after, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(copy.deepcopy(network)(x), after, rtol=1e-10, atol=1e-10)
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x), after, rtol=1e-10, atol=1e-10)


def test_a_branch_can_be_killed_by_its_own_gate(deep: nn.Module) -> None:
    x = torch.randn(7, 4, dtype=torch.float64)
    shrinker = Shrinker(deep, x)
    assert [g.name for g in shrinker.groups if g.bypass] == ["1 (branch)", "2 (branch)"]
    for group in shrinker.groups:
        if group.bypass:
            group.kill([0])
    before = deep.eval()(x)
    shrinker.collect()
    torch.testing.assert_close(deep(x), before, rtol=1e-10, atol=1e-10)
    assert [group.name for group in shrinker.groups] == ["0"]


class Layer(nn.Module):
    """Two branches with the scales that vision transformers have, held by the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(6), nn.LayerNorm(6)
        self.mix, self.mlp = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 9), nn.GELU())
        self.out = nn.Linear(9, 6)
        self.scale1, self.scale2 = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(6))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale1 * self.mix(self.norm1(x))
        return x + self.scale2 * self.out(self.mlp(self.norm2(x)))


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_several_branches_of_one_module_go_one_by_one(
    *, order: tuple[int, int], together: bool
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), Layer(), Layer(), nn.Linear(6, 3)).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    shrinker = Shrinker(model, x)
    optimizer = torch.optim.Adam(shrinker.parameters())
    groups = {group.name: group for group in shrinker.groups}
    for number in order:
        groups[f"1 (branch {number})"].kill([0])
        before = model(x).detach()
        if not together:
            shrinker.collect(optimizer)
            torch.testing.assert_close(model(x), before, rtol=1e-10, atol=1e-10)
    shrinker.collect(optimizer)
    torch.testing.assert_close(model(x), before, rtol=1e-10, atol=1e-10)
    assert not list(model[1].parameters())
    assert len([n for n, _ in model[2].named_parameters() if "filter" not in n]) == 12
    model(x).sum().backward()
    optimizer.step()
    before = model(x).detach()
    torch.testing.assert_close(shrinker.finish()(x), before, rtol=1e-10, atol=1e-10)


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


class InPlace(nn.Module):
    """Changes its sum in place, as residual networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 9), nn.Linear(9, 6)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.second(torch.sigmoid(self.first(x))) + x)


def test_what_changes_a_sum_in_place_does_not_change_the_term_that_is_left() -> None:
    gradients = []
    for collects in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), InPlace(), nn.Linear(6, 2)).double()
        x = torch.randn(5, 4, dtype=torch.float64)
        shrinker = Shrinker(model, x)
        next(group for group in shrinker.groups if group.bypass).kill([0])
        if collects:
            assert shrinker.collect().removed["2 (branch)"] == 1
        model(x).square().sum().backward()
        assert model[0].weight.grad is not None
        gradients.append(model[0].weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-10)

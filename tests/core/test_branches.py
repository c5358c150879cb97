"""Learned depth: branches beside skip connections leave their modules."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from shrinknets_core import Shrinker


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

"""Running averages and other copies of a model lose what the model loses."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from shrinknets_core import OptionError, Shrinker


class Residual(nn.Module):
    """A branch beside a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.BatchNorm1d(6), nn.Linear(6, 9), nn.Linear(9, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.sigmoid(self.first(self.norm(x))))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), Residual(), nn.LayerNorm(6), Residual(), nn.Linear(6, 3)
    ).double()  # fmt: skip


def train(model: nn.Module, optimizer: torch.optim.Optimizer, average: AveragedModel) -> None:
    for _ in range(3):
        model(torch.randn(8, 4).double()).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)


def test_a_running_average_goes_on_over_collections_and_the_end() -> None:
    model, x = network(), torch.randn(7, 4).double()
    shrinker = Shrinker(model, x)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    shrinker.follow(average.module)
    optimizer = torch.optim.Adam(shrinker.parameters(), lr=0.05)
    groups = {group.name: group for group in shrinker.groups}
    for name, dead in (("1.first", range(4)), ("3 (branch)", [0]), ("0", [1, 3])):
        train(model, optimizer, average)
        held = {id(parameter) for parameter in average.parameters()}
        groups[name].kill(dead)
        for gate, own in zip(gates(average.module), gates(model), strict=True):
            gate.copy_(gate * (own > 0))  # the average of a gate that has been dead for long
        before = average.eval()(x)
        assert shrinker.collect(optimizer).total
        torch.testing.assert_close(average(x), before, rtol=1e-10, atol=1e-10)
        assert {id(parameter) for parameter in average.parameters()} <= held
    train(model, optimizer, average)
    before = average.eval()(x)
    network_ = shrinker.finish()
    torch.testing.assert_close(average(x), before, rtol=1e-10, atol=1e-10)
    assert [n for n, _ in average.module.named_parameters()] == [
        n for n, _ in network_.named_parameters()
    ]
    assert not any("filter" in name for name, _ in average.named_modules())


def gates(model: nn.Module) -> list[Tensor]:
    return [p.data for name, p in model.named_parameters() if name.endswith(".theta")]


def test_something_that_is_no_copy_is_refused() -> None:
    model = network()
    plain = copy.deepcopy(model)
    shrinker = Shrinker(model, torch.randn(7, 4).double())
    with pytest.raises(OptionError, match="a copy of the model with its gates"):
        shrinker.follow(plain)

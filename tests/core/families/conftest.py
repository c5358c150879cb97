"""Small networks of every family, and what they cost when really built and run."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from shrinknets_core.families import Family, family_names, get_family
from shrinknets_core.sizes import Size


@dataclass(frozen=True, kw_only=True)
class Case:
    """A family with uneven small widths, so that no two axes can be mixed up unseen."""

    family: Family
    input_shape: tuple[int, ...]
    widths: tuple[int, ...]
    num_classes: int = 7

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return self.family.build(self.input_shape, self.widths, self.num_classes)

    def size(self) -> Size:
        return self.family.size(self.input_shape, self.widths, self.num_classes)

    def batch(self, rows: int) -> torch.Tensor:
        return torch.randn(rows, *self.input_shape, generator=torch.Generator().manual_seed(1))


def make_case(name: str) -> Case:
    family = get_family(name)
    input_shape = (6,) if family.image_side is None else (3, 35, 33)
    widths = tuple(3 + position % 4 for position in range(len(family.full_widths)))
    return Case(family=family, input_shape=input_shape, widths=widths)


@pytest.fixture(params=family_names())
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(request.param)


def measured(module: nn.Module, x: torch.Tensor) -> Size:
    """Count what a real module holds, and what it computes for one example of the batch."""
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    macs, rest = divmod(counter.get_total_flops(), 2 * len(x))
    assert rest == 0
    return Size(parameters=sum(p.numel() for p in module.parameters()), macs=macs)

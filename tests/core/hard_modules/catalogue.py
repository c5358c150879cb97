"""The catalogue of hard modules, how they enter it, and what many of them are made of."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor, nn

from tests.core.exactness import Inputs, randomise

Builder = Callable[[], nn.Module]
InputsFactory = Callable[[], Inputs]
Made = TypeVar("Made", bound=type[nn.Module])


@dataclass(frozen=True, kw_only=True)
class HardModule:
    """A module's factory and its example inputs.

    `prunable` is False where no feature at all can be removed without changing the outputs.
    """

    name: str
    make: Builder
    make_inputs: InputsFactory
    prunable: bool

    def build(self) -> nn.Module:
        seed = crc32(self.name.encode())
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            model = self.make().double()
        randomise(model, seed)
        return model

    def inputs(self) -> Inputs:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(crc32(self.name.encode()) + 1)
            return self.make_inputs()


CATALOGUE: dict[str, HardModule] = {}


def register(
    name: str, make: Builder, make_inputs: InputsFactory, *, prunable: bool = True
) -> None:
    """Add a module to the catalogue under a name that no other has."""
    assert name not in CATALOGUE, name
    CATALOGUE[name] = HardModule(name=name, make=make, make_inputs=make_inputs, prunable=prunable)


def hard(make_inputs: InputsFactory, *, prunable: bool = True) -> Callable[[Made], Made]:
    """Register the decorated class, built without arguments, under its own name."""

    def decorate(cls: Made) -> Made:
        register(cls.__name__, cls, make_inputs, prunable=prunable)
        return cls

    return decorate


def normal(*shape: int) -> InputsFactory:
    """Normal numbers of this shape, float64."""
    return lambda: torch.randn(*shape, dtype=torch.float64)


def integers(high: int, *shape: int) -> InputsFactory:
    """Integers below `high`."""
    return lambda: torch.randint(high, shape)


def each(*factories: InputsFactory) -> InputsFactory:
    """A tuple of positional inputs."""
    return lambda: tuple(factory() for factory in factories)


def named(**factories: InputsFactory) -> InputsFactory:
    """A dict of keyword inputs."""
    return lambda: {name: factory() for name, factory in factories.items()}


ROWS = normal(5, 6)


class Apply(nn.Module):
    """Applies a function without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def chain(*layers: nn.Module | Callable[[Tensor], Tensor]) -> nn.Sequential:
    """An nn.Sequential in which plain functions may stand, too."""
    return nn.Sequential(
        *(layer if isinstance(layer, nn.Module) else Apply(layer) for layer in layers)
    )


def head(width: int, classes: int = 3) -> nn.Sequential:
    """Pool an image to one number per channel and classify."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))

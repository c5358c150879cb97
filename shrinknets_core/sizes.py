"""How large a network is when deployed, counted without its weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a network is when deployed: no gates, biases included.

    Attributes:
        parameters: weights and biases, scales and shifts of norms among them.
        macs: multiply-accumulate operations of matrix products and convolutions for one example.
    """

    parameters: int
    macs: int


class Tally:
    """Adds up the size of a network layer by layer, from the layers' shapes alone."""

    def __init__(self) -> None:
        self._parameters = 0
        self._macs = 0

    def linear(self, before: int, after: int, *, bias: bool = True) -> None:
        """Add a linear layer."""
        self._parameters += before * after + bias * after
        self._macs += before * after

    def conv(
        self, before: int, after: int, *, kernel: int, pixels: int, bias: bool = False
    ) -> None:
        """Add a convolution with a square kernel that makes so many pixels per channel."""
        weights = before * after * kernel**2
        self._parameters += weights + bias * after
        self._macs += weights * pixels

    def norm(self, features: int) -> None:
        """Add a batch norm with scale and shift."""
        self._parameters += 2 * features

    def size(self) -> Size:
        """Return the sum so far."""
        return Size(parameters=self._parameters, macs=self._macs)


def size_on_meta(make: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> Size:
    """Build a module on the meta device, where tensors have no memory, and count it.

    Args:
        make: builds the module; must put its tensors on torch's default device.
        input_shape: of one example, without the batch.
    """
    with torch.device("meta"), torch.no_grad():
        module = make().eval()
        with FlopCounterMode(display=False) as counter:
            module(torch.empty(1, *input_shape))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Size(parameters=parameters, macs=counter.get_total_flops() // 2)

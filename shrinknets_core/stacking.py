"""Several networks of one shape but different widths as one module, so that they train at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu


class LinearStack(nn.Module):
    """Plain stacks of linear layers side by side; x (batch, …) gives (networks, batch, outputs).

    Narrower networks are padded with zeros up to the widest. A padded feature has no incoming and
    no outgoing weights, so its output, its gradients and all that an optimiser makes of them are
    exactly 0: each network trains as it would alone.

    Args:
        modules: for each of which `can_stack` holds; they share inputs, outputs and depth. Their
            values are copied.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        layers = [_linears(module) for module in modules]
        self._shapes = [[layer.weight.shape for layer in stack] for stack in layers]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for side_by_side in zip(*layers, strict=True):
            self.weights.append(_padded([layer.weight for layer in side_by_side]))
            self.biases.append(_padded([layer.bias for layer in side_by_side]))

    def forward(self, x: Tensor) -> Tensor:
        weights, biases = list(self.weights), list(self.biases)
        # All networks read the same rows, so that their first layers are one wide layer.
        first = linear(x.flatten(1), weights[0].flatten(0, 1), biases[0].flatten())
        hidden = first.view(len(x), *biases[0].shape).transpose(0, 1)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            hidden = torch.baddbmm(bias.unsqueeze(1), relu(hidden), weight.transpose(1, 2))
        return hidden

    @torch.no_grad()
    def copy_to(self, module: nn.Module, number: int) -> None:
        """Write the values of one of the networks, without padding, into a module of its shape."""
        for position, layer in enumerate(_linears(module)):
            rows, columns = self._shapes[number][position]
            layer.weight.copy_(self.weights[position][number, :rows, :columns])
            layer.bias.copy_(self.biases[position][number, :rows])


def can_stack(module: nn.Module) -> bool:
    """Tell whether a module is a plain stack: linear layers with biases, a ReLU between any two."""
    layers = [layer for layer in module.children() if not isinstance(layer, nn.Flatten)]
    return (
        isinstance(module, nn.Sequential)
        and len(layers) % 2 == 1
        and all(isinstance(layer, nn.Linear) and layer.bias is not None for layer in layers[::2])
        and all(isinstance(layer, nn.ReLU) for layer in layers[1::2])
    )


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.children() if isinstance(layer, nn.Linear)]


@torch.no_grad()
def _padded(tensors: Sequence[Tensor]) -> nn.Parameter:
    """Stack tensors (n_0, …) of different sizes into the largest of each axis, zeros elsewhere."""
    sizes = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    stack = tensors[0].new_zeros(len(tensors), *sizes)
    for place, tensor in zip(stack, tensors, strict=True):
        place[tuple(slice(size) for size in tensor.shape)] = tensor
    return nn.Parameter(stack)

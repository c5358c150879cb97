"""Weights that are no layer's: parameters, functions of them, and computed ones."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import each, hard, head, normal


@hard(normal(5, 6))
class RawMatmul(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(6, 14)), nn.Parameter(torch.randn(14, 9))
        self.bias, self.last = nn.Parameter(torch.randn(9)), nn.Parameter(torch.randn(9, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x @ self.first)
        x = torch.relu(torch.addmm(self.bias, x, self.second))
        return torch.matmul(self.last.t(), x.t()).t()


@hard(normal(5, 6))
class FunctionalLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.bias = nn.Parameter(torch.randn(14, 6)), nn.Parameter(torch.zeros(14))
        self.last = nn.Parameter(torch.randn(3, 14))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(x, self.first, self.bias)
        return functional.linear(functional.silu(x), self.last)


@hard(normal(4, 5, 6))
class EinsumSpellings(nn.Module):
    """Weights before and after, both orientations, an ellipsis, a broadcast product."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(6, 14), (11, 14), (11, 3, 5), (3, 5, 10), (10,), (10, 4)]
        self.weights = nn.ParameterList([torch.randn(shape) / 3 for shape in shapes])

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weights
        x = torch.relu(torch.einsum("bni,io->bno", x, weights[0]))
        x = torch.relu(torch.einsum("oi,bni->bno", weights[1], x))
        x = torch.relu(torch.einsum("...d,dhe->...he", x, weights[2]))
        x = torch.relu(torch.einsum("bnhe, heo -> bno", x, weights[3]))
        x = torch.einsum("bno,o->bno", x, weights[4])
        return torch.einsum("bno,oc->bc", x, weights[5])


@hard(normal(4, 5, 6))
class BmmExpanded(nn.Module):
    """One matrix for all rows of the batch, expanded, and one matrix per token."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.randn(6, 13) / 3)
        self.per_token = nn.Parameter(torch.randn(5, 13, 9) / 3)
        self.last = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.bmm(x, self.shared.unsqueeze(0).expand(x.shape[0], -1, -1)).relu()
        x = torch.bmm(x.transpose(0, 1), self.per_token).relu()
        return self.last(x.transpose(0, 1))


@hard(normal(4, 6))
class ParameterLists(nn.Module):
    """Layers whose parameters sit in a list and a dict."""

    def __init__(self) -> None:
        super().__init__()
        widths = (6, 13, 10, 3)
        self.weights = nn.ParameterList(torch.randn(a, b) / 2 for a, b in pairwise(widths))
        self.shifts = nn.ParameterDict({"0": torch.zeros(13), "1": torch.zeros(10)})

    def forward(self, x: Tensor) -> Tensor:
        for i, weight in enumerate(self.weights):
            x = x @ weight
            if str(i) in self.shifts:
                x = torch.relu(x + self.shifts[str(i)])
        return x


@hard(normal(3, 3, 7, 7))
class FunctionalConv(nn.Module):
    """A raw kernel, used twice with different dilation, as in tridents."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.bias = (
            nn.Parameter(torch.randn(12, 3, 3, 3)),
            nn.Parameter(torch.zeros(12)),
        )
        self.last = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = functional.conv2d(x, self.kernel, self.bias, padding=1)
        far = functional.conv2d(x, self.kernel, self.bias, padding=2, dilation=2)
        return self.last(torch.relu(near) + torch.relu(far))


@hard(normal(3, 3, 7, 7))
class StandardisedConv(nn.Module):
    """The kernel is normalised per output channel in each forward, as in NFNets and BiT."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.kernel = nn.Conv2d(3, 11, 1), nn.Parameter(torch.randn(12, 11, 3, 3))
        self.gain, self.last = nn.Parameter(torch.ones(12, 1, 1, 1)), nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.kernel, dim=(1, 2, 3), keepdim=True)
        kernel = self.gain * (self.kernel - mean) * torch.rsqrt(variance + 1e-5)
        return self.last(torch.relu(functional.conv2d(torch.relu(self.stem(x)), kernel)))


@hard(each(normal(4, 5), normal(4, 6)))
class BilinearLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 9), nn.Linear(6, 11)
        self.bilinear, self.last = nn.Bilinear(9, 11, 8), nn.Linear(8, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        x = self.bilinear(torch.relu(self.left(left)), torch.relu(self.right(right)))
        return self.last(torch.relu(x))


@hard(each(normal(4, 5), normal(4, 6)))
class OuterProduct(nn.Module):
    """A feature of either side is a whole row or column of what is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(5, 7), nn.Linear(6, 9), nn.Linear(63, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        left, right = torch.relu(self.left(left)), torch.relu(self.right(right))
        return self.last((left.unsqueeze(2) * right.unsqueeze(1)).flatten(1))


@hard(each(normal(4, 6), normal(4, 5)))
class HyperNetwork(nn.Module):
    """One layer computes another's weight: its outputs are places in a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weights = nn.Linear(6, 7), nn.Linear(5, 63)
        self.last = nn.Linear(9, 3)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        weight = self.weights(condition).view(-1, 9, 7)
        x = torch.bmm(weight, torch.relu(self.first(x)).unsqueeze(-1)).squeeze(-1)
        return self.last(torch.relu(x))


@hard(each(normal(4, 3, 5, 5), normal(4, 6)))
class FeatureWiseModulation(nn.Module):
    """FiLM: another input gives each channel's factor and shift."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10, affine=False)
        self.condition, self.head = nn.Linear(6, 20), head(10)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        factor, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        return self.head(torch.relu(self.norm(self.conv(x)) * (1 + factor) + shift))

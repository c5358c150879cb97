"""Random networks out of all operations that features pass through, for property tests."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

Step = tuple[str, int]
"""What to do, and a number that it may use."""

STEPS = (
    "conv", "wide_conv", "depthwise", "multiplier", "grouped", "batch_norm", "group_norm",
    "instance_norm", "relu", "sigmoid", "gelu", "prelu", "pool", "residual", "bypass", "squeeze",
    "shuffle", "glu", "remember", "recall", "two_paths", "shared",
)  # fmt: skip


def networks() -> st.SearchStrategy["RandomNetwork"]:
    """Draw networks of up to twelve steps between a stem and a head."""
    step = st.tuples(st.sampled_from(STEPS), st.integers(0, 7))
    return st.builds(RandomNetwork, st.lists(step, min_size=1, max_size=12), st.integers(0, 99))


class RandomNetwork(nn.Module):
    """Takes (batch, 3, 6, 6) and runs its steps one after the other.

    Args:
        steps: what to do.
        seed: of the weights.
    """

    def __init__(self, steps: list[Step], seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.layers = nn.ModuleList()
            self.steps, self.seed = steps, seed
            width = 8
            self.widths = {0: 8}
            for number, (name, extra) in enumerate(steps):
                width = self._add(name, extra, width)
                self.widths[number + 1] = width
            self.head = nn.Linear(width, 3)
            self.double()

    def __repr__(self) -> str:
        return f"RandomNetwork({self.steps!r}, {self.seed})"

    def _add(self, name: str, extra: int, width: int) -> int:
        """Append the layers of one step; return the width after it."""
        out = width + extra % 3
        layers: dict[str, Callable[[], list[nn.Module]]] = {
            "conv": lambda: [nn.Conv2d(width, out, 3, padding=1, bias=extra % 2 == 0)],
            "wide_conv": lambda: [nn.Conv2d(width, 2 * width, 1)],
            "depthwise": lambda: [nn.Conv2d(width, width, 3, padding=1, groups=width)],
            "multiplier": lambda: [nn.Conv2d(width, 2 * width, 3, padding=1, groups=width)],
            "grouped": lambda: [nn.Conv2d(width, width, 3, padding=1, groups=_divisor(width))],
            "batch_norm": lambda: [nn.BatchNorm2d(width, affine=extra % 2 == 0)],
            "group_norm": lambda: [nn.GroupNorm(_divisor(width), width)],
            "instance_norm": lambda: [nn.InstanceNorm2d(width, affine=extra % 2 == 0)],
            "prelu": lambda: [nn.PReLU(width)],
            "residual": lambda: [nn.Conv2d(width, out, 3, padding=1), nn.Conv2d(out, width, 1)],
            "bypass": lambda: [nn.Conv2d(width, out, 1)],
            "squeeze": lambda: [nn.Linear(width, 4), nn.Linear(4, width)],
            "glu": lambda: [nn.Conv2d(width, 2 * out, 1)],
            "two_paths": lambda: [nn.Conv2d(width, out, 1), nn.Conv2d(width, out, 3, padding=1)],
            "shared": lambda: [nn.Conv2d(width, width, 1)],
        }
        self.layers.append(nn.ModuleList(layers.get(name, list)()))
        after = {"conv": out, "wide_conv": 2 * width, "multiplier": 2 * width, "glu": out,
                 "two_paths": out, "bypass": width + out}  # fmt: skip
        return after.get(name, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        memory = [x]
        for (name, extra), layers in zip(self.steps, self.layers, strict=True):
            if name == "remember":
                memory.append(x)
            elif name == "recall":
                fitting = [m for m in memory if m.shape[2:] == x.shape[2:]]
                x = self._recall(x, fitting[extra % len(fitting)]) if fitting else x
            else:
                x = run(name, x, list(layers))
        return self.head(x.mean((2, 3)))

    def _recall(self, x: Tensor, old: Tensor) -> Tensor:
        return x + old if old.shape == x.shape else x


def run(name: str, x: Tensor, layers: list[nn.Module]) -> Tensor:  # noqa: C901
    """Run one step."""
    match name:
        case "relu" | "sigmoid":
            return getattr(torch, name)(x)
        case "gelu":
            return nn.functional.gelu(x)
        case "pool":
            return nn.functional.max_pool2d(x, 2) if x.shape[-1] > 3 else x
        case "residual":
            return x + layers[1](torch.tanh(layers[0](x)))
        case "bypass":
            return torch.cat([x, layers[0](x)], dim=1)
        case "squeeze":
            scale = layers[1](torch.relu(layers[0](x.mean((2, 3)))))
            return x * torch.sigmoid(scale)[:, :, None, None]
        case "shuffle":
            return nn.functional.channel_shuffle(x, _divisor(x.shape[1]))
        case "glu":
            return nn.functional.glu(layers[0](x), dim=1)
        case "two_paths":
            return torch.maximum(layers[0](x), layers[1](x))
        case "shared":
            return layers[0](torch.relu(layers[0](x)))
        case _:
            for layer in layers:
                x = layer(x)
            return x


def _divisor(width: int) -> int:
    return next((d for d in (4, 2, 3, 5, 7) if width % d == 0), 1)

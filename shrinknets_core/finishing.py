"""From a trained network to one that people take away: plain, on the CPU, on raw rows."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from shrinknets_core.choice import Choice
from shrinknets_core.data import Split
from shrinknets_core.events import TrainedNetwork
from shrinknets_core.snapshots import Origin
from shrinknets_core.training import evaluate

PLAIN = "mlp"
"""The family whose networks are plain stacks of linear layers."""


class Standardise(nn.Module):
    """`(x − mean) / std`; x (batch, …), mean and std as `Split` has them."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def finish(choice: Choice, split: Split, origin: Origin, *, lam: float = 0.0) -> TrainedNetwork:
    """Turn the chosen epoch into a network and measure it on the test rows, once.

    Args:
        choice: must hold a network.
        split: on the network's device, or on the CPU; its standardisation goes into the network.
        origin: what it was cut from.
        lam: the penalty that led to this size.
    """
    assert choice.record is not None
    assert choice.module is not None
    _, test_accuracy = evaluate(choice.module, split.test)
    return TrainedNetwork(
        module=on_raw_rows(
            choice.module, mean=split.mean, std=split.std, fold=origin.family.name == PLAIN
        ),
        family=origin.family.name,
        input_shape=split.input_shape,
        num_classes=split.num_classes,
        width_names=origin.family.width_names(len(origin.full_widths)),
        full_widths=origin.full_widths,
        kept=origin.kept(),
        parameters=choice.record.parameters,
        macs=choice.record.macs,
        validation_accuracy=choice.record.validation_accuracy,
        test_accuracy=test_accuracy,
        step=choice.record.step,
        lam=lam,
    )


def on_raw_rows(model: nn.Module, *, mean: Tensor, std: Tensor, fold: bool = True) -> nn.Sequential:
    """Return a network on the CPU that takes raw rows instead of standardised ones.

    A plain stack of linear layers comes without further ones: the first takes over the
    standardisation. Others become `network` after a layer `standardise`, as with zero padding
    nothing can take it over.

    Args:
        model: without gates; stays as it is where it is a plain stack, moves otherwise.
        mean: of the raw rows, (inputs,) or (channels, 1, 1).
        std: likewise.
        fold: whether a plain stack may be taken apart.
    """
    if fold and _is_plain_stack(model):
        linears = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        return _folded_into_first(linears, mean=mean, std=std)
    return standardised(model, mean=mean, std=std).cpu().eval()


def standardised(model: nn.Module, *, mean: Tensor, std: Tensor) -> nn.Sequential:
    """Return the model as `network` after a layer `standardise`; changes nothing."""
    return nn.Sequential(OrderedDict(standardise=Standardise(mean, std), network=model))


def _is_plain_stack(model: nn.Module) -> bool:
    """Tell whether a module is what `plain_layers` makes: a ReLU between any two linear layers."""
    if type(model) is not nn.Sequential:
        return False
    kinds = [type(layer) for layer in model]
    kinds = kinds[1:] if kinds[:1] == [nn.Flatten] else kinds
    return kinds == [nn.Linear, *[nn.ReLU, nn.Linear] * (len(kinds) // 2)]


@torch.no_grad()
def _folded_into_first(sources: Sequence[nn.Linear], *, mean: Tensor, std: Tensor) -> nn.Sequential:
    """`W ((x − m) / s) + b = (W / s) x + (b − (W / s) m)`, computed in float64."""
    widths = [layer.out_features for layer in sources]
    inputs = sources[0].in_features
    layers = plain_layers(inputs, widths[:-1], widths[-1], flatten=mean.dim() > 1)
    # Of an image all numbers of a channel have its mean and deviation, and stand together.
    mean, std = (one.flatten().repeat_interleave(inputs // one.numel()) for one in (mean, std))
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for new, old in zip(linears, sources, strict=True):
        new.load_state_dict(old.state_dict())
    weight = linears[0].weight.double() / std.cpu().double()
    linears[0].bias.copy_(linears[0].bias.double() - weight @ mean.cpu().double())
    linears[0].weight.copy_(weight)
    return layers.eval()


def plain_layers(
    inputs: int, widths: Sequence[int], outputs: int, *, flatten: bool = False
) -> nn.Sequential:
    """Return linear layers with a ReLU between any two, as `torch.nn` has them.

    With `flatten` they take images, too; the linear layers' names stay the same.
    """
    sizes = [inputs, *widths, outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, dtype=torch.float32), nn.ReLU()]
    plain = nn.Sequential(*layers[:-1])
    if not flatten:
        return plain
    return nn.Sequential(OrderedDict([("flatten", nn.Flatten()), *plain.named_children()]))

"""From a trained MLP to a network that people take away: plain layers on raw rows."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from shrinknets_core.data import Split
from shrinknets_core.events import TrainedNetwork
from shrinknets_core.mlp import MLP, mlp_size
from shrinknets_core.training import Choice, evaluate


def finish(
    choice: Choice,
    split: Split,
    *,
    full_widths: Sequence[int],
    kept: Sequence[Tensor] | None = None,
    lam: float = 0.0,
) -> TrainedNetwork:
    """Turn the chosen epoch into a network and measure it on the test rows, once.

    Args:
        choice: must hold a model.
        split: on the model's device; its standardisation goes into the first layer.
        full_widths: hidden layers at the start of the training.
        kept: the original feature numbers of each layer; None where nothing was removed.
        lam: the penalty that led to this size.
    """
    assert choice.record is not None
    assert choice.model is not None
    _, test_accuracy = evaluate(choice.model, split.test)
    size = mlp_size(split.inputs, choice.record.widths, split.num_classes)
    features = [torch.arange(width) for width in full_widths] if kept is None else kept
    return TrainedNetwork(
        module=on_raw_rows(choice.model, mean=split.mean, std=split.std),
        full_widths=tuple(full_widths),
        kept=tuple(tuple(ids.tolist()) for ids in features),
        parameters=size.parameters,
        macs=size.macs,
        validation_accuracy=choice.record.validation_accuracy,
        test_accuracy=test_accuracy,
        step=choice.record.step,
        lam=lam,
    )


@torch.no_grad()
def on_raw_rows(model: MLP, *, mean: Tensor, std: Tensor) -> nn.Sequential:
    """Return plain layers on the CPU that take raw rows instead of standardised ones.

    `W ((x − m) / s) + b = (W / s) x + (b − (W / s) m)`, computed in float64. The model must have no
    filters; it stays as it is. mean, std: (inputs,).
    """
    assert not model.filters
    sources = model.linears()
    layers = plain_layers(sources[0].in_features, model.widths(), sources[-1].out_features)
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for new, old in zip(linears, sources, strict=True):
        new.load_state_dict(old.state_dict())
    weight = linears[0].weight.double() / std.cpu().double()
    linears[0].bias.copy_(linears[0].bias.double() - weight @ mean.cpu().double())
    linears[0].weight.copy_(weight)
    return layers.eval()


def plain_layers(inputs: int, widths: Sequence[int], outputs: int) -> nn.Sequential:
    """Return linear layers with a ReLU between any two, as `torch.nn` has them."""
    sizes = [inputs, *widths, outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, dtype=torch.float32), nn.ReLU()]
    return nn.Sequential(*layers[:-1])

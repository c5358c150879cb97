"""Training a finished network on: the same rows, small steps that fall to zero, the best epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from shrinknets_core.batches import place
from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.loop_runs import LoopRun
from shrinknets_core.polishing import anneal
from shrinknets_core.runs import Run, describe
from shrinknets_core.trainee import Trainee
from shrinknets_core.training import Loop, TrainOptions

LR_SHARE = 0.1
"""Of the step size that the network was first trained with."""


def fine_tune(
    split: Split,
    *,
    network: nn.Sequential,
    full_widths: Sequence[int],
    kept: Sequence[Sequence[int]],
    options: TrainOptions,
    epochs: int,
    family: Family | None = None,
) -> Run:
    """Train a network on; yields its epochs, then the network of the best one.

    Args:
        split: the data that the network was trained on, split the same way.
        network: takes raw rows, as `load_network` gives it; stays as it is.
        full_widths: the layers of the network that it was cut from.
        kept: for each layer the original numbers of its features.
        options: how to train; the step size begins at a tenth of theirs.
        epochs: at least 1; the step size falls to zero along a cosine.
        family: of the network; multi-layer perceptrons by default.

    Raises:
        OptionError: the network does not fit the family, the data or what was kept.
        DivergedError: the loss is not finite (raised by the run).
    """
    family = mlp_family() if family is None else family
    split = place(split, options.device)
    widths = [len(features) for features in kept]
    module = family.build(split.input_shape, widths, split.num_classes)
    try:
        module.load_state_dict(_on_standardised_rows(network, module, split))
    except RuntimeError as error:
        expected = f"of the family {family.name!r} with the widths {widths}"
        raise OptionError("network", expected=expected, got=str(error)) from error
    trainee = Trainee(family, module.to(options.device), split, widths)
    features = tuple(tuple(one) for one in kept)
    description = describe(
        "fine_tune", split, full_widths, options, family, epochs=epochs, kept=[*map(list, features)]
    )
    return _FineTuning(
        Loop(trainee, split, options),
        description,
        lr=LR_SHARE * options.lr,
        epochs=epochs,
        origin={"full_widths": tuple(full_widths), "kept": features},
    )


class _FineTuning(LoopRun):
    def __init__(
        self,
        loop: Loop,
        description: Mapping[str, Any],
        *,
        lr: float,
        epochs: int,
        origin: Mapping[str, Any],
    ) -> None:
        super().__init__(loop, description)
        self._lr = lr
        self._epochs = epochs
        self._origin = dict(origin)

    def _go_on(self) -> Iterator[TrialEvent]:
        yield from anneal(
            self._loop,
            self._choice,
            lr=self._lr,
            epochs=self._epochs,
            phase=Phase.POLISH,
            first_step=0,
        )
        self._ended = True
        tuned = finish(self._choice, self._loop.split, self._loop.trainee)
        yield replace(tuned, **self._origin)


@torch.no_grad()
def _on_standardised_rows(
    network: nn.Sequential, like: nn.Module, split: Split
) -> dict[str, Tensor]:
    """The network's state without its standardisation, under the names of `like`.

    Where the first layer has taken the standardisation over, it gives it back:
    `W (s x + m) + b = (s W) x + (b + W m)`, computed in float64.
    """
    if isinstance(inner := getattr(network, "network", None), nn.Module):
        return dict(inner.state_dict())
    state = dict(zip(like.state_dict(), network.state_dict().values(), strict=False))
    weight_name, bias_name, *_ = state
    weight, bias = state[weight_name].double(), state[bias_name].double()
    mean, std = (
        one.cpu().double().flatten().repeat_interleave(weight.shape[1] // one.numel())
        for one in (split.mean, split.std)
    )
    state[weight_name] = (weight * std).float()
    state[bias_name] = (bias + weight @ mean).float()
    return state

"""Torch-Pruning 1.6.1 on the zoo's models, judged by the same comparison as ours.

The peer removes the same share of each layer's features, by random importance. For it the features
that it is about to remove are first silenced at their source, weights, biases and norms set to
zero, and what that model returns is what the pruned one must return. Layers that make the output
are ignored, numbers of heads are given as its examples give them, and fused attention is off.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo_models import CLASSES, build
from tests.core import exactness


class Peer:
    """Torch-Pruning on a model, and a twin of that with the removed features silenced."""

    def __init__(self, suite: str, name: str, share: float) -> None:
        self.pruning = importlib.import_module("torch_pruning")
        self.suite, self.name = suite, name
        self.model, self.twin = self.fresh(), self.fresh()
        self.inputs = exactness.to_float64(build(suite, name)[1])
        self.left: dict[str, list[int]] = {}
        self.share = share

    def fresh(self) -> nn.Module:
        """Build the model in evaluation mode, its attention written out."""
        model = build(self.suite, self.name)[0].double().eval()
        for module in model.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False
        return model

    def prepare(self) -> None:
        """Trace the model."""
        self.pruner = self.pruning.BasePruner(
            self.model,
            self.inputs,
            importance=self.pruning.importance.RandomImportance(),
            pruning_ratio=self.share,
            ignored_layers=list(self.output_layers()),
            num_heads=dict(self.heads()),
            out_channel_groups=self.whole_attentions(),
            output_transform=exactness.find_tensors,
        )

    def output_layers(self) -> Iterator[nn.Module]:
        """Yield the layers whose features are outputs.

        In the zoo these have as many features as there are classes. In hard modules they are those
        whose group of features, pruned by one, changes the outputs' shapes.
        """
        for name, module in list(self.model.named_modules()):
            width = getattr(module, "out_features", getattr(module, "out_channels", None))
            if self.suite != "hard":
                makes_output = width == CLASSES
            else:
                makes_output = width is not None and self.shapes_change(name)
            if makes_output:
                yield module

    def shapes_change(self, name: str) -> bool:
        model = self.fresh()
        before = exactness.find_tensors(exactness.call(model, self.inputs))
        try:
            graph = self.pruning.DependencyGraph().build_dependency(
                model, self.inputs, output_transform=exactness.find_tensors
            )
            layer = model.get_submodule(name)
            graph.get_pruning_group(
                layer, graph.get_pruner_of_module(layer).prune_out_channels, idxs=[0]
            ).prune()
            after = exactness.find_tensors(exactness.call(model, self.inputs))
        except Exception:  # noqa: BLE001 - a layer that can't be pruned is judged in the real run
            return False
        return [value.shape for value in before] != [value.shape for value in after]

    def heads(self) -> Iterator[tuple[nn.Module, int]]:
        for module in self.model.modules():
            count = getattr(module, "num_heads", None)
            if isinstance(count, int):
                for name in ("qkv", "q", "k", "v", "query", "key", "value"):
                    if isinstance(getattr(module, name, None), nn.Linear):
                        yield getattr(module, name), count

    def whole_attentions(self) -> dict[nn.Module, int]:
        layers = [m for m in self.model.modules() if isinstance(m, nn.MultiheadAttention)]
        return {layer: layer.num_heads for layer in layers}

    def prune(self) -> int:
        """Silence and prune group by group; return the number of features that went."""
        removed = 0
        graph = self.pruner.DG
        names = {id(value): name for name, value in self.owners(self.model)}
        twins = dict(self.owners(self.twin))
        for group in self.pruner.step(interactive=True):
            for item in group:
                target = item.dep.target.module
                if graph.is_out_channel_pruning_fn(item.dep.handler) and id(target) in names:
                    name = names[id(target)]
                    silence(twins[name], self.original(name, target, item.idxs))
            removed += len(group[0].idxs)
            group.prune()
        self.refresh_attention()
        return removed

    @staticmethod
    def owners(model: nn.Module) -> Iterator[tuple[str, Any]]:
        yield from model.named_modules()
        yield from model.named_parameters()

    def original(self, name: str, target: Any, indices: list[int]) -> list[int]:
        """Translate the pruned layer's indices to those before any pruning."""
        width = self.pruner.DG.get_out_channels(target) if isinstance(target, nn.Module) else None
        if width is None:  # a bare parameter, or one number for all features
            return indices
        left = self.left.setdefault(name, list(range(width)))
        gone = [left[index] for index in indices if index < len(left)]
        self.left[name] = [index for index in left if index not in set(gone)]
        return gone

    def refresh_attention(self) -> None:
        """Tell attention layers their new width, as Torch-Pruning's examples do."""
        for module in self.model.modules():
            if isinstance(getattr(module, "qkv", None), nn.Linear) and hasattr(module, "num_heads"):
                module.num_heads = self.pruner.num_heads[module.qkv]
                module.attn_dim = module.qkv.out_features // 3
                module.head_dim = module.attn_dim // module.num_heads


@torch.no_grad()
def silence(target: Any, indices: list[int]) -> None:
    """Make these features zero at their source, in place: rows of weights, biases, norms."""
    places = torch.tensor(indices, dtype=torch.long)
    if isinstance(target, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        width = target.out_channels // target.groups
        weight = target.weight.unflatten(0, (target.groups, -1)).transpose(1, 2)
        weight[places // width, places % width] = 0
    for value, axis, block in sources(target):
        for start in range(0, value.shape[axis], block):
            value.index_fill_(axis, places + start, 0)


def sources(target: Any) -> Iterator[tuple[Tensor, int, int]]:
    """Yield the tensors that make a layer's features, their axis, and when features repeat.

    In an LSTM, for instance, they repeat with each gate.
    """
    match target:
        case nn.Parameter():
            axis = max(axis for axis, size in enumerate(target.shape) if size > 1)
            yield target, axis, target.shape[axis]
        case nn.LSTM() | nn.MultiheadAttention():
            width = target.hidden_size if isinstance(target, nn.LSTM) else target.embed_dim
            for value in target.parameters():
                if len(value) % width == 0:
                    yield value, 0, width
        case nn.Embedding():
            yield target.weight, 1, target.embedding_dim
        case nn.PReLU():
            pass  # keeps zero at zero
        case _:
            yield from rows(target)


def rows(layer: nn.Module) -> Iterator[tuple[Tensor, int, int]]:
    """Yield, in the form of `sources`, what has one row per feature."""
    fixed = getattr(layer, "weight", None) is None
    turned = getattr(layer, "transposed", False)  # its weight's rows are inputs
    for kind in ("running_mean",) if fixed else ("bias",) if turned else ("weight", "bias"):
        value = getattr(layer, kind, None)
        if value is not None:
            yield value, 0, len(value)


def judge_peer(suite: str, name: str, *, share: float, seed: int) -> Any:
    """Return the peer's outcome, by the same comparison as ours."""
    torch.manual_seed(seed)
    peer, removed = Peer(suite, name, share), 0
    before = exactness.num_parameters(peer.model)
    status, error = exactness.Status.EXACT, ""
    try:
        peer.prepare()
        removed = peer.prune()
        expected = exactness.outputs_in_both_modes(peer.twin, peer.inputs, seed)
        got = exactness.outputs_in_both_modes(peer.model, peer.inputs, seed)
        exactness.expect_equal(expected, got, "pruning")
    except exactness.WrongError as caught:
        status, error = exactness.Status.WRONG, str(caught)
    except Exception as caught:  # noqa: BLE001 - whatever it raises is the finding
        status, error = exactness.Status.RAISED, exactness.describe(caught)
    if status is exactness.Status.EXACT and not removed:
        status = exactness.Status.NOTHING_REMOVED
    return exactness.Outcome(
        name=name,
        status=status,
        error=error,
        parameters_before=before,
        parameters_after=exactness.num_parameters(peer.model),
    )

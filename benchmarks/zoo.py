#!/usr/bin/env python
"""Which modules keep their outputs when a random share of their features is removed.

    python benchmarks/zoo.py --suite hard|timm|torchvision [--only NAME] [--peer] [--json FILE]

Each model is judged in a process of its own (`tests.core.exactness`, float64, evaluation and
training mode), two at a time. `hard` needs torch only; the others need timm and torchvision, and
`--peer` needs Torch-Pruning 1.6.1, none of which this project installs.

The peer removes the same share of each layer's features, by random importance. For it the features
that it is about to remove are first silenced at their source, weights, biases and norms set to
zero, and what that model returns is what the pruned one must return. Layers that make the output
are ignored, numbers of heads are given as its examples give them, and fused attention is off.
Longer than other scripts because of the lists of architectures.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, library, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
exactness = importlib.import_module("tests.core.exactness")
hard_modules = importlib.import_module("tests.core.hard_modules")

CLASSES = 10
TOGETHER = 2

# Side of the image, then the architectures that take it: so large that the last norms, in training,
# see more than one position, or rounding grows beyond the tolerance.
TIMM = {
    64: """
        beit_base_patch16_224 botnet26t_256 caformer_s18 cait_xxs24_224 coat_lite_tiny
        coatnet_pico_rw_224 convit_tiny convmixer_768_32 convnext_atto convnext_zepto_rms
        convnextv2_atto cs3darknet_s cspdarknet53 cspresnet50 csatv2 davit_tiny
        deit3_small_patch16_224 deit_tiny_distilled_patch16_224 densenet121 dla34 dla46x_c dpn48b
        ecaresnet26t edgenext_xx_small efficientformerv2_s0 efficientnet_b0 efficientnet_b0_gn
        efficientnet_cc_b0_4e efficientvit_b0 ese_vovnet19b_slim_dw eva02_tiny_patch14_224
        fasternet_t0 fastvit_t8 fbnetc_100 fbnetv3_b focalnet_tiny_srf gcresnext26ts gcvit_xxtiny
        gernet_s ghostnet_050 ghostnetv2_100 gmixer_12_224 gmlp_ti16_224 hardcorenas_a hgnetv2_b0
        hiera_tiny_224 hrnet_w18_small iformer_t inception_next_atto lambda_resnet26t lcnet_035
        legacy_seresnext26_32x4d levit_128s lowformer_b0 mambaout_femto maxvit_pico_rw_256
        mixer_s32_224 mixnet_s mnasnet_small mobilenetv1_100 mobilenetv2_035 mobilenetv3_small_050
        mobilenetv4_conv_small_035 mobilenetv4_hybrid_medium_075 mobileone_s0 mobilevit_xxs
        mobilevitv2_050 mvitv2_tiny nasnetalarge nest_tiny nextvit_small nf_regnet_b0 nf_resnet26
        nfnet_l0 pit_ti_224 pnasnet5large poolformer_s12 pvt_v2_b0 rdnet_tiny regnetx_002
        regnety_002 regnetz_005 repghostnet_050 repvgg_a0 repvit_m0_9 res2net50_14w_8s
        resmlp_12_224 resnest14d resnet18 resnet26t resnet50_gn resnetaa34d resnetblur18
        resnetv2_18 resnext26ts rexnet_100 sequencer2d_s skresnet18 starnet_s050 swiftformer_xs
        swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 tf_efficientnetv2_b0 tiny_vit_5m_224
        tinynet_e tnt_s_patch16_224 tresnet_m twins_pcpvt_small twins_svt_small vgg11_bn
        visformer_tiny vit_relpos_small_patch16_224 vit_small_patch16_rope_224
        vit_tiny_patch16_224 vit_xsmall_patch16_clip_224 volo_d1_224 xception41
        xcit_nano_12_p16_224
    """,
    128: "efficientvim_m1 efficientvit_m0 selecsls42b shvit_s1",
    160: "inception_v3 inception_v4 inception_resnet_v2",
    224: "efficientformer_l1",
    240: "crossvit_tiny_240",
    256: "halonet26t",
}
TORCHVISION = {
    64: """
        alexnet convnext_tiny deeplabv3_mobilenet_v3_large densenet121 efficientnet_b0
        efficientnet_v2_s fcn_resnet50 googlenet lraspp_mobilenet_v3_large mnasnet0_5
        mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50
        resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_1 swin_t swin_v2_t vit_b_32
        wide_resnet50_2
    """,
    160: "inception_v3",
}
VIDEO = ("mc3_18", "r2plus1d_18", "r3d_18", "swin3d_t")
# What makes a large or slow architecture smaller.
TIMM_OPTIONS = {"beit_base_patch16_224": {"depth": 4}}
TORCHVISION_OPTIONS = {
    "deeplabv3_mobilenet_v3_large": {"weights_backbone": None},
    "fcn_resnet50": {"weights_backbone": None},
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False, "aux_logits": False},
    "lraspp_mobilenet_v3_large": {"weights_backbone": None},
    "vit_b_32": {"image_size": 64},
}


def sides(table: dict[int, str]) -> dict[str, int]:
    """Return the side of the image by the architecture's name."""
    return {name: side for side, names in table.items() for name in names.split()}


def names_of(suite: str) -> list[str]:
    match suite:
        case "hard":
            return list(hard_modules.CATALOGUE)
        case "timm":
            return sorted(sides(TIMM))
        case _:
            return sorted([*sides(TORCHVISION), *VIDEO])


def build(suite: str, name: str) -> tuple[nn.Module, Any]:
    """Return a seeded model and inputs; raise KeyError if the suite has none of this name."""
    if suite == "hard":
        module = hard_modules.CATALOGUE[name]
        return module.build(), module.inputs()
    seed = crc32(name.encode())
    torch.manual_seed(seed)
    model = timm_model(name) if suite == "timm" else torchvision_model(name)
    exactness.randomise(model, seed)
    if suite == "torchvision" and name in VIDEO:
        return model, torch.randn(2, 3, 4, 32, 32)
    side = sides(TIMM if suite == "timm" else TORCHVISION)[name]
    return model, torch.randn(2, 3, side, side)


def timm_model(name: str) -> nn.Module:
    import_torchvision()
    timm = importlib.import_module("timm")
    options = {"num_classes": CLASSES} | TIMM_OPTIONS.get(name, {})
    try:
        return timm.create_model(name, img_size=sides(TIMM)[name], **options)
    except TypeError:  # a convolutional network takes any size
        return timm.create_model(name, **options)


def torchvision_model(name: str) -> nn.Module:
    models = import_torchvision().models
    options = TORCHVISION_OPTIONS.get(name, {})
    return models.get_model(name, weights=None, num_classes=CLASSES, **options)


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its compiled operators don't load beside this torch."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(f"torchvision::{operator}", schema)
        return importlib.import_module("torchvision")


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


def judge(options: argparse.Namespace) -> dict[str, Any]:
    """Judge the one model that the options name, in this process."""
    torch.set_num_threads(1)
    suite, name = options.suite, options.judge
    how = {"share": options.share, "seed": options.seed}
    if options.peer:
        return asdict(judge_peer(suite, name, **how))
    model, inputs = build(suite, name)
    return asdict(exactness.check_removal(model, inputs, name=name, **how))


def judge_apart(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Judge a model in a process of its own and say so when that fails or takes too long."""
    started = time.perf_counter()
    command = [sys.executable, __file__, *sys.argv[1:], "--judge", name]
    lost = {"name": name, "status": "raised", "parameters_before": 0, "parameters_after": 0}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, check=False
        )
    except subprocess.TimeoutExpired:
        outcome = lost | {"groups": 0, "error": f"took more than {options.timeout:.0f} s"}
    else:
        lines, errors = done.stdout.splitlines(), done.stderr.strip().splitlines() or ["?"]
        crashed = lost | {"groups": 0, "error": f"exit {done.returncode}: {errors[-1]}"}
        outcome = crashed if done.returncode else json.loads(lines[-1])
    return outcome | {"seconds": round(time.perf_counter() - started, 1)}


def line(outcome: dict[str, Any]) -> str:
    before, after = outcome["parameters_before"], outcome["parameters_after"]
    left = f"{100 * after / before:5.1f} %" if before else "    - %"
    return (
        f"{outcome['name']:<32} {outcome['status']:<16} {left} left  {outcome['groups']:4} groups "
        f"{outcome['seconds']:6.1f} s  {outcome['error']}"
    ).rstrip()


def summary(outcomes: list[dict[str, Any]]) -> str:
    counts = Counter(outcome["status"] for outcome in outcomes)
    total = len(outcomes)
    parts = [f"{count} {status} ({100 * count / total:.0f} %)" for status, count in counts.items()]
    return f"{total} models: " + ", ".join(sorted(parts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=("hard", "timm", "torchvision"), required=True)
    parser.add_argument("--only", help="the one model to judge, or several with commas")
    parser.add_argument("--share", type=float, default=0.3, help="of each group's units")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds per model")
    parser.add_argument("--peer", action="store_true", help="judge Torch-Pruning instead")
    parser.add_argument("--json", type=Path, help="where to write the outcomes")
    parser.add_argument("--judge", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.judge:
        print(json.dumps(judge(options)))
        return
    names = options.only.split(",") if options.only else names_of(options.suite)
    unknown = set(names) - set(names_of(options.suite))
    if unknown:
        sys.exit(f"the suite {options.suite} has no {', '.join(sorted(unknown))}")
    outcomes = []
    with ThreadPoolExecutor(TOGETHER) as pool:
        for outcome in pool.map(partial(judge_apart, options), names):
            print(line(outcome), flush=True)
            outcomes.append(outcome)
    print(summary(outcomes))
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=1) + "\n")


if __name__ == "__main__":
    main()

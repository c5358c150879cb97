"""Networks of any family as one file: they come back as they were, or not at all."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shrinknets_core import (
    Format,
    NetworkFileError,
    Split,
    TrainedNetwork,
    TrainOptions,
    export_network,
    load_network,
    probe_of,
    serialise,
    split_rows,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.families import Family, Layer, get_family
from shrinknets_core.families import registry as families_registry
from shrinknets_core.method import ShrinkOptions
from shrinknets_core.training import evaluate

FILES = Path(__file__).parent / "files"
OPTIONS = TrainOptions(epochs=3, batch_size=32, lr=2e-3)
VGG = (4, 5, 6, 7, 8, 8, 7, 6, 12, 9)
RESNET = (4, 3, 2, 0, 8, 4, 4, 4, 6, 3, 0, 0)
CASES = [
    ("lenet5", (6, 8, 20), 0.004),
    ("vgg11", VGG, 0.004),
    ("resnet20", RESNET, 0.004),
    ("residual_mlp", (16, 8, 0, 4), 0.05),
]


def images() -> Split:
    """Raw images far from zero whose class shows in their left part."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    x = torch.randn(90, 3, 32, 32, generator=rng) * 20 + 100
    x[:, :, :, :10] += 60 * y.view(-1, 1, 1, 1)
    return split_rows("images", x, y, seed=0)


def last_of(events: Any) -> TrainedNetwork:
    *_, last = events
    assert isinstance(last, TrainedNetwork), last
    return last


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    family = get_family("lenet5")
    return last_of(train_fixed(images(), widths=(3, 4, 6), options=OPTIONS, family=family))


@pytest.fixture
def file(network: TrainedNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "network.safetensors"
    path.write_bytes(serialise(network))
    return path


def described(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as opened:
        found: dict[str, Any] = json.loads(opened.metadata()["shrinknets"])
        return found


def rewrite(path: Path, tensors: dict[str, Tensor] | None = None, **changes: Any) -> None:
    description = {**described(path), **changes}
    tensors = load_file(path) if tensors is None else tensors
    save_file(tensors, path, metadata={"shrinknets": json.dumps(description)})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "widths", "lam"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("method", ["fixed", "shrinking"])
def test_a_network_of_a_family_comes_back_and_takes_raw_rows(
    tmp_path: Path, name: str, widths: tuple[int, ...], lam: float, method: str
) -> None:
    split, family = images(), get_family(name)
    how: dict[str, Any] = {"widths": widths, "options": OPTIONS, "family": family}
    events = (
        train_fixed(split, **how) if method == "fixed" else train_shrinking(split, lam=lam, **how)
    )
    network = last_of(events)
    path = tmp_path / "network.safetensors"
    path.write_bytes(serialise(network))
    state = torch.random.get_rng_state()
    loaded = load_network(path)
    assert torch.equal(state, torch.random.get_rng_state())
    raw = split.test.x * split.std + split.mean
    assert torch.equal(loaded(raw), network.module(raw))
    correct = (loaded(raw).argmax(1) == split.test.y).float().mean().item()
    assert correct == pytest.approx(network.test_accuracy, abs=1e-6)
    assert sum(p.numel() for p in loaded.parameters()) == network.parameters
    assert not any("Filter" in type(part).__name__ for part in loaded.modules())
    header = described(path)
    assert header["layers"] == list(family.width_names(len(widths)))
    assert header["widths"] == [len(ids) for ids in header["kept"]] == list(network.widths)
    assert (header["input_shape"], header["classes"]) == ([3, 32, 32], 3)


def test_a_branch_that_died_has_width_zero_before_and_after_it_is_removed() -> None:
    family = get_family("residual_mlp")
    trainee = OPTIONS.build(images(), (5, 4, 0, 3), family=family, shrink=ShrinkOptions())
    assert trainee.shrinker is not None
    (branch,) = [group for group in trainee.shrinker.groups if group.name == "block1.hidden"]
    branch.kill(range(4))
    assert trainee.widths() == (5, 0, 0, 3)
    trainee.shrinker.collect()
    assert trainee.widths() == (5, 0, 0, 3)
    assert trainee.kept() == ((0, 1, 2, 3, 4), (), (), (0, 1, 2))
    rows = images().test.x
    torch.testing.assert_close(trainee.plain()(rows), trainee.module(rows))


def test_a_network_that_lost_all_its_branches_keeps_its_function(tmp_path: Path) -> None:
    """Two linear layers without a ReLU between them are no multi-layer perceptron."""
    split = images()
    family = get_family("residual_mlp")
    network = last_of(train_fixed(split, widths=(7, 0, 0), options=OPTIONS, family=family))
    raw = split.test.x * split.std + split.mean
    correct = (network.module(raw).argmax(1) == split.test.y).float().mean().item()
    assert correct == pytest.approx(network.test_accuracy, abs=1e-6)
    path = tmp_path / "x"
    path.write_bytes(serialise(network))
    assert torch.equal(load_network(path)(raw), network.module(raw))


@pytest.mark.parametrize("kind", ["rows", "images"])
def test_files_of_the_first_format_still_load(kind: str) -> None:
    path = FILES / f"network-1-{kind}.bin"
    header = described(path)
    assert header["format"] == "shrinknets-network/1"
    loaded = load_network(path)
    widths = [layer.out_features for layer in loaded if isinstance(layer, nn.Linear)]
    assert widths == [*header["widths"], 10]
    shape = (2, 64) if kind == "rows" else (2, 1, 8, 8)
    assert loaded(torch.ones(shape)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(("name", "widths"), [("vgg11", VGG), ("resnet20", RESNET)])
def test_convolutional_networks_are_exported(
    form: Format, name: str, widths: tuple[int, ...]
) -> None:
    network = last_of(
        train_fixed(images(), widths=widths, options=OPTIONS, family=get_family(name))
    )
    assert export_network(network.module, form, rows=probe_of(serialise(network)))


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "mlp"},
        {"family": ["lenet5"]},
        {"family": "vgg11"},
        {"widths": [3, 4]},
        {"widths": [3, 4, 7]},
        {"widths": [3, 4, 0]},
        {"widths": [3, 4, -1]},
        {"widths": [3, 4, 2.0]},
        {"widths": [3, 4, True]},
        {"widths": [3, 4, 10**6]},
        {"widths": [3, 4, 10**300]},
        {"widths": [1] * 1_000_000},
        {"widths": [[[[3]]]]},
        {"widths": "3"},
        {"input_shape": [3, 32]},
        {"input_shape": []},
        {"input_shape": [1] * 1000},
        {"input_shape": [3, 10**6, 10**6]},
        {"input_shape": None},
        {"classes": 4},
        {"classes": "3"},
        {"classes": 2**62},
        {"format": "shrinknets-network/1"},
        {"format": ["shrinknets-network/2"]},
        {"sha256": "0" * 64},
        {"sha256": None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_description_that_does_not_fit_is_refused_in_words(
    file: Path, changes: dict[str, Any]
) -> None:
    rewrite(file, **changes)
    with pytest.raises(NetworkFileError, match=file.name):
        load_network(file)


def test_a_huge_description_is_refused_before_anything_of_its_size_is_made(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def make(*what: Any) -> nn.Module:
        asked.append(what)
        raise AssertionError("built")

    monkeypatch.setitem(
        families_registry.BUILT_IN, "lenet5", replace(get_family("lenet5"), make=make)
    )
    for changes in ({"widths": [3, 4, 9_999_999]}, {"input_shape": [3, 3000, 3000]}):
        rewrite(file, **changes)
        with pytest.raises(NetworkFileError, match="features, but holds"):
            load_network(file)
        rewrite(file, widths=[3, 4, 6], input_shape=[3, 32, 32])
    assert asked == []


@pytest.mark.parametrize("change", ["missing", "surplus", "shape", "dtype", "probe"])
def test_tensors_that_do_not_fit_are_refused(file: Path, change: str) -> None:
    tensors = load_file(file)
    name = "network.conv1.weight"
    match change:
        case "missing":
            del tensors[name]
        case "surplus":
            tensors["network.more"] = torch.ones(1)
        case "shape":
            tensors[name] = tensors[name][:2].clone()
        case "dtype":
            tensors[name] = tensors[name].double()
        case "probe":
            tensors["probe.input"] = tensors["probe.input"][:, :1].clone()
    rewrite(file, tensors)
    with pytest.raises(NetworkFileError, match=file.name):
        load_network(file)


def test_every_bit_of_a_batch_norm_is_watched(tmp_path: Path) -> None:
    network = last_of(
        train_fixed(images(), widths=VGG, options=OPTIONS, family=get_family("vgg11"))
    )
    path = tmp_path / "network"
    path.write_bytes(serialise(network))
    for name in ("network.norm3.running_var", "network.norm3.num_batches_tracked"):
        tensors = load_file(path)
        tensors[name] = tensors[name] + 1
        rewrite(path, tensors)
        with pytest.raises(NetworkFileError, match="damaged"):
            load_network(path)


class Odd(nn.Module):
    """What users write: no ReLU, dropout, a tied weight, a buffer that no state holds."""

    scale: Tensor

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.same = self.hidden
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, classes)
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.drop(self.hidden(x * self.scale)))
        return logits


def make_odd(shape: tuple[int, ...], widths: tuple[int, ...], classes: int) -> nn.Module:
    return Odd(shape[0], widths[0], classes)


def make_stack(shape: tuple[int, ...], widths: tuple[int, ...], classes: int) -> nn.Module:
    """The children of a multi-layer perceptron, in another order."""
    return nn.Sequential(
        nn.ReLU(), nn.Linear(shape[0], widths[0]), nn.Linear(widths[0], classes), nn.ReLU()
    )


@pytest.mark.parametrize(("make", "path"), [(make_odd, "hidden"), (make_stack, "1")])
def test_a_network_of_a_users_own_family_loads_where_that_is_installed(
    digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, path: str
) -> None:
    family = Family(name="odd", make=make, layers=(Layer(name="hidden", path=path, full=9),))
    monkeypatch.setitem(families_registry.BUILT_IN, "odd", family)
    for events in (
        train_fixed(digits, widths=(9,), options=OPTIONS, family=family),
        train_shrinking(digits, widths=(9,), options=OPTIONS, lam=0.001, family=family),
    ):
        network = last_of(events)
        file = tmp_path / "network"
        file.write_bytes(serialise(network))
        loaded = load_network(file)
        raw = digits.test.x * digits.std + digits.mean
        assert torch.equal(loaded(raw), network.module(raw))
        assert evaluate(network.module[1], digits.test)[1] == pytest.approx(network.test_accuracy)
    monkeypatch.delitem(families_registry.BUILT_IN, "odd")
    with pytest.raises(NetworkFileError, match=r"'odd'.*install the package that has it"):
        load_network(file)


def test_a_family_that_cannot_build_what_it_says_is_refused_in_words(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*_: Any) -> nn.Module:
        raise RuntimeError("out of order")

    broken = replace(get_family("lenet5"), make=make)
    monkeypatch.setitem(families_registry.BUILT_IN, "lenet5", broken)
    with pytest.raises(NetworkFileError, match="can't build it: RuntimeError: out of order"):
        load_network(file)

"""A saved network comes back as plain layers with the same outputs, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from shrinknets_core import (
    NetworkFileError,
    Split,
    TrainedNetwork,
    TrainOptions,
    load_network,
    serialise,
    train_shrinking,
)
from shrinknets_core.training import evaluate


@pytest.fixture(scope="module")
def network(digits: Split) -> TrainedNetwork:
    options = TrainOptions(epochs=12, lr=3e-3)
    last = list(train_shrinking(digits, widths=(60,), options=options, lam=0.02))[-1]
    assert isinstance(last, TrainedNetwork)
    return last


@pytest.fixture
def file(network: TrainedNetwork, tmp_path: Path) -> Path:
    path = tmp_path / "network.safetensors"
    path.write_bytes(serialise(network))
    return path


def test_a_network_comes_back_as_plain_layers_and_takes_raw_rows(
    network: TrainedNetwork, file: Path, digits: Split
) -> None:
    loaded = load_network(file)
    assert {type(layer) for layer in loaded} == {nn.Linear, nn.ReLU}
    raw = digits.test.x * digits.std + digits.mean
    assert torch.equal(loaded(raw), network.module(raw))
    correct = (loaded(raw).argmax(1) == digits.test.y).float().mean().item()
    assert correct == pytest.approx(network.test_accuracy, abs=1e-6)
    assert evaluate(loaded, digits.test)[1] != correct


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no network file at .*gone"):
        load_network(tmp_path / "gone")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not a network")
    with pytest.raises(NetworkFileError, match="not a safetensors file"):
        load_network(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(NetworkFileError, match="not one of a ShrinkNets network"):
        load_network(path)


def test_a_file_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    metadata = {"shrinknets": '{"format": "shrinknets-network/9"}'}
    save_file({"a": torch.ones(1)}, path, metadata=metadata)
    with pytest.raises(NetworkFileError, match=r"format 'shrinknets-network/9', this version"):
        load_network(path)


def rewrite(file: Path, **changes: Any) -> None:
    """Write the file again with another description or other tensors."""
    with safe_open(file, framework="pt") as opened:
        description = json.loads(opened.metadata()["shrinknets"])
    tensors = load_file(file)
    for name, value in changes.items():
        if isinstance(value, torch.Tensor):
            tensors[name.replace("__", ".")] = value
        elif value is None:
            description.pop(name, tensors.pop(name.replace("__", "."), None))
        else:
            description[name] = value
    save_file(tensors, file, metadata={"shrinknets": json.dumps(description)})


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "cnn"},
        {"widths": "54"},
        {"widths": None},
        {"widths": [5.0]},
        {"widths": [-3]},
        {"widths": [10**12]},
        {"inputs": None},
        {"inputs": 2**62},
        {"inputs": 10**400},
        {"outputs": "10"},
        {"outputs": True},
        {"probe__input": None},
        {"probe__input": torch.ones(8, 5)},
        {"probe__output": torch.ones(5, 10)},
        {"probe__output": torch.ones(8, 10, dtype=torch.int64)},
        {"sha256": "0" * 64},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_refused_in_words(
    file: Path, changes: dict[str, Any]
) -> None:
    rewrite(file, **changes)
    with pytest.raises(NetworkFileError, match=file.name):
        load_network(file)


@pytest.mark.parametrize("header", ["{", "[]", "null", "[" * 100_000])
def test_a_description_that_is_no_json_object_is_refused(file: Path, header: str) -> None:
    save_file(load_file(file), file, metadata={"shrinknets": header})
    with pytest.raises(NetworkFileError, match="its description is not"):
        load_network(file)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_in_the_tensors_is_noticed(
    file: Path, share: float, bit: int
) -> None:
    content = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start + int(share * (len(content) - start))] ^= 1 << bit
    damaged = file.with_name("damaged.safetensors")
    damaged.write_bytes(content)
    with pytest.raises(NetworkFileError, match="damaged"):
        load_network(damaged)


def test_outputs_that_this_torch_computes_otherwise_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x.abs())
    with pytest.raises(NetworkFileError, match="outputs on the probe differ"):
        load_network(file)


def test_a_file_loads_whatever_the_default_dtype_is(file: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        loaded = load_network(file)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}

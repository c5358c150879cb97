"""A saved network comes back as plain layers with the same outputs, or not at all."""

from pathlib import Path

import pytest
import torch
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


def test_damaged_weights_are_noticed_by_the_probe(file: Path) -> None:
    tensors = load_file(file)
    content = file.read_bytes()
    weight = tensors["0.weight"].numpy().tobytes()
    assert content.count(weight) == 1
    damaged = (tensors["0.weight"] + 0.5).numpy().tobytes()
    file.write_bytes(content.replace(weight, damaged))
    with pytest.raises(NetworkFileError, match="the file is damaged"):
        load_network(file)

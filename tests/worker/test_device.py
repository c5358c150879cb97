"""Which devices a worker finds, and which of them it is to use."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.device import (
    Device,
    Kind,
    Machine,
    choose_devices,
    describe_device,
    look_at_machine,
    read_cards,
    visible_cards,
)
from worker.errors import SettingsError

ANSWER = (
    "GPU-aa11, 143771, NVIDIA H200\nGPU-bb22, 143771, NVIDIA H200\nGPU-cc33, [N/A], Tesla, T4\n"
)
CARDS = tuple(read_cards(ANSWER))
MACHINE = Machine(cards=CARDS, cores=8)


def chosen(wanted: str, machine: Machine = MACHINE) -> list[str]:
    return [device.card or device.kind.value for device in choose_devices(wanted, machine)]


def test_an_answer_of_nvidia_smi_is_read() -> None:
    assert [card.name for card in CARDS] == ["NVIDIA H200", "NVIDIA H200", "Tesla, T4"]
    assert [card.memory_mib for card in CARDS] == [143771, 143771, None]
    assert read_cards("No devices were found\n") == []


def test_a_setting_names_devices() -> None:
    assert chosen("auto") == chosen("cuda") == ["GPU-aa11", "GPU-bb22", "GPU-cc33"]
    assert chosen("cuda:2,0,2") == ["GPU-cc33", "GPU-aa11"]
    assert chosen("cpu") == ["cpu"]
    assert chosen("auto", Machine(cores=8)) == ["cpu"]
    assert chosen("auto", Machine(has_mps=True)) == chosen("mps", Machine(has_mps=True)) == ["mps"]


def test_a_torch_without_cuda_leaves_the_cards_alone() -> None:
    machine = dataclasses.replace(MACHINE, torch_has_cuda=False)
    assert chosen("auto", machine) == ["cpu"]
    with pytest.raises(SettingsError, match="torch that is installed here was built without CUDA"):
        chosen("cuda", machine)


@pytest.mark.parametrize("wanted", ["cuda:3", "cuda:0,7", "mps"])
def test_a_device_that_is_not_there_is_refused_with_what_there_is(wanted: str) -> None:
    there = r"has cpu, cuda:0 \(NVIDIA H200\), cuda:1 \(NVIDIA H200\), cuda:2 \(Tesla, T4\)"
    with pytest.raises(SettingsError, match=f"device: {wanted} is not on .* {there}"):
        chosen(wanted)


@pytest.mark.parametrize(
    ("variable", "cards"),
    [
        ("1,0", ["1", "0"]),
        ("GPU-cc, GPU-aa11", ["GPU-cc", "GPU-aa11"]),
        ("2,9,0", ["2"]),
        ("-1", []),
        ("", []),
        ("MIG-1,0", ["MIG-1", "0"]),
    ],
)
def test_cards_that_the_operator_hid_are_not_there(variable: str, cards: list[str]) -> None:
    seen = visible_cards(CARDS, {"CUDA_VISIBLE_DEVICES": variable})
    assert [card.card for card in seen] == cards
    names = {"0": "NVIDIA H200", "2": "Tesla, T4", "MIG-1": "part of a card"}
    assert all(names.get(card.card, card.name) == card.name for card in seen)


def test_devices_are_described_in_words() -> None:
    assert describe_device(CARDS) == "2 × NVIDIA H200, 1 × Tesla, T4"
    assert describe_device([Device(kind=Kind.CPU, name="8 cores")]) == "8 cores"


def test_a_real_nvidia_smi_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ncat <<'END'\n" + ANSWER + "END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert look_at_machine().cards == CARDS
    program.write_text("#!/bin/sh\nexit 9\n")
    assert look_at_machine().cards == ()


@pytest.mark.slow
def test_a_worker_says_at_its_start_what_there_is() -> None:
    asked = [sys.executable, "-m", "worker", "--device"]
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    refused = subprocess.run(
        [*asked, "cuda:7"], capture_output=True, text=True, env=variables, check=False
    )
    assert refused.returncode == 2
    assert "cuda:7 is not on this machine, which has cpu" in refused.stderr
    wrong = subprocess.run([*asked, "tpu"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "--device: Value error, 'tpu' is not auto, cpu, mps, cuda or" in wrong.stderr

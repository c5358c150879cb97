"""Finds what trials can compute on without loading torch: this process must never touch CUDA."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from worker.errors import SettingsError

DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:\d{1,3}(,\d{1,3})*)?)$"
_CARDS = "CUDA_VISIBLE_DEVICES"
_SECONDS = 10.0
_MAX_LENGTH = 200


class Kind(StrEnum):
    """What torch calls a kind of device."""

    CPU = "cpu"
    MPS = "mps"
    CUDA = "cuda"


@dataclass(frozen=True, kw_only=True)
class Device:
    """Something that trials compute on: a card, or the processor's cores together."""

    kind: Kind
    name: str
    """For people."""
    card: str = ""
    """What makes exactly this card visible, as a value of CUDA_VISIBLE_DEVICES."""
    memory_mib: int | None = None
    """Of the card, where it tells."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What there is, as far as it can be seen from outside torch."""

    cards: tuple[Device, ...] = ()
    """Those that CUDA programs started from here see, in their order."""
    torch_has_cuda: bool = True
    has_mps: bool = False
    cores: int = 1

    def devices(self) -> str:
        """In words, each by the name that chooses it."""
        cards = [f"cuda:{number} ({card.name})" for number, card in enumerate(self.cards)]
        return ", ".join(["cpu", *(["mps"] if self.has_mps else []), *cards])


def look_at_machine() -> Machine:
    """Ask nvidia-smi, and torch's files, what there is."""
    return Machine(
        cards=tuple(visible_cards(_ask_cards(), os.environ)),
        torch_has_cuda=_torch_has_cuda(),
        has_mps=sys.platform == "darwin" and platform.machine() == "arm64",
        cores=num_cores(),
    )


def choose_devices(wanted: str, machine: Machine) -> tuple[Device, ...]:
    """What the setting `device` means on a machine.

    Raises SettingsError, which names what there is, where something is not there.
    """
    processor = Device(kind=Kind.CPU, name=f"{machine.cores} cores")
    chip = Device(kind=Kind.MPS, name="Apple GPU")
    cards = machine.cards if machine.torch_has_cuda else ()
    match wanted.partition(":"):
        case "auto", _, _:
            return cards or ((chip,) if machine.has_mps else (processor,))
        case "cpu", _, _:
            return (processor,)
        case "mps", _, _:
            if not machine.has_mps:
                raise _missing(wanted, machine)
            return (chip,)
        case "cuda", _, "":
            if not cards:
                raise _missing(wanted, machine)
            return cards
        case "cuda", _, numbers:
            chosen = list(dict.fromkeys(map(int, numbers.split(","))))
            if max(chosen) >= len(cards):
                raise _missing(wanted, machine)
            return tuple(cards[number] for number in chosen)
        case _:
            raise AssertionError(wanted)


def describe_device(devices: Sequence[Device]) -> str:
    """In words, such as `2 × NVIDIA H200` or `8 cores`."""
    if [device.kind for device in devices] == [Kind.CPU]:
        return devices[0].name
    names = Counter(device.name for device in devices)
    return ", ".join(f"{count} × {name}" for name, count in names.items())[:_MAX_LENGTH]


def num_cores() -> int:
    """The cores that this process may use, which a container can make fewer than there are."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_cards(cards: Sequence[Device], variables: Mapping[str, str]) -> list[Device]:
    """Those that CUDA_VISIBLE_DEVICES leaves, named as it names them; all where it is not set.

    As CUDA does, the first entry that means nothing ends the list.
    """
    entries = variables.get(_CARDS)
    if entries is None:
        return list(cards)
    seen: list[Device] = []
    for entry in filter(None, map(str.strip, entries.split(","))):
        card = _card_of(entry, cards)
        if card is None:
            break
        seen.append(card)
    return seen


def _card_of(entry: str, cards: Sequence[Device]) -> Device | None:
    if entry.startswith("MIG-"):
        return Device(kind=Kind.CUDA, name="part of a card", card=entry)
    if entry.isdecimal():
        named = cards[int(entry)] if int(entry) < len(cards) else None
    else:
        named = next((card for card in cards if card.card.startswith(entry)), None)
    if named is None:
        return None
    return Device(kind=Kind.CUDA, name=named.name, card=entry, memory_mib=named.memory_mib)


def _missing(wanted: str, machine: Machine) -> SettingsError:
    reason = f"device: {wanted} is not on this machine, which has {machine.devices()}"
    if machine.cards and not machine.torch_has_cuda:
        reason += "; the torch that is installed here was built without CUDA: install another"
    return SettingsError([reason])


def _ask_cards() -> list[Device]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, "--query-gpu=uuid,memory.total,name", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return read_cards(answer.stdout)


def read_cards(answer: str) -> list[Device]:
    """The cards of an answer of nvidia-smi, each on a line: its UUID, its MiB, its name."""
    lines = [line.split(",", 2) for line in answer.splitlines() if line.count(",") >= 2]
    return [
        Device(
            kind=Kind.CUDA,
            name=name.strip(),
            # Numbers would not do: CUDA counts the fastest first, nvidia-smi by the bus.
            card=uuid.strip(),
            memory_mib=int(memory) if memory.strip().isdecimal() else None,
        )
        for uuid, memory, name in lines
    ]


def _torch_has_cuda() -> bool:
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    version = Path(found.origin).with_name("version.py")
    # A build without CUDA says None; where nothing is said, torch itself will tell.
    text = version.read_text() if version.exists() else ""
    return re.search(r"^cuda\b[^=]*= *None$", text, re.MULTILINE) is None

"""Checkpoints on disk: one safetensors file that holds all that a training goes on from."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from shrinknets_core.errors import CheckpointError
from shrinknets_core.runs import Run

FORMAT = "shrinknets-checkpoint/1"
KEY = "shrinknets"
_TENSOR = "$tensor"
"""Where the state has a tensor, the JSON has an object with its name under this key."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run as it stood after an event.

    Attributes:
        step: the number of its last epoch.
        description: of the run.
        state: what `Run.state_dict` returned.
        extra: plain values that the caller wants back with it.
    """

    step: int
    description: Mapping[str, Any]
    state: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, **extra: Any) -> Self:
        """Take the run as it is now; it may go on at once."""
        return cls(step=run.step, description=run.description, state=run.state_dict(), extra=extra)

    def restore(self, run: Run) -> None:
        """Let a run that has not begun go on from here, on any device; on an error it is lost.

        Raises:
            CheckpointError: the run is another one.
        """
        here, there = _comparable(self.description), _comparable(run.description)
        if here != there:
            raise CheckpointError(
                "the checkpoint is of another training: "
                + "; ".join(_differences(here, there))
                + ": start that one, or start anew without a checkpoint"
            )
        run.load_state_dict(self.state)

    def to_bytes(self) -> bytes:
        """Return it as a safetensors file whose header has all but the tensors, as JSON."""
        tensors: dict[str, Tensor] = {}
        content = {
            "format": FORMAT,
            "torch": torch.__version__,
            "step": self.step,
            "description": self.description,
            "extra": self.extra,
            "state": _without_tensors(self.state, "state", tensors),
        }
        text = json.dumps(content)
        header = {KEY: text, "sha256": _digest(text, tensors)}
        return save(tensors, metadata=header)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` returned.

        Raises:
            CheckpointError: it is damaged, no checkpoint, or one of another version.
        """
        header = _header(content)
        try:
            tensors = {name: tensor.clone() for name, tensor in load(content).items()}
        except (SafetensorError, ValueError) as error:
            raise CheckpointError(f"the checkpoint is damaged ({error})") from error
        if header.get("sha256") != _digest(header[KEY], tensors):
            raise CheckpointError("the checkpoint is damaged: its content has another digest")
        found = json.loads(header[KEY])
        if found["format"] != FORMAT:
            raise CheckpointError(
                f"a checkpoint of format {found['format']!r}, this version reads {FORMAT!r}"
            )
        return cls(
            step=found["step"],
            description=found["description"],
            state=_with_tensors(found["state"], tensors),
            extra=found["extra"],
        )

    def save(self, path: str | Path) -> None:
        """Write it to a file, which has the old content or the new one whenever one looks."""
        target = Path(path)
        part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                file.write(self.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: see `from_bytes`.
        """
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error


def _header(content: bytes) -> dict[str, str]:
    """Return the texts in a safetensors file's header, which comes first, after its length."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])["__metadata__"]
        if isinstance(header[KEY], str):
            return dict(header)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise CheckpointError("this is no checkpoint of a training, or a damaged one")


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            tensors[name] = value.contiguous()
            return {_TENSOR: name}
        case Mapping():
            return {k: _without_tensors(v, f"{name}/{k}", tensors) for k, v in value.items()}
        case list() | tuple():
            return [_without_tensors(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
        case _:
            return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    match value:
        case {"$tensor": name}:
            return tensors[name]
        case dict():
            return {key: _with_tensors(one, tensors) for key, one in value.items()}
        case list():
            return [_with_tensors(one, tensors) for one in value]
        case _:
            return value


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the text and of all tensors' names and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        tensor = tensors[name]
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _comparable(description: Mapping[str, Any]) -> Any:
    """Return a description as it is after a way through JSON, without the device."""
    plain = json.loads(json.dumps(description))
    plain.get("options", {}).pop("device", None)
    return plain


def _differences(here: Any, there: Any, name: str = "") -> Iterator[str]:
    if not (isinstance(here, dict) and isinstance(there, dict)):
        yield f"{name} is {here!r} there and {there!r} here"
        return
    for key in sorted({*here, *there}):
        if here.get(key) != there.get(key):
            yield from _differences(here.get(key), there.get(key), f"{name}.{key}".lstrip("."))

"""How the forward passes of a training are computed: their precision, and whether compiled."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

_log = logging.getLogger(__name__)


class Precision(StrEnum):
    """In what numbers products are computed; weights, gates and loss are float32 in all of them."""

    FP32 = "fp32"
    TF32 = "tf32"
    """Factors rounded to 10 bits on GPUs that can; elsewhere the same as `fp32`."""
    BF16 = "bf16"
    """Products in bfloat16, by autocast."""


class Forward:
    """A module's forward pass in training; gives logits (batch, classes), float32 after bfloat16.

    Args:
        module: whatever it is at the time of the call; may lose features in between.
        precision: see `Precision`.
        compiled: whether to compile it, which pays only where its shape stays. Where it can't be
            compiled it runs as it is, with a line in the log.
    """

    def __init__(self, module: nn.Module, precision: str, *, compiled: bool = False) -> None:
        self._module = module
        self._precision = Precision(precision)
        self._compiled: Callable[[Tensor], Tensor] | None = None
        if compiled:
            with _quiet():
                # In this process: a trial has as many threads as it was given, and no helpers.
                self._compiled = torch.compile(module, options={"compile_threads": 1})

    def __call__(self, x: Tensor) -> Tensor:
        if self._precision is not Precision.BF16:
            return self._run(x)
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return self._run(x).float()

    def _run(self, x: Tensor) -> Tensor:
        if self._compiled is not None:
            try:
                with _quiet():
                    return self._compiled(x)
            except Exception as error:  # noqa: BLE001  (a user's own error comes again below)
                self._compiled = None
                reason = str(error).strip().split("\n", maxsplit=1)[0]
                _log.warning("not compiled, trains on as it is: %s", reason or type(error).__name__)
        logits: Tensor = self._module(x)
        return logits

    @contextlib.contextmanager
    def steps(self) -> Iterator[None]:
        """Round factors on the GPU as the precision says while the block trains."""
        backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
        before = [backend.allow_tf32 for backend in backends]
        for backend in backends:
            backend.allow_tf32 = self._precision is Precision.TF32
        try:
            yield
        finally:
            for backend, was in zip(backends, before, strict=True):
                backend.allow_tf32 = was


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the compiler warns of its own inner workings from those who can't change it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

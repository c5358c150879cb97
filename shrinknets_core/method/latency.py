"""How long a forward pass takes, measured."""

import statistics
import time

import torch
from torch import nn

from shrinknets_core.flow.tracing import Inputs, arguments, preserved

REPEATS = 15
WARMUPS = 3


@torch.no_grad()
def forward_seconds(model: nn.Module, inputs: Inputs) -> float:
    """Return the median time of a forward pass in evaluation, in seconds.

    The model's modes, its buffers and torch's random state come back as they were. Waits for the
    device before and after each pass.
    """
    args, kwargs = arguments(inputs)
    cuda = any(p.is_cuda for p in model.parameters())
    times = []
    with preserved(model):
        model.eval()
        for turn in range(WARMUPS + REPEATS):
            if cuda:
                torch.cuda.synchronize()
            started = time.perf_counter()
            model(*args, **kwargs)
            if cuda:
                torch.cuda.synchronize()
            if turn >= WARMUPS:
                times.append(time.perf_counter() - started)
    return statistics.median(times)

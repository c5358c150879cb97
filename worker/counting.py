"""Counts what a candidate network would have, so that those over a limit are never trained."""

import math
from collections.abc import Callable
from itertools import pairwise

from shrinknets.wire import MLP, DatasetDetails, JobSpec, Method, Params

Fits = Callable[[Method, Params], bool]


def make_fits(spec: JobSpec, dataset: DatasetDetails) -> Fits | None:
    """Tells whether a candidate keeps the job's limits; None where counting can't tell.

    Counted here and not by the core, since a driver does without torch, which takes seconds to
    import.
    Networks that shrink start above any limit, and time is only known by measuring.
    """
    limits = spec.constraints
    if limits.max_parameters is None and limits.max_macs is None:
        return None
    if spec.network.family != MLP:
        return None  # the trial counts, and ends before its first epoch
    inputs, classes = math.prod(dataset.input_shape), dataset.num_classes

    def fits(method: Method, params: Params) -> bool:
        if method not in {Method.FIXED, Method.FIXED_L2}:
            return True
        layers = list(pairwise([inputs, *_widths(params), classes]))
        macs = sum(before * after for before, after in layers)
        parameters = macs + sum(after for _, after in layers)
        return (limits.max_parameters is None or parameters <= limits.max_parameters) and (
            limits.max_macs is None or macs <= limits.max_macs
        )

    return fits


def _widths(params: Params) -> tuple[int, ...]:
    depth = params["depth"]
    assert isinstance(depth, int)
    return tuple(int(str(params[f"width_{layer}"])) for layer in range(depth))

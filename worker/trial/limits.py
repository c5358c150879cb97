"""The job's limits as a trial keeps them: how it shrinks, what it measures, how it ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from shrinknets.limits import keeping, least_violating, missed_in_words
from shrinknets.wire import AttemptEnd, Constraints, NetworkResult, TrialState
from shrinknets_core import Limits, Size, TrainedNetwork, forward_seconds, probe_of


def core_limits(limits: Constraints) -> Limits | None:
    """What the core's training is to keep; None where nothing is limited."""
    if limits.is_empty:
        return None
    return Limits(
        parameters=limits.max_parameters,
        macs=limits.max_macs,
        milliseconds=limits.max_latency_ms,
    )


@dataclass(frozen=True, kw_only=True)
class _Counted:
    parameters: int
    macs: int
    latency_ms: None = None
    validation_accuracy: float = 0.0


def too_large(size: Size, limits: Constraints) -> str:
    """Why a network whose size stays need not be trained, in words; empty where it may be."""
    counted = _Counted(parameters=size.parameters, macs=size.macs)
    missed = missed_in_words(counted, limits)
    return f"over the limits before it is trained: {missed}" if missed else ""


def latency_of(network: TrainedNetwork, saved: bytes, limits: Constraints) -> float | None:
    """Milliseconds of a forward pass of one row, on the CPU, where the job limits them."""
    if limits.max_latency_ms is None:
        return None
    return 1e3 * forward_seconds(network.module, probe_of(saved)[:1])


def end_of(networks: Sequence[NetworkResult], limits: Constraints, *, note: str = "") -> AttemptEnd:
    """How a trial that ran to its end has ended: infeasible if no network keeps the limits.

    One that is complete has the note as its reason.
    """
    if limits.is_empty or not networks or keeping(networks, limits):
        return AttemptEnd(state=TrialState.COMPLETE, reason=note, networks=list(networks))
    best = least_violating(networks, limits)
    assert best is not None
    return AttemptEnd(
        state=TrialState.INFEASIBLE,
        reason=f"over the limits: {missed_in_words(best, limits)}",
        networks=list(networks),
    )

"""Finds out from where an attempt goes on: the newest checkpoint that can be used, or the start."""

import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from functools import partial

from pydantic import ValidationError

from shrinknets.wire import CheckpointFile, NetworkResult, TrialAssignment
from shrinknets_core import Checkpoint, CheckpointError, Run, TrialEvent
from worker.errors import DamagedFileError, RefusedError
from worker.leases import AttemptLease
from worker.trial.exporting import Found

Train = Callable[[TrialAssignment], Iterator[TrialEvent]]
_log = logging.getLogger(__name__)


def take_up(
    assignment: TrialAssignment, lease: AttemptLease, train: Train
) -> tuple[Iterator[TrialEvent], list[Found]]:
    """The training where it goes on, and the networks that it has found before.

    Raises LeaseLostError, ServiceUnreachableError, and what `train` raises.
    """
    events = train(assignment)
    for place in assignment.checkpoints:
        if not isinstance(events, Run):
            break
        try:
            found = _restore(events, place, lease)
        except (CheckpointError, DamagedFileError, RefusedError, ValidationError) as error:
            _log.warning("the checkpoint of epoch %d cannot be used: %s", place.step, error)
            events = train(assignment)
            continue
        lease.resume(place.step)
        _log.info("goes on from the checkpoint of epoch %d", place.step)
        return events, found
    if assignment.checkpoints:
        lease.resume(0)
        _log.warning("starts from the beginning")
    return events, []


def _restore(run: Run, place: CheckpointFile, lease: AttemptLease) -> list[Found]:
    checkpoint = Checkpoint.from_bytes(fetch(lease, place.sha256))
    if checkpoint.step != place.step:
        raise CheckpointError(f"it is of epoch {checkpoint.step}")
    fields = checkpoint.extra.get("networks", [])
    results = [NetworkResult.model_validate(one) for one in fields]
    checkpoint.restore(run)
    return [Found(result, fetch=partial(fetch, lease, result.weights_sha256)) for result in results]


def fetch(lease: AttemptLease, sha256: str) -> bytes:
    """A file of a checkpoint. Raises DamagedFileError, and what the lease raises."""
    target = io.BytesIO()
    lease.fetch_file(sha256, target)
    content = target.getvalue()
    if (got := hashlib.sha256(content).hexdigest()) != sha256:
        raise DamagedFileError(sha256=sha256, got=got)
    return content

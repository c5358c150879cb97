"""One attempt from its assignment to its end."""

import logging
import traceback
from collections.abc import Callable, Iterator

from shrinknets.wire import (
    AttemptEnd,
    Constraints,
    JobSpec,
    Order,
    TrialAssignment,
    TrialState,
)
from shrinknets_core import Collapse, EpochRecord, TrainedNetwork, TrialEvent, serialise
from worker.errors import LeaseLostError, ServiceUnreachableError
from worker.service_client import AttemptLease
from worker.trial.exporting import Found, with_exports
from worker.trial.limits import end_of, latency_of
from worker.trial.reporter import GiveUp, Reporter
from worker.trial.training import to_record, to_result, train

Train = Callable[[TrialAssignment], Iterator[TrialEvent]]
_LAST_LINES = 8
_log = logging.getLogger(__name__)


def run_attempt(lease: AttemptLease, *, give_up: GiveUp, train: Train = train) -> None:
    """Train, report, hand in the networks and end the attempt.

    Whatever goes wrong in training ends the attempt as failed; LeaseLostError and
    ServiceUnreachableError are raised, since then nothing can be handed in.
    """
    assignment = lease.get_assignment()
    trial, spec = assignment.trial, assignment.spec
    _log.info(
        "%s %d of %s: %s, seed %d",
        *(trial.method.value, trial.number, spec.dataset, trial.params, trial.seed),
    )
    reporter = Reporter(lease, give_up=give_up)
    try:
        end = _train_and_report(train(assignment), reporter, spec)
        reporter.flush()
    except (LeaseLostError, ServiceUnreachableError):
        raise
    except Exception as error:  # noqa: BLE001  (a trial fails with its reason, whatever it is)
        traceback.print_exc()
        end = AttemptEnd(state=TrialState.FAILED, reason=_in_words(error))
    _log.info("%s%s", end.state.value, f": {end.reason.splitlines()[0]}" if end.reason else "")
    reporter.end(end)


def _train_and_report(
    events: Iterator[TrialEvent], reporter: Reporter, spec: JobSpec
) -> AttemptEnd:
    found: list[Found] = []
    for event in events:
        match event:
            case EpochRecord():
                reporter.report(to_record(event))
            case TrainedNetwork():
                found.append(_hand_in(event, reporter, spec.constraints))
            case Collapse():
                return AttemptEnd(
                    state=TrialState.INFEASIBLE,
                    reason=event.reason,
                    networks=with_exports(found, spec.exports, reporter),
                )
        match reporter.order:
            case Order.STOP:
                return AttemptEnd(state=TrialState.CANCELLED, reason="stopped on request")
            case Order.PRUNE:
                # The service knows why: its driver said so there.
                return AttemptEnd(state=TrialState.PRUNED, networks=[one.result for one in found])
            case Order.PAUSE:
                return AttemptEnd(state=TrialState.WAITING, reason="paused on request")
            case Order.CONTINUE:
                pass
    return end_of(with_exports(found, spec.exports, reporter), spec.constraints)


def _hand_in(network: TrainedNetwork, reporter: Reporter, limits: Constraints) -> Found:
    saved = serialise(network)
    result = to_result(
        network,
        sha256=reporter.upload(saved),
        num_bytes=len(saved),
        latency_ms=latency_of(network, saved, limits),
    )
    _log.info(
        "network %s: %d parameters, %.1f %% on validation, from epoch %d",
        *("-".join(map(str, result.widths)), result.parameters),
        *(100 * result.validation_accuracy, result.step),
    )
    return Found(network, result, saved)


def _in_words(error: Exception) -> str:
    """The error itself first, for those who read one line, then where it came from."""
    last = traceback.format_exc().strip().splitlines()[-_LAST_LINES:]
    return "\n".join([f"{type(error).__name__}: {error}", *last])

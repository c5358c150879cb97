"""One attempt from its assignment to its end."""

import traceback
from collections.abc import Callable, Iterator

from shrinknets.wire import AttemptEnd, NetworkResult, Order, TrialAssignment, TrialState
from shrinknets_core import Collapse, EpochRecord, TrainedNetwork, TrialEvent, serialise
from worker.errors import LeaseLostError, ServiceUnreachableError
from worker.service_client import AttemptLease
from worker.trial.reporter import GiveUp, Reporter
from worker.trial.training import to_record, to_result, train

Train = Callable[[TrialAssignment], Iterator[TrialEvent]]
_LAST_LINES = 8


def run_attempt(lease: AttemptLease, *, give_up: GiveUp, train: Train = train) -> None:
    """Train, report, hand in the networks and end the attempt.

    Whatever goes wrong in training ends the attempt as failed; LeaseLostError and
    ServiceUnreachableError are raised, since then nothing can be handed in.
    """
    assignment = lease.get_assignment()
    reporter = Reporter(lease, give_up=give_up)
    try:
        end = _train_and_report(train(assignment), reporter)
        reporter.flush()
    except (LeaseLostError, ServiceUnreachableError):
        raise
    except Exception as error:  # noqa: BLE001  (a trial fails with its reason, whatever it is)
        traceback.print_exc()
        end = AttemptEnd(state=TrialState.FAILED, reason=_in_words(error))
    reporter.end(end)


def _train_and_report(events: Iterator[TrialEvent], reporter: Reporter) -> AttemptEnd:
    networks: list[NetworkResult] = []
    for event in events:
        match event:
            case EpochRecord():
                reporter.report(to_record(event))
            case TrainedNetwork():
                networks.append(_hand_in(event, reporter))
            case Collapse():
                return AttemptEnd(
                    state=TrialState.INFEASIBLE, reason=event.reason, networks=networks
                )
        match reporter.order:
            case Order.STOP:
                return AttemptEnd(state=TrialState.CANCELLED, reason="stopped on request")
            case Order.PAUSE:
                return AttemptEnd(state=TrialState.WAITING, reason="paused on request")
            case Order.CONTINUE:
                pass
    return AttemptEnd(state=TrialState.COMPLETE, networks=networks)


def _hand_in(network: TrainedNetwork, reporter: Reporter) -> NetworkResult:
    weights = serialise(network)
    return to_result(network, sha256=reporter.upload(weights), num_bytes=len(weights))


def _in_words(error: Exception) -> str:
    """The error itself first, for those who read one line, then where it came from."""
    last = traceback.format_exc().strip().splitlines()[-_LAST_LINES:]
    return "\n".join([f"{type(error).__name__}: {error}", *last])

"""One attempt from its assignment to its end."""

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence

from shrinknets.wire import AttemptEnd, ExportFormat, Order, TrialAssignment, TrialState
from shrinknets_core import Collapse, EpochRecord, TrainedNetwork, TrialEvent, serialise
from worker.errors import LeaseLostError, ServiceUnreachableError
from worker.service_client import AttemptLease
from worker.trial.endings import ending_of, note_on, time_limit, within
from worker.trial.exit_codes import ExitCode
from worker.trial.exporting import Found, with_exports
from worker.trial.reporter import GiveUp, Reporter
from worker.trial.training import to_record, to_result, train

Train = Callable[[TrialAssignment], Iterator[TrialEvent]]
_log = logging.getLogger(__name__)


def run_attempt(
    lease: AttemptLease, *, give_up: GiveUp, train: Train = train, micro_batches: int = 1
) -> ExitCode:
    """Train, report, hand in the networks and end the attempt.

    Whatever goes wrong in training ends the attempt as failed, but for memory that runs out;
    LeaseLostError and ServiceUnreachableError are raised, since then nothing can be handed in.
    `train` trains each batch in `micro_batches` parts.
    """
    assignment = lease.get_assignment()
    trial, spec = assignment.trial, assignment.spec
    _log.info(
        "%s %d of %s: %s, seed %d",
        *(trial.method.value, trial.number, spec.dataset, trial.params, trial.seed),
    )
    limit = time_limit(assignment)
    reporter = Reporter(lease, give_up=give_up)
    code = ExitCode.ENDED
    try:
        events = within(limit, train(assignment))
        end = _train_and_report(events, reporter, spec.exports, note=note_on(micro_batches))
        reporter.flush()
    except (LeaseLostError, ServiceUnreachableError):
        raise
    except Exception as error:  # noqa: BLE001  (a trial fails with its reason, whatever it is)
        traceback.print_exc()
        end, code = ending_of(error, assignment, micro_batches=micro_batches)
    _log.info("%s%s", end.state.value, f": {end.reason.splitlines()[0]}" if end.reason else "")
    reporter.end(end)
    return code


def _train_and_report(
    events: Iterator[TrialEvent],
    reporter: Reporter,
    exports: Sequence[ExportFormat],
    *,
    note: str,
) -> AttemptEnd:
    found: list[Found] = []
    for event in events:
        match event:
            case EpochRecord():
                reporter.report(to_record(event))
            case TrainedNetwork():
                found.append(_hand_in(event, reporter))
            case Collapse():
                return AttemptEnd(
                    state=TrialState.INFEASIBLE,
                    reason=event.reason,
                    networks=with_exports(found, exports, reporter),
                )
        match reporter.order:
            case Order.STOP:
                return AttemptEnd(state=TrialState.CANCELLED, reason="stopped on request")
            case Order.PAUSE:
                return AttemptEnd(state=TrialState.WAITING, reason="paused on request")
            case Order.CONTINUE:
                pass
    networks = with_exports(found, exports, reporter)
    return AttemptEnd(state=TrialState.COMPLETE, reason=note, networks=networks)


def _hand_in(network: TrainedNetwork, reporter: Reporter) -> Found:
    saved = serialise(network)
    result = to_result(network, sha256=reporter.upload(saved), num_bytes=len(saved))
    _log.info(
        "network %s: %d parameters, %.1f %% on validation, from epoch %d",
        *("-".join(map(str, result.widths)), result.parameters),
        *(100 * result.validation_accuracy, result.step),
    )
    return Found(network, result, saved)

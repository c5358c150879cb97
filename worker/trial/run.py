"""One attempt from its assignment to its end."""

import logging
import traceback
from collections.abc import Iterator

from shrinknets.wire import AttemptEnd, Constraints, JobSpec, Order, TrialState
from shrinknets_core import Collapse, EpochRecord, Run, TrainedNetwork, TrialEvent, serialise
from worker.errors import LeaseLostError, ServiceUnreachableError
from worker.leases import AttemptLease
from worker.trial.checkpointing import Checkpointer
from worker.trial.endings import TimeLimit, ending_of, note_on, time_limit
from worker.trial.environment import CHECKPOINT_SECONDS
from worker.trial.exit_codes import ExitCode
from worker.trial.exporting import Found, with_exports
from worker.trial.limits import end_of, latency_of
from worker.trial.reporter import GiveUp, Reporter
from worker.trial.resuming import Train, take_up
from worker.trial.stopping import Termination
from worker.trial.training import to_record, to_result, train

_log = logging.getLogger(__name__)


def run_attempt(
    lease: AttemptLease,
    *,
    give_up: GiveUp,
    train: Train = train,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    micro_batches: int = 1,
) -> ExitCode:
    """Train from the newest checkpoint on, report, hand in the networks and end the attempt.

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
        events, found = take_up(assignment, lease, train)
        training = _Training(events, found, reporter, spec, limit)
        if isinstance(events, Run):
            training.checkpoint(Checkpointer(lease, reporter, every_seconds=checkpoint_seconds))
        with Termination() as termination:
            end = training.run(termination, note=note_on(micro_batches))
        training.close()
        reporter.flush()
    except (LeaseLostError, ServiceUnreachableError):
        raise
    except Exception as error:  # noqa: BLE001  (a trial fails with its reason, whatever it is)
        traceback.print_exc()
        end, code = ending_of(error, assignment, micro_batches=micro_batches)
    _log.info("%s%s", end.state.value, f": {end.reason.splitlines()[0]}" if end.reason else "")
    reporter.end(end)
    return code


class _Training:
    """What happens in one training, told to the service."""

    def __init__(
        self,
        events: Iterator[TrialEvent],
        found: list[Found],
        reporter: Reporter,
        spec: JobSpec,
        limit: TimeLimit | None,
    ) -> None:
        self._events = events
        self._found = found
        self._reporter = reporter
        self._spec = spec
        self._limit = limit
        self._checkpointer: Checkpointer | None = None

    def checkpoint(self, checkpointer: Checkpointer) -> None:
        """Take checkpoints from now on; for a `Run` alone."""
        self._checkpointer = checkpointer

    def run(self, termination: Termination, *, note: str) -> AttemptEnd:
        """Train to the end, or until told to stop. Raises TimeLimitError.

        A trial that comes to a good end has the note as its reason.
        """
        collapse: Collapse | None = None
        for event in self._events:
            self._take(event)
            if isinstance(event, Collapse):
                collapse = event
                break
            if (end := self._end_early(termination)) is not None:
                return end
        networks = with_exports(self._found, self._spec.exports, self._reporter)
        if collapse is not None:
            return AttemptEnd(
                state=TrialState.INFEASIBLE, reason=collapse.reason, networks=networks
            )
        return end_of(networks, self._spec.constraints, note=note)

    def close(self) -> None:
        """Let no checkpoint be on its way when the attempt ends."""
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _take(self, event: TrialEvent) -> None:
        match event:
            case EpochRecord():
                self._reporter.report(to_record(event))
                if self._limit is not None:
                    self._limit.check()
            case TrainedNetwork():
                self._found.append(_hand_in(event, self._reporter, self._spec.constraints))
            case Collapse():
                pass

    def _end_early(self, termination: Termination) -> AttemptEnd | None:
        """How the attempt ends where it was told to end; None where it goes on."""
        match self._reporter.order:
            case Order.STOP:
                return AttemptEnd(state=TrialState.CANCELLED, reason="stopped on request")
            case Order.PRUNE:
                # The service knows why: its driver said so there.
                results = [one.result for one in self._found]
                return AttemptEnd(state=TrialState.PRUNED, networks=results)
            case Order.PAUSE:
                self._save(is_last=True)
                return AttemptEnd(state=TrialState.WAITING, reason="paused on request")
            case Order.CONTINUE if termination.is_wished:
                self._save(is_last=True)
                return AttemptEnd(state=TrialState.WAITING, reason="its worker stopped it")
            case Order.CONTINUE:
                self._save(is_last=False)
                return None

    def _save(self, *, is_last: bool) -> None:
        if self._checkpointer is None or not isinstance(self._events, Run):
            return
        results = [one.result for one in self._found]
        if is_last:
            self._checkpointer.finish(self._events, results)
        else:
            self._checkpointer.take_when_due(self._events, results)


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
    return Found(result, network, saved)

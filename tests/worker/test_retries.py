"""What becomes of a trial whose process is gone."""

import signal
from collections.abc import Callable

import pytest
import torch

from shrinknets.wire import (
    FixedSearch,
    JobSpec,
    Method,
    Methods,
    Trial,
    TrialAssignment,
    TrialRequest,
    TrialState,
)
from shrinknets_core import DivergedError
from worker.errors import TimeLimitError
from worker.retries import MAX_LOSSES, Retries, Verdict
from worker.trial.endings import ending_of, is_out_of_memory, note_on
from worker.trial.exit_codes import ExitCode


@pytest.mark.parametrize(
    "exit_code",
    [ExitCode.LEASE_LOST, ExitCode.SERVICE_AWAY, None, -signal.SIGKILL, -signal.SIGTERM],
)
def test_a_lost_process_is_replaced_three_times(exit_code: int | None) -> None:
    retries = Retries()
    seen = [retries.judge("a", exit_code, gave_back=False) for _ in range(MAX_LOSSES + 1)]
    assert seen == [Verdict.AGAIN] * MAX_LOSSES + [Verdict.FAILED]
    assert retries.judge("b", exit_code, gave_back=False) is Verdict.AGAIN


@pytest.mark.parametrize(
    "exit_code", [1, ExitCode.BAD_ENVIRONMENT, -signal.SIGSEGV, -signal.SIGABRT, ExitCode.ENDED]
)
def test_a_crash_is_never_tried_again(exit_code: int) -> None:
    assert Retries().judge("a", exit_code, gave_back=False) is Verdict.FAILED


def test_a_trial_that_was_given_back_loses_nothing() -> None:
    retries = Retries()
    seen = {retries.judge("a", ExitCode.ENDED, gave_back=True) for _ in range(10)}
    assert seen == {Verdict.AGAIN}
    assert retries.judge("a", -signal.SIGKILL, gave_back=False) is Verdict.AGAIN


def test_where_memory_ran_out_half_a_batch_is_tried_once() -> None:
    retries = Retries()
    assert retries.micro_batches("a") == 1
    assert retries.judge("a", ExitCode.OUT_OF_MEMORY, gave_back=True) is Verdict.AGAIN_IN_PARTS
    assert (retries.micro_batches("a"), retries.micro_batches("b")) == (2, 1)
    assert retries.judge("a", -signal.SIGKILL, gave_back=False) is Verdict.AGAIN
    assert retries.judge("a", ExitCode.OUT_OF_MEMORY, gave_back=False) is Verdict.FAILED


def test_errors_that_mean_a_lack_of_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as on_the_processor:
        torch.empty(2**50)
    for error in (
        on_the_processor.value,
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(DivergedError(step=1, loss=float("nan")))


@pytest.fixture
def assignment(
    make_spec: Callable[..., JobSpec], make_trial: Callable[..., Trial]
) -> TrialAssignment:
    spec = make_spec(methods=Methods(fixed=FixedSearch(trials=1)))
    request = TrialRequest(method=Method.FIXED, number=0, params={"depth": 1, "width_0": 8}, seed=1)
    trial = make_trial(request, state=TrialState.RUNNING)
    return TrialAssignment(spec=spec, trial=trial)


def test_the_first_lack_of_memory_gives_the_trial_back_and_the_second_fails_it(
    assignment: TrialAssignment,
) -> None:
    end, code = ending_of(MemoryError(), assignment, micro_batches=1)
    assert (end.state, code) == (TrialState.WAITING, ExitCode.OUT_OF_MEMORY)
    assert "batches of 256: another attempt takes half at a time" in end.reason
    end, code = ending_of(MemoryError(), assignment, micro_batches=2)
    assert (end.state, code) == (TrialState.FAILED, ExitCode.ENDED)
    assert "with batches of 256, and again with 2 parts" in end.reason
    assert "lower training.batch_size or the widths" in end.reason


def test_other_errors_fail_the_trial_with_their_words(assignment: TrialAssignment) -> None:
    end, code = ending_of(DivergedError(step=3, loss=float("nan")), assignment, micro_batches=1)
    assert (end.state, code) == (TrialState.FAILED, ExitCode.ENDED)
    assert end.reason.startswith("DivergedError: the training loss became nan in epoch 3")
    end, _ = ending_of(TimeLimitError(7.5), assignment, micro_batches=1)
    assert end.reason.startswith("it took longer than the 7.5 s of trial_seconds")


def test_a_trial_that_needed_half_batches_says_so() -> None:
    assert note_on(1) == ""
    assert note_on(2) == "memory ran out at first: each batch was trained in 2 parts"

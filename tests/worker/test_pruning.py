"""Which trials are ended early: comparable epochs, Optuna's pruners, and domination."""

from collections.abc import Callable
from typing import Any

import pytest

from shrinknets.wire import Epochs, JobSpec, Method, Phase, Trial, TrialRequest, TrialState
from worker.pruning import Epoch, TrialPruner, comparable, make_pruner

MakeTrial = Callable[..., Trial]
EPOCHS = 20


def spec_of(kind: str, *, objective: str = "accuracy", **options: Any) -> JobSpec:
    return JobSpec.model_validate(
        {
            "dataset": "digits",
            "methods": {"shrinknets": {}, "fixed": {}, "path": {}},
            "training": {"epochs": EPOCHS},
            "objective": {"kind": objective},
            "pruner": {"kind": kind, "startup_trials": 2, **options},
        }
    )


def trial_of(make_trial: MakeTrial, number: int, method: Method = Method.FIXED) -> Trial:
    request = TrialRequest(method=method, number=number, params={}, seed=0)
    return make_trial(request, state=TrialState.RUNNING)


def epochs_of(
    accuracies: list[float], *, size: int = 100, phase: Phase = Phase.TRAIN, first: int = 1
) -> list[Epoch]:
    return [
        Epoch(step=first + place, phase=phase, accuracy=accuracy, size=size)
        for place, accuracy in enumerate(accuracies)
    ]


def run(pruner: TrialPruner, trial: Trial, epochs: list[Epoch]) -> str | None:
    """Show a trial's epochs one at a time, as they come, and end it as it would end."""
    pruner.begin(trial)
    for epoch in epochs:
        if (reason := pruner.see(trial, [epoch])) is not None:
            pruner.end(trial.model_copy(update={"state": TrialState.PRUNED}))
            return reason
    pruner.end(trial.model_copy(update={"state": TrialState.COMPLETE}))
    return None


RISING = [0.5 + 0.02 * step for step in range(EPOCHS)]
LOW = [0.12 - 0.001 * step for step in range(EPOCHS)]


@pytest.mark.parametrize("kind", ["median", "percentile", "patient", "hyperband", "asha"])
def test_a_trial_far_below_the_others_is_pruned_and_a_better_one_is_not(
    make_trial: MakeTrial, kind: str
) -> None:
    pruner = make_pruner(spec_of(kind, min_epochs=2, patience=3))
    assert pruner is not None
    for number in range(4):
        better = [0.001 * number + accuracy for accuracy in RISING]
        assert run(pruner, trial_of(make_trial, number), epochs_of(better)) is None
    reason = run(pruner, trial_of(make_trial, 4), epochs_of(LOW))
    assert reason is not None
    assert f"by {kind}: 1" in reason
    assert reason.endswith("% with 100 parameters")


@pytest.mark.parametrize("kind", ["median", "hyperband", "asha"])
def test_a_rebuilt_pruner_judges_as_the_one_before(make_trial: MakeTrial, kind: str) -> None:
    spec = spec_of(kind, min_epochs=2)
    curves = [[accuracy * (1 - 0.1 * (number % 3)) for accuracy in RISING] for number in range(8)]
    whole = make_pruner(spec)
    assert whole is not None
    reasons = [
        run(whole, trial_of(make_trial, number), epochs_of(curve))
        for number, curve in enumerate(curves)
    ]
    seen: list[str | None] = []
    for number, curve in enumerate(curves):
        rebuilt = make_pruner(spec)
        assert rebuilt is not None
        for earlier in range(number):
            run(rebuilt, trial_of(make_trial, earlier), epochs_of(curves[earlier]))
        seen.append(run(rebuilt, trial_of(make_trial, number), epochs_of(curve)))
    assert seen == reasons
    assert any(reasons)


def test_a_network_that_shrinks_is_only_behind_those_that_are_no_larger(
    make_trial: MakeTrial,
) -> None:
    pruner = make_pruner(spec_of("median"))
    assert pruner is not None
    for number in range(3):
        trial = trial_of(make_trial, number, Method.SHRINKNETS)
        assert run(pruner, trial, epochs_of(RISING, phase=Phase.SHRINK)) is None
    small = trial_of(make_trial, 3, Method.SHRINKNETS)
    assert run(pruner, small, epochs_of(LOW, phase=Phase.SHRINK, size=50)) is None
    large = trial_of(make_trial, 4, Method.SHRINKNETS)
    assert run(pruner, large, epochs_of(LOW, phase=Phase.SHRINK, size=200)) is not None


def test_what_a_network_had_before_its_polish_does_not_save_it(make_trial: MakeTrial) -> None:
    pruner = make_pruner(spec_of("median"))
    assert pruner is not None
    high = epochs_of([0.9] * 5, phase=Phase.SHRINK)
    for number in range(3):
        polished = epochs_of([0.8] * 5, phase=Phase.POLISH, first=6)
        trial = trial_of(make_trial, number, Method.SHRINKNETS)
        assert run(pruner, trial, high + polished) is None
    worse = epochs_of([0.5] * 5, phase=Phase.POLISH, first=6)
    trial = trial_of(make_trial, 3, Method.SHRINKNETS)
    assert run(pruner, trial, high + worse) is not None


def test_domination_wants_a_margin_no_more_size_and_some_that_ended(
    make_trial: MakeTrial,
) -> None:
    pruner = make_pruner(spec_of("domination", objective="accuracy_and_size", margin=0.05))
    assert pruner is not None
    bad = epochs_of([0.5] * 5, size=200)
    assert run(pruner, trial_of(make_trial, 0), epochs_of([0.8] * 5, size=100)) is None
    assert run(pruner, trial_of(make_trial, 1), bad) is None, "a single one had ended"
    reason = run(pruner, trial_of(make_trial, 2), bad)
    assert reason == (
        "dominated in epoch 1: 50.0% with 200 parameters, when fixed 0 had 80.0% with "
        "100 parameters"
    )
    assert run(pruner, trial_of(make_trial, 3), epochs_of([0.5] * 5, size=99)) is None
    assert run(pruner, trial_of(make_trial, 4), epochs_of([0.76] * 5, size=200)) is None


def test_warm_up_first_epochs_and_paths_are_not_compared(make_trial: MakeTrial) -> None:
    spec = spec_of("median", warmup_share=0.2)
    phases = [Phase.WARMUP] * 5 + [Phase.SHRINK] * 5
    epochs = Epochs(
        step=list(range(1, 11)),
        phase=phases,
        validation_accuracy=[0.5] * 10,
        parameters=[100] * 10,
        macs=[90] * 10,
    )
    shrinking = trial_of(make_trial, 0, Method.SHRINKNETS)
    assert [e.step for e in comparable(spec, shrinking, epochs)] == [6, 7, 8, 9, 10]
    fixed = epochs.model_copy(update={"phase": [Phase.TRAIN] * 10})
    compared = comparable(spec, trial_of(make_trial, 0), fixed)
    assert [e.step for e in compared] == [5, 6, 7, 8, 9, 10]
    assert comparable(spec, trial_of(make_trial, 0, Method.PATH), epochs) == []
    assert make_pruner(spec_of("none")) is None

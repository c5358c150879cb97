"""A driver that takes over proposes what the one before it would have proposed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shrinknets.wire import JobSpec, Sampler, Trial, TrialRequest, TrialState
from worker.search import JobSearch, derive_seed

MakeTrial = Callable[..., Trial]

FIXED_L2: dict[str, Any] = {"fixed_l2": {"trials": 12}}
SHRINKING: dict[str, Any] = {
    "shrinknets": {
        "trials": 12,
        "lr": {"low": 1e-4, "high": 1e-2},
        "batch_size": [32, 64, 128],
        "start": [{"lam": 0.005}, {"lr": 1e-3, "batch_size": 64}],
    }
}
METHODS = {"fixed_l2": FIXED_L2, "shrinking": SHRINKING}


def spec_of(sampler: Sampler, methods: dict[str, Any], **more: Any) -> JobSpec:
    body = {"dataset": "digits", "methods": methods, "sampler": sampler, "seed": 5, **more}
    return JobSpec.model_validate(body)


class Run:
    """A job's trials, two at a time, that end out of order; the service's side of a search."""

    def __init__(self, spec: JobSpec, make_trial: MakeTrial, *, rebuild: bool) -> None:
        self.spec = spec
        self.make_trial = make_trial
        self.rebuilds = rebuild
        self.trials: dict[int, Trial] = {}
        self.requests: list[TrialRequest] = []
        self.clock = datetime(2026, 1, 1, tzinfo=UTC)
        self.search = JobSearch(spec)
        self.sign = 1

    def go(self) -> list[TrialRequest]:
        running: list[TrialRequest] = []
        while True:
            while len(running) < 2 and (request := self.now().propose()) is not None:
                running.append(request)
                self.requests.append(request)
                self.trials[request.number] = self.made(request, TrialState.RUNNING)
            if not running:
                return self.requests
            # Every third time the younger one ends first.
            self.end(running.pop(-1 if len(self.requests) % 3 == 0 else 0))

    def now(self) -> JobSearch:
        if self.rebuilds:
            self.search = JobSearch(self.spec, self.trials.values())
        return self.search

    def end(self, request: TrialRequest) -> None:
        state = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.INFEASIBLE][
            request.number % 3
        ]
        if request.number == 7:
            state = TrialState.FAILED
        self.clock += timedelta(seconds=1)
        ended = self.made(request, state, ended_at=self.clock)
        self.trials[request.number] = ended
        self.now().tell(ended)

    def made(self, request: TrialRequest, state: TrialState, **more: Any) -> Trial:
        score = (
            self.sign
            * derive_seed(0, request.method, request.number, purpose="score")
            % 1000
            / 1000
            % 1
        )
        size = 100 + 37 * request.number
        fields: dict[str, Any] = {"parameters": size, "macs": size, "validation_accuracy": score}
        return self.make_trial(request, **{**fields, "state": state, **more})


@pytest.mark.parametrize("sampler", Sampler)
@pytest.mark.parametrize("methods", METHODS.values(), ids=METHODS)
def test_a_driver_rebuilt_at_every_point_makes_the_same_proposals(
    make_trial: MakeTrial, sampler: Sampler, methods: dict[str, Any]
) -> None:
    spec = spec_of(sampler, methods)
    whole = Run(spec, make_trial, rebuild=False).go()
    assert len(whole) == 12
    assert Run(spec, make_trial, rebuild=True).go() == whole


@pytest.mark.parametrize("sampler", sorted(set(Sampler) - {Sampler.RANDOM, Sampler.QMC}))
def test_other_results_would_have_led_to_other_proposals(
    make_trial: MakeTrial, sampler: Sampler
) -> None:
    methods = {"shrinknets": {**SHRINKING["shrinknets"], "trials": 14}}
    first = Run(spec_of(sampler, methods), make_trial, rebuild=False)
    other = Run(spec_of(sampler, methods), make_trial, rebuild=False)
    other.sign = -1
    assert first.go()[:2] == other.go()[:2]
    assert first.requests != other.requests


@pytest.mark.parametrize("sampler", [Sampler.TPE, Sampler.GP, Sampler.NSGA2, Sampler.QMC])
def test_so_does_one_with_two_objectives_limits_and_repeats(
    make_trial: MakeTrial, sampler: Sampler
) -> None:
    spec = spec_of(
        sampler,
        {"fixed": {"trials": 6, "batch_size": [32, 64]}},
        objective={"kind": "accuracy_and_size"},
        constraints={"max_parameters": 300},
        repeats=2,
    )
    whole = Run(spec, make_trial, rebuild=False).go()
    assert [r.params for r in whole[::2]] == [r.params for r in whole[1::2]]
    assert len({r.seed for r in whole}) == 12
    assert Run(spec, make_trial, rebuild=True).go() == whole

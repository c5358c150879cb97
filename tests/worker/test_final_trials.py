"""What follows the choice: which trials, with what, and from which network."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from shrinknets.wire import (
    ChoiceSpec,
    Chosen,
    JobSpec,
    Method,
    Network,
    Trial,
    TrialRequest,
    TrialState,
)
from worker.final_trials import final_requests

MakeTrial = Callable[..., Trial]
MakeSpec = Callable[..., JobSpec]
PARAMS = {"depth": 2, "width_0": 9, "width_1": 7, "l2": 0.01}


def network(**changes: Any) -> Network:
    fields: dict[str, Any] = {
        "id": "net-1",
        "job_id": "job",
        "trial_id": "fixed_l2-0",
        "method": Method.FIXED_L2,
        "number": 0,
        "widths": [9, 7],
        "hidden_units": 16,
        "parameters": 300,
        "macs": 280,
        "validation_accuracy": 0.9,
        "test_accuracy": 0.9,
        "step": 3,
        "lam": 0.0,
        "weights_sha256": "0" * 64,
        "weights_bytes": 9,
    }
    return Network(**{**fields, **changes})


def chosen(spec: JobSpec, one: Network) -> Chosen:
    return Chosen(
        job_id="job",
        rule=spec.choice,
        network=one,
        reason="",
        is_feasible=True,
        num_candidates=1,
        most_accurate=one,
        validation_rows=288,
        standard_error=0.02,
        made_at=datetime.now(UTC),
        retrained=None,
        fine_tuned=None,
        final=one,
    )


def source(make_trial: MakeTrial) -> Trial:
    return make_trial(TrialRequest(method=Method.FIXED_L2, number=0, params=PARAMS, seed=1))


def test_nothing_follows_by_default(make_spec: MakeSpec, make_trial: MakeTrial) -> None:
    spec = make_spec()
    assert final_requests(spec, chosen(spec, network()), source(make_trial), []) == []


def test_retraining_has_the_widths_and_how_the_network_was_trained(
    make_spec: MakeSpec, make_trial: MakeTrial
) -> None:
    spec = make_spec(choice=ChoiceSpec(retrain=True, retrain_seeds=2, fine_tune_epochs=5))
    requests = final_requests(spec, chosen(spec, network()), source(make_trial), [])
    assert [(one.method, one.number) for one in requests] == [
        (Method.RETRAIN, 0),
        (Method.RETRAIN, 1),
        (Method.FINE_TUNE, 0),
    ]
    about = {"network": "net-1", "widths": [9, 7], "l2": 0.01}
    assert requests[0].params == requests[1].params == {**about, "epochs": 4}
    assert requests[2].params == {**about, "epochs": 5}
    assert len({one.seed for one in requests}) == 3
    assert len(requests) == spec.choice.num_trials


def test_what_was_announced_before_a_restart_is_not_announced_again(
    make_spec: MakeSpec, make_trial: MakeTrial
) -> None:
    spec = make_spec(choice=ChoiceSpec(retrain=True, retrain_seeds=3))
    choice, origin = chosen(spec, network()), source(make_trial)
    whole = final_requests(spec, choice, origin, [])
    for number_there in range(4):
        there = [make_trial(one, state=TrialState.WAITING) for one in whole[:number_there]]
        assert final_requests(spec, choice, origin, there) == whole[number_there:]


def test_a_network_that_is_chosen_later_is_retrained_under_numbers_that_go_on(
    make_spec: MakeSpec, make_trial: MakeTrial
) -> None:
    spec = make_spec(choice=ChoiceSpec(retrain=True, retrain_seeds=2))
    origin = source(make_trial)
    before = [make_trial(r) for r in final_requests(spec, chosen(spec, network()), origin, [])]
    other = chosen(spec, network(id="net-2"))
    again = final_requests(spec, other, origin, before)
    assert [one.number for one in again] == [2, 3]
    assert {one.params["network"] for one in again} == {"net-2"}

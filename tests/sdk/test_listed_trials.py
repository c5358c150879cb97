"""The client's lists of trials, with and without curves."""

from typing import Any

import httpx
import pytest

from shrinknets import Client
from shrinknets.wire import Curve, Trial
from tests.sdk.test_figures import make_trial
from tests.sdk.test_submitting import JOB

CURVE = Curve(step=[1, 60], validation_accuracy=[0.25, 0.9], hidden_units=[100, 19])


@pytest.mark.parametrize(("options", "asked"), [({}, None), ({"curves": 20}, "20")])
def test_trials_come_with_curves_of_so_many_points_as_wished(
    options: dict[str, Any], asked: str | None
) -> None:
    trial = make_trial(curve=CURVE if options else None)

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/job-1"):
            return httpx.Response(200, json=JOB)
        assert request.url.params.get("curves") == asked
        return httpx.Response(200, text=f'{{"items": [{trial.model_dump_json()}], "next": null}}')

    with Client("http://service", transport=httpx.MockTransport(handler)) as client:
        assert client.job("job-1").trials(**options) == [trial]


def test_a_trial_without_a_curve_is_written_as_before_there_were_any() -> None:
    assert "curve" not in make_trial().model_dump()
    assert Trial.model_validate_json(make_trial(curve=CURVE).model_dump_json()).curve == CURVE

"""A trial's training follows from its assignment alone."""

from collections.abc import Callable, Iterator

import pytest
import torch

from shrinknets.wire import JobSpec, Method, NetworkBounds, Trial, TrialAssignment, TrialRequest
from shrinknets_core import EpochRecord
from tests.core.test_generators import DROPPING
from worker.trial import training


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_what_dropout_drops_follows_from_the_trials_seed(
    make_spec: Callable[..., JobSpec],
    make_trial: Callable[..., Trial],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "get_family", lambda _: DROPPING)
    spec = make_spec(network=NetworkBounds(family="dropping", widths=(20,)))

    def losses(seed: int) -> list[float]:
        request = TrialRequest(method=Method.FIXED, number=0, params={"width_0": 20}, seed=seed)
        assignment = TrialAssignment(spec=spec, trial=make_trial(request))
        events = training.train(assignment)
        return [event.train_loss for event in events if isinstance(event, EpochRecord)]

    first = losses(1)
    torch.rand(5)
    assert losses(1) == first
    assert losses(2) != first

"""The client against a real service with a real worker."""

import socket
import time
from pathlib import Path

import pytest
import torch

from shrinknets import (
    Client,
    ConflictError,
    InvalidInputError,
    Job,
    JobNotSucceededError,
    NoNetworkError,
    NotFoundError,
    ServiceUnreachableError,
    WaitTimeoutError,
)
from shrinknets.wire import JobState, Method, TrialState
from shrinknets_core import load_dataset, load_network
from tests.sdk.conftest import SMALL

pytestmark = pytest.mark.slow


def test_a_finished_job_has_all_its_trials(finished_job: Job) -> None:
    trials = finished_job.trials()
    assert finished_job.state is JobState.SUCCEEDED
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.INFEASIBLE}
    counts = {m: sum(t.method is m for t in trials) for m in Method if m.is_search}
    assert counts == {
        Method.SHRINKNETS: 2,
        Method.FIXED: 2,
        Method.FIXED_L2: 2,
        Method.PATH: 1,
    }
    assert {"lam"} == {key for t in trials if t.method is Method.SHRINKNETS for key in t.params}


def test_a_trial_tells_its_epochs(finished_job: Job) -> None:
    trial = next(t for t in finished_job.trials() if t.method is Method.FIXED)
    records = finished_job.epochs(trial)
    assert [record.step for record in records] == list(range(1, SMALL["epochs"] + 1))
    assert all(record.seconds > 0 for record in records)


def test_the_frontier_falls_in_neither_size_nor_accuracy(finished_job: Job) -> None:
    frontier = finished_job.frontier()
    assert len(frontier) >= 2
    sizes = [network.parameters for network in frontier]
    accuracies = [network.validation_accuracy for network in frontier]
    assert sizes == sorted(set(sizes))
    assert accuracies == sorted(set(accuracies))
    assert finished_job.best().id == frontier[-1].id


def test_a_saved_network_has_the_accuracy_that_the_service_tells(
    finished_job: Job, tmp_path: Path
) -> None:
    network = finished_job.best()
    module = load_network(network.save(tmp_path / "network.safetensors"))
    split = load_dataset("digits", seed=finished_job.info.spec.seed)
    raw = split.test.x * split.std + split.mean
    with torch.no_grad():
        accuracy = (module(raw).argmax(1) == split.test.y).float().mean().item()
    assert accuracy == pytest.approx(network.test_accuracy, abs=1e-6)
    assert sum(p.numel() for p in module.parameters()) == network.parameters
    assert [p.name for p in tmp_path.iterdir()] == ["network.safetensors"]


def test_a_network_is_not_saved_where_there_is_no_folder(finished_job: Job, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing"):
        finished_job.best().save(tmp_path / "missing" / "network.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_best_network_obeys_a_limit_or_says_how_far_it_is(finished_job: Job) -> None:
    sizes = sorted(network.parameters for network in finished_job.networks())
    assert finished_job.best(max_parameters=sizes[0]).parameters == sizes[0]
    with pytest.raises(NoNetworkError, match=rf"at most 3 parameters; the smallest has {sizes[0]}"):
        finished_job.best(max_parameters=3)


def test_jobs_are_listed_the_newest_first_and_found_by_id(
    client: Client, finished_job: Job
) -> None:
    newer = client.submit(dataset="wine", methods=["fixed"], trials=1, training=SMALL)
    assert next(client.jobs()).id == newer.id
    assert client.job(finished_job.id).info == finished_job.reload().info
    newer.wait(progress=False, timeout_seconds=240)


@pytest.mark.alone
def test_a_cancelled_job_stops_at_once_and_wait_tells(client: Client) -> None:
    job = client.submit(dataset="digits", methods=["path"], widths=[500], training={"epochs": 5000})
    # The first trial of a worker that has just started waits until torch is imported.
    while not any(trial.epochs for trial in job.trials()):
        time.sleep(0.05)
    started = time.monotonic()
    job.cancel()
    with pytest.raises(JobNotSucceededError, match="cancelled"):
        job.wait(progress=False, timeout_seconds=240)
    assert time.monotonic() - started < 2.5
    assert job.cancel().state is JobState.CANCELLED


def test_a_job_that_ended_cannot_be_cancelled(finished_job: Job) -> None:
    with pytest.raises(ConflictError, match="succeeded"):
        finished_job.cancel()


def test_waiting_can_be_limited_and_the_job_goes_on(client: Client) -> None:
    job = client.submit(dataset="digits", methods=["path"], widths=[500], training={"epochs": 5000})
    with pytest.raises(WaitTimeoutError, match="it goes on"):
        job.wait(progress=False, timeout_seconds=0.5)
    assert not job.reload().state.is_final
    job.cancel()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"dataset: expected .*required, got nothing"),
        ({"dataset": "mnits"}, r"dataset: expected one of 'digits'.*, got 'mnits'"),
        ({"methods": ["shrinknet"]}, r"methods.shrinknet: expected only the fields shrinknets, "),
        ({"methods": []}, r"methods: expected .*at least one method"),
        (
            {"methods": {"shrinknets": {"lam": {"low": 1, "high": 0.1}}}},
            r"lam.*low must not exceed",
        ),
        ({"methods": {"shrinknets": {"lam": {"low": 0, "high": 1}}}}, r"lam.low: .*greater than 0"),
        ({"trials": 0}, r"methods.shrinknets.trials: expected a number of at least 1, got 0"),
        ({"widths": [0]}, r"network.widths.0: expected a number of at least 1, got 0"),
        ({"training": {"epochs": "many"}}, r"training.epochs: expected a whole number, got 'many'"),
    ],
)
def test_bad_input_names_the_field_what_was_given_and_what_is_allowed(
    client: Client, arguments: dict[str, object], message: str
) -> None:
    given = {"dataset": "digits", **arguments} if arguments else {}
    with pytest.raises(InvalidInputError, match=message) as caught:
        client.submit(**given)  # type: ignore[arg-type]
    assert caught.value.errors


def test_a_single_method_and_a_single_width_need_no_list(client: Client) -> None:
    job = client.submit(dataset="wine", methods="fixed", widths=8, trials=1, training=SMALL)
    assert job.info.spec.network.widths == (8,)
    assert list(job.info.spec.methods.chosen()) == [Method.FIXED]
    job.wait(progress=False, timeout_seconds=240)


def test_a_data_set_in_the_place_of_the_whole_job_is_told(client: Client) -> None:
    with pytest.raises(TypeError, match=r"must be a JobSpec, got 'digits': name the others"):
        client.submit("digits")  # type: ignore[arg-type]


def test_unknown_ids_are_told(client: Client) -> None:
    with pytest.raises(NotFoundError, match="job-nope"):
        client.job("job-nope")
    with pytest.raises(NotFoundError, match="net-nope"):
        client.network("net-nope")


def test_a_service_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(url) as client, pytest.raises(ServiceUnreachableError, match=f"{url}.*serve"):
        client.job("job-x")

"""A job that chose, retrained and fine-tuned a network, seen by the client and the command line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shrinknets import Client, InvalidInputError, Job, NoNetworkError, NotFoundError
from shrinknets.wire import Method
from tests.sdk.conftest import SMALL, Served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chosen_job(served: Served) -> Iterator[Job]:
    with Client(served.url) as client:
        job = client.submit(
            dataset="digits",
            methods={"path": {}, "fixed": {"trials": 1}},
            widths=[30],
            training=SMALL,
            choice={
                "rule": "one_standard_error",
                "retrain": True,
                "retrain_seeds": 2,
                "fine_tune_epochs": 2,
            },
        )
        yield job.wait(progress=False, timeout_seconds=240)


def test_the_job_tells_its_choice_and_what_followed(chosen_job: Job, tmp_path: Path) -> None:
    choice = chosen_job.choice()
    assert choice.made_at is not None
    assert choice.retrained is not None
    assert (choice.retrained.n, choice.fine_tuned is None) == (2, False)
    assert chosen_job.chosen().id == choice.final.id
    assert chosen_job.chosen().save(tmp_path / "chosen.safetensors").exists()
    assert chosen_job.info.progress.ended == chosen_job.info.progress.total == 5


def test_client_and_service_choose_by_the_same_rule(chosen_job: Job) -> None:
    choice = chosen_job.choice()
    networks = chosen_job.networks()
    searched = [n.info for n in networks if n.info.method.is_search]
    best = max(n.validation_accuracy for n in searched)
    assert choice.most_accurate.validation_accuracy == best
    error = choice.standard_error
    assert error is not None
    assert choice.validation_rows == 288
    assert choice.network.parameters == min(
        n.parameters for n in searched if n.validation_accuracy >= best - error - 1e-9
    )
    # The client's own choice may also take a network that was fine-tuned.
    mine = chosen_job.best(rule="one_standard_error")
    candidates = [n.info for n in networks if n.info.method is not Method.RETRAIN]
    top = max(n.validation_accuracy for n in candidates)
    assert mine.validation_accuracy >= top - error - 0.02
    assert mine.parameters <= choice.most_accurate.parameters


def test_best_looks_within_limits_and_never_at_retrained_networks(chosen_job: Job) -> None:
    assert chosen_job.best().info.method is not Method.RETRAIN
    assert chosen_job.best(max_macs=1500).info.macs <= 1500
    small = chosen_job.best(rule="smallest", min_validation_accuracy=0.5)
    assert small.validation_accuracy >= 0.5
    assert small.parameters <= chosen_job.best().parameters
    with pytest.raises(NoNetworkError, match="that has at most 10 parameters"):
        chosen_job.best(max_parameters=10, rule="one_standard_error")
    with pytest.raises(ValueError, match="leave within"):
        chosen_job.best(rule="one_standard_error", within=0.1)
    with pytest.raises(ValueError, match="is not a valid ChoiceRule"):
        chosen_job.best(rule="test")


def test_a_job_without_a_network_has_no_choice(client: Client) -> None:
    job = client.submit(dataset="digits", priority=-100)
    job.cancel()
    with pytest.raises(NotFoundError, match="no network"):
        job.choice()


def test_a_rule_that_does_not_exist_is_told_at_submission(client: Client) -> None:
    with pytest.raises(InvalidInputError, match=r"choice\.rule"):
        client.submit(dataset="digits", choice={"rule": "test"})


def test_show_tells_the_choice_in_words_and_as_json(
    chosen_job: Job, run_cli: Callable[..., str]
) -> None:
    words = run_cli("show", chosen_job.id)
    choice = chosen_job.choice()
    assert f"Chosen: {choice.network.widths[0]} (" in words
    assert "one standard error" in words
    assert "retrained from scratch, 2 times: validation" in words
    assert "fine-tuned, it" in words
    shown = json.loads(run_cli("show", chosen_job.id, "--json"))
    assert shown["choice"]["network"]["id"] == choice.network.id


def test_download_saves_the_chosen_network(
    chosen_job: Job, run_cli: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "chosen.safetensors"
    words = run_cli("download", chosen_job.id, "--chosen", "-o", str(file))
    assert chosen_job.choice().final.id in words
    assert file.is_file()
    wrong = run_cli("download", chosen_job.id, "--chosen", "--max-parameters", "9", status=2)
    assert "take one of" in wrong


def test_submit_takes_the_rule_as_options(run_cli: Callable[..., str], client: Client) -> None:
    job_id = run_cli(
        *("submit", "--dataset", "wine", "--method", "path", "--width", "8", "--epochs", "2"),
        *("--rule", "one_standard_error", "--retrain", "4", "--fine-tune", "7"),
    ).strip()
    job = client.job(job_id)
    job.cancel()
    choice = job.info.spec.choice
    assert (choice.rule, choice.retrain, choice.retrain_seeds) == ("one_standard_error", True, 4)
    assert choice.fine_tune_epochs == 7


def test_the_standard_error_is_that_of_the_best(chosen_job: Job) -> None:
    choice = chosen_job.choice()
    accuracy = choice.most_accurate.validation_accuracy
    assert choice.standard_error == pytest.approx((accuracy * (1 - accuracy) / 288) ** 0.5)

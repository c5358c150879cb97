"""Every command, run as a user runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from shrinknets import Client, Job
from shrinknets.wire import JobState
from shrinknets_core import load_network
from tests.sdk.conftest import SMALL, Served
from tests.worker.real_processes import all_gone

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Serve = Callable[[], Served]


@pytest.fixture
def run(served: Served) -> Run:
    def run(*arguments: str, url: str = served.url) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "shrinknets", *arguments, "--url", url]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "COLUMNS": "160"},
        )

    return run


def test_submit_watch_show_and_list_tell_the_same_story(run: Run) -> None:
    submitted = run(
        *("submit", "--dataset", "digits", "--method", "fixed", "--method", "path"),
        *("--trials", "1", "--width", "40", "--epochs", "4", "--lr", "0.003", "--name", "cli"),
    )
    job_id = submitted.stdout.strip()
    assert submitted.returncode == 0, submitted.stderr
    watched = run("watch", job_id)
    assert watched.returncode == 0, watched.stderr
    assert "succeeded" in watched.stderr
    assert "fixed" in watched.stdout
    assert f"/jobs/{job_id}" in watched.stdout
    shown = json.loads(run("show", job_id, "--json").stdout)
    assert shown["job"]["spec"]["name"] == "cli"
    assert shown["job"]["state"] == "succeeded"
    assert shown["frontier"]
    listed = json.loads(run("list", "--json", "--limit", "1").stdout)
    assert [job["id"] for job in listed] == [job_id]
    assert job_id in run("list").stdout


def test_a_whole_job_can_come_from_a_file(run: Run, tmp_path: Path) -> None:
    spec = {"dataset": "wine", "methods": {"fixed": {"trials": 1}}, "training": SMALL}
    file = tmp_path / "job.json"
    file.write_text(json.dumps(spec))
    answer = run("submit", "--spec", str(file), "--watch", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["job"]["progress"]["ended"] == 1


def test_download_saves_a_network_that_loads(run: Run, finished_job: Job, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    answer = run("download", finished_job.id, "--output", str(path))
    assert answer.returncode == 0, answer.stderr
    parameters = sum(p.numel() for p in load_network(path).parameters())
    assert parameters == finished_job.best().parameters


def test_a_name_that_looks_like_markup_is_shown_as_it_is(run: Run, client: Client) -> None:
    name = "[bold]run[/x] a"
    job = client.submit(
        dataset="wine", methods=["fixed"], trials=1, widths=[4], training=SMALL, name=name
    )
    listed = run("list", "--limit", "1")
    assert listed.returncode == 0, listed.stderr
    assert name in listed.stdout
    job.wait(progress=False, timeout_seconds=240)


def test_cancel_stops_a_job(run: Run, client: Client) -> None:
    job = client.submit(dataset="digits", methods=["path"], training={"epochs": 5000})
    assert run("cancel", job.id).returncode == 0
    deadline = time.monotonic() + 10
    while job.reload().state is not JobState.CANCELLED:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["submit"], 2, "dataset: expected"),
        (["submit", "--dataset", "x"], 2, "expected one of 'digits'"),
        (["submit", "--dataset", "digits", "--epochs", "few"], 2, "'--epochs'"),
        (["submit", "--dataset", "digits", "--trials", "0"], 2, "at least 1, got 0"),
        (["submit", "--spec", __file__], 2, "is not JSON"),
        (["submit", "--spec", __file__, "--dataset", "wine"], 2, "leave the other options out"),
        (["submit", "--dataset", "digits", "--epochs", "1"], 2, "training.epochs"),
        (["download", "job-x", "--network", "n", "--max-parameters", "9"], 2, "take one of"),
        (["show", "job-nope"], 1, "job-nope"),
        (["download", "job-nope"], 1, "job-nope"),
        (["watch"], 2, "JOB"),
    ],
)
def test_bad_input_is_told_in_words_without_a_traceback(
    run: Run, arguments: list[str], status: int, message: str
) -> None:
    answer = run(*arguments)
    assert answer.returncode == status
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_service_that_is_not_there_is_told(run: Run) -> None:
    answer = run("list", url="http://127.0.0.1:9")
    assert answer.returncode == 1
    assert "start one with `shrinknets serve`" in answer.stderr


def test_serve_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "shrinknets", "serve", "--port", port]
        answer = subprocess.run(
            [*command, "--data-dir", str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert answer.returncode == 1
    assert port in answer.stderr
    assert "Traceback" not in answer.stderr


def test_serve_says_that_it_cannot_make_its_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "shrinknets", "serve", "--port", "0"]
    answer = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "file" / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "Cannot make the data folder" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_serve_refuses_to_listen_to_strangers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shrinknets", "serve", "--host", "0.0.0.0"]
    answer = subprocess.run(
        [*command, "--data-dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert "SHRINKNETS_TRUST_NETWORK" in answer.stderr


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_however_serve_ends(start_serving: Serve, order: int) -> None:
    served = start_serving()
    with Client(served.url) as client:
        job = client.submit(dataset="digits", methods=["path"], training={"epochs": 5000})
        while job.reload().info.progress.running == 0:
            time.sleep(0.05)
    family = served.family()
    assert len(family) >= 4
    served.process.send_signal(order)
    served.process.wait(60)
    assert all_gone(family)


def test_serve_replaces_a_worker_that_died(start_serving: Serve) -> None:
    served = start_serving()
    workers: list[psutil.Process] = []
    while not workers:
        workers = [p for p in served.family() if p.cmdline()[1:3] == ["-m", "worker"]]
    workers[0].kill()
    with Client(served.url) as client:
        job = client.submit(dataset="wine", methods="fixed", widths=4, trials=1, training=SMALL)
        job.wait(progress=False, timeout_seconds=240)
    assert "the worker ended with status -9: starting another" in served.log


def test_a_job_goes_on_after_serve_was_killed_and_started_again(start_serving: Serve) -> None:
    served = start_serving()
    with Client(served.url) as client:
        job = client.submit(
            dataset="digits", methods=["fixed"], trials=8, widths=[40], training={"epochs": 40}
        )
        while job.reload().info.progress.ended < 2:
            time.sleep(0.05)
        before = {t.id: t for t in job.trials() if t.state.is_final}
    family = served.family()
    served.kill()
    psutil.wait_procs(family, timeout=10)
    again = start_serving()
    with Client(again.url) as client:
        job = client.job(job.id).wait(progress=False, timeout_seconds=120)
        trials = job.trials()
        assert len(trials) == 8
        assert {t.id: t for t in trials if t.id in before} == before
        assert len(job.networks()) == 8


def test_a_job_is_paused_resumed_listed_and_deleted(run: Run, client: Client) -> None:
    job_id = run(
        *("submit", "--dataset", "digits", "--method", "fixed", "--trials", "2"),
        *("--epochs", "100000", "--label", "team:vision", "--priority", "5"),
    ).stdout.strip()
    assert run("pause", job_id).stdout.startswith(job_id)
    deadline = time.monotonic() + 20
    while client.job(job_id).state is not JobState.PAUSED:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (listed,) = json.loads(
        run("list", "--state", "paused", "--label", "team:vision", "--json").stdout
    )
    assert (listed["id"], listed["priority"]) == (job_id, 5)
    assert run("list", "--state", "failed", "--label", "team:x").stdout == "no such jobs\n"
    assert run("resume", job_id).stdout == f"{job_id} queued\n"
    run("cancel", job_id)
    while not client.job(job_id).state.is_final:
        assert time.monotonic() < deadline + 20
        time.sleep(0.1)
    assert run("delete", job_id).stdout == f"{job_id} deleted\n"
    gone = run("delete", job_id)
    assert (gone.returncode, gone.stdout) == (1, "")

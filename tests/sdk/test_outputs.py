"""Logs, exports and files of real trials, through the client and the command line."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest
import torch

from shrinknets import Client, Job, NotFoundError, NoTrialError
from shrinknets.wire import ArtifactKind, ExportFormat, Method
from shrinknets_core import load_network
from tests.sdk.conftest import SMALL, Served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported_job(served: Served) -> Iterator[Job]:
    with Client(served.url) as client:
        job = client.submit(
            dataset="digits",
            methods=["path", "fixed"],
            widths=[12],
            trials=2,
            training=SMALL,
            exports=["onnx", "pt2"],
        )
        yield job.wait(progress=False, timeout_seconds=280)


def run(served: Served, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shrinknets", *arguments, "--url", served.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_exports_compute_what_the_network_computes(exported_job: Job, tmp_path: Path) -> None:
    network = exported_job.best()
    assert [e.format for e in network.info.exports] == list(ExportFormat)
    assert [e.reason for e in network.info.exports] == ["", ""]
    module = load_network(network.save(tmp_path / "network.safetensors"))
    rows = 16 * torch.rand(20, 64)
    with torch.no_grad():
        expected = module(rows)
        program = torch.export.load(network.download(tmp_path / "network.pt2", format="pt2"))
        torch.testing.assert_close(program.module()(rows), expected, rtol=1e-4, atol=1e-4)
    onnx = network.download(tmp_path / "network.onnx", format="onnx")
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"rows": rows.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
    architecture = network.architecture()
    assert (architecture["family"], architecture["widths"]) == ("mlp", network.widths)
    described = network.download(tmp_path / "network.json", format="json")
    assert json.loads(described.read_text()) == architecture


def test_only_the_networks_on_a_trials_frontier_are_exported(exported_job: Job) -> None:
    for trial in exported_job.trials():
        own = [n for n in exported_job.networks() if n.info.trial_id == trial.id]
        exported = {n.parameters for n in own if n.info.exports}
        best = max(own, key=lambda n: (n.validation_accuracy, -n.parameters))
        assert best.parameters in exported
        beaten = {
            n.parameters
            for n in own
            if any(
                o.parameters < n.parameters and o.validation_accuracy >= n.validation_accuracy
                for o in own
            )
        }
        assert not exported & beaten


def test_the_files_of_a_trial_are_listed(exported_job: Job) -> None:
    trial = exported_job.trial("fixed:0")
    files = exported_job.artifacts(trial)
    assert [one.kind for one in files] == list(ArtifactKind)


def test_a_job_without_exports_says_how_to_get_them(finished_job: Job, tmp_path: Path) -> None:
    target = tmp_path / "network.onnx"
    with pytest.raises(NotFoundError, match='"exports": '):
        finished_job.best().download(target, format="onnx")
    with pytest.raises(ValueError, match="safetensors, json, onnx, pt2"):
        finished_job.best().download(target, format="tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_trial_is_named_by_method_and_number(exported_job: Job) -> None:
    first = exported_job.trial("path:0")
    assert (first.method, exported_job.trial(first.id)) == (Method.PATH, first)
    assert exported_job.trial("1").method is Method.FIXED
    with pytest.raises(NoTrialError, match="name one of path:0, fixed:0"):
        exported_job.trial("0")
    with pytest.raises(NoTrialError):
        exported_job.trial("fixed:7")


def test_logs_are_printed_followed_and_cut(served: Served, exported_job: Job) -> None:
    trial = exported_job.trial("fixed:1")
    text = exported_job.logs(trial).as_text()
    assert "fixed 1 of digits" in text
    assert "onnx of " in text
    assert text.endswith("complete\n")
    assert run(served, "logs", exported_job.id, "fixed:1").stdout == text
    followed = run(served, "logs", exported_job.id, "fixed:1", "--follow", "--tail", "1")
    assert followed.stdout == text.splitlines(keepends=True)[-1]
    answer = json.loads(run(served, "logs", exported_job.id, trial.id, "--json").stdout)
    assert answer["attempts"][0]["text"] == text
    unknown = run(served, "logs", exported_job.id, "fixed:9")
    assert unknown.returncode == 1
    assert "name one of" in unknown.stderr
    both = run(served, "logs", exported_job.id, "fixed:1", "--json", "--follow")
    assert both.returncode == 2


def test_download_takes_a_format(served: Served, exported_job: Job, tmp_path: Path) -> None:
    target = tmp_path / "best.pt2"
    answer = run(served, "download", exported_job.id, "--format", "pt2", "-o", str(target))
    assert answer.returncode == 0, answer.stderr
    torch.export.load(io.BytesIO(target.read_bytes()))
    wrong = run(served, "download", exported_job.id, "--format", "tflite")
    assert wrong.returncode == 2


def test_submit_takes_exports(served: Served) -> None:
    answer = run(
        *(served, "submit", "--dataset", "wine", "--method", "fixed", "--trials", "1"),
        *("--width", "4", "--epochs", "4", "--export", "pt2", "--watch", "--json"),
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["frontier"][0]["exports"][0]["format"] == "pt2"

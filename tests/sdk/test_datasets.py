"""Data sets from Python and from a shell, up to networks that were trained on them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shrinknets import Client, ConflictError, InvalidInputError, NotFoundError, ServiceError, wire
from shrinknets_core import load_dataset_file, load_network
from tests.sdk.conftest import SMALL, Served
from tests.service.arrays import images, npz, rows

pytestmark = pytest.mark.slow
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(served: Served) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shrinknets", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "COLUMNS": "160", "SHRINKNETS_URL": served.url},
        )

    return run


@pytest.mark.parametrize("arrays", [rows(300, inputs=5), images(300)], ids=["rows", "images"])
def test_a_network_is_found_for_rows_of_ones_own(
    client: Client, tmp_path: Path, arrays: dict[str, Any]
) -> None:
    name = f"own-{arrays['x'].ndim}"
    dataset = client.upload_dataset(arrays, name=name, progress=False)
    job = client.submit(dataset=name, methods=["fixed", "path"], trials=1, widths=[16],
                        training=SMALL)  # fmt: skip
    job.wait(progress=False, timeout_seconds=120)
    network = job.best()
    module = load_network(network.save(tmp_path / "network.safetensors"))
    split = load_dataset_file(dataset.save(tmp_path / "own.npz"), name=name, seed=0)
    raw = split.test.x * split.std + split.mean
    with torch.no_grad():
        accuracy = (module(raw).argmax(1) == split.test.y).float().mean().item()
        one = module(torch.as_tensor(arrays["x"][:1]).float()).argmax(1).item()
    assert accuracy == pytest.approx(network.test_accuracy, abs=1e-6)
    assert accuracy > 0.9
    assert one == arrays["y"][0]
    assert [job.id for job in client.jobs(dataset=name)] == [job.id]
    with pytest.raises(ConflictError, match=job.id):
        dataset.delete()
    job.delete()
    dataset.delete()
    with pytest.raises(NotFoundError):
        client.dataset(name)


def test_test_rows_of_ones_own_are_what_is_tested(client: Client) -> None:
    # The test rows have their classes turned round: who learnt the others gets all of them wrong.
    learnt, asked = rows(200, classes=2), rows(50, classes=2, seed=1)
    arrays = {**learnt, "x_test": asked["x"], "y_test": 1 - asked["y"]}
    client.upload_dataset(arrays, name="turned", progress=False)
    job = client.submit(dataset="turned", methods=["fixed"], trials=1, widths=[16],
                        training=SMALL)  # fmt: skip
    network = job.wait(progress=False, timeout_seconds=120).best()
    assert network.validation_accuracy > 0.7
    assert network.test_accuracy < 0.3


def test_data_sets_are_listed_read_and_sent_again(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "again.npz"
    path.write_bytes(npz(**rows()))
    first = client.upload_dataset(path, name="again")
    second = client.upload_dataset(str(path), name="again")
    assert first.info == second.info == first.reload().info
    assert [d.name for d in client.datasets(source="uploaded", text="again")] == ["again"]
    assert {"digits", "again"} <= {dataset.name for dataset in client.datasets()}
    assert client.dataset("digits").info.rows == 1797
    with pytest.raises(NotFoundError):
        client.dataset("digits").save(tmp_path / "digits.npz")
    with pytest.raises(ConflictError, match="every worker has"):
        client.upload_dataset(path, name="digits")
    assert [p.name for p in tmp_path.iterdir()] == ["again.npz"]
    first.delete()


def test_what_is_wrong_with_an_upload_is_told(client: Client, tmp_path: Path) -> None:
    arrays = rows()
    with pytest.raises(InvalidInputError, match="y: expected the classes 0 to"):
        client.upload_dataset({**arrays, "y": arrays["y"] - 1}, name="wrong", progress=False)
    with pytest.raises(InvalidInputError, match="dtype"):
        client.upload_dataset({**arrays, "x": np.array([None] * 60)}, name="wrong", progress=False)
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(ServiceError, match=r"numpy\.savez") as caught:
        client.upload_dataset(tmp_path / "table.csv", name="wrong", progress=False)
    assert caught.value.status == 415
    with pytest.raises(InvalidInputError, match="'digits', 'breast_cancer'"):
        client.submit(dataset="wrong")


def test_the_commands_tell_the_same_story(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "shell.npz"
    path.write_bytes(npz(**rows(90)))
    uploaded = run("datasets", "upload", str(path))
    assert (uploaded.returncode, uploaded.stdout) == (0, "shell: 90 rows, 3 classes\n")
    assert "shell" in uploaded.stderr
    listed = json.loads(run("datasets", "list", "--source", "uploaded", "--json").stdout)
    assert "shell" in [wire.Dataset.model_validate(info).name for info in listed]
    assert "breast_cancer" in run("datasets", "list").stdout
    shown = run("datasets", "show", "shell").stdout
    assert "rows: 90 of 4 float32" in shown
    assert "classes: 3, with 30, 30, 30 rows" in shown
    assert json.loads(run("datasets", "show", "shell", "--json").stdout)["num_jobs"] == 0
    assert run("datasets", "delete", "shell").stdout == "shell deleted\n"
    gone = run("datasets", "show", "shell")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "data set 'shell'" in gone.stderr

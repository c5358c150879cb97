"""Jobs on networks of every kind, with the real service, a real worker and real training."""

import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from shrinknets.wire import (
    FamilyOffer,
    FixedSearch,
    IntRange,
    JobSpec,
    JobState,
    LogRange,
    Method,
    Methods,
    Network,
    NetworkBounds,
    Page,
    PathRun,
    ShrinkNetsSearch,
    TrainingSpec,
)
from shrinknets_core import NetworkFileError, load_network
from tests.service.arrays import npz
from tests.worker.installing import OWN_FAMILY, install
from tests.worker.real_processes import RealService, RealWorker, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]
MakeSpec = Callable[..., JobSpec]
PATIENCE = 400.0
BROKEN = """
from torch import nn
from shrinknets_core.families import Family, Layer

class Broken(nn.Linear):
    def forward(self, x):
        if self.training:
            raise RuntimeError("the user's own words")
        return super().forward(x)

def make(input_shape, widths, num_classes):
    return nn.Sequential(nn.Linear(input_shape[0], widths[0]), Broken(widths[0], num_classes))

BROKEN = Family(name="broken", make=make, layers=(Layer(name="fc", path="0", full=9),))
"""


def digits_of_28(rows: int = 260) -> dict[str, Any]:
    """Digits as images of MNIST's size: each pixel three times, and a frame."""
    images, labels = load_digits(return_X_y=True)
    x = (images[:rows].reshape(-1, 1, 8, 8) * 15.9).astype(np.uint8)
    x = np.repeat(np.repeat(x, 3, axis=2), 3, axis=3)
    return {"x": np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), "y": labels[:rows].astype(np.uint8)}


def upload(service: RealService, name: str, **arrays: Any) -> None:
    headers = {"Content-Type": "application/zip"}
    answer = service.http.post(f"/datasets?name={name}", content=npz(**arrays), headers=headers)
    assert answer.is_success, answer.text


def networks_of(service: RealService, job_id: str) -> list[Network]:
    answer = service.http.get(f"/jobs/{job_id}/networks?limit=100").raise_for_status()
    return Page[Network].model_validate_json(answer.content).items


def load(service: RealService, network: Network, folder: Path) -> torch.nn.Sequential:
    path = folder / f"{network.id}.safetensors"
    answer = service.http.get(f"/networks/{network.id}/weights").raise_for_status()
    path.write_bytes(answer.content)
    return load_network(path)


def wait_for_families(service: RealService) -> list[str]:
    def names() -> list[str]:
        answer = service.http.get("/families").raise_for_status()
        return [one.name for one in Page[FamilyOffer].model_validate_json(answer.content).items]

    return wait_for(names, seconds=120)


def test_lenet_is_sized_on_images_that_were_uploaded(
    real_service: RealService,
    start_worker: Callable[[], RealWorker],
    make_spec: MakeSpec,
    tmp_path: Path,
) -> None:
    images = digits_of_28()
    upload(real_service, "digits28", **images)
    spec = make_spec(
        dataset="digits28",
        network=NetworkBounds(family="lenet5", widths=(6, 8, 30)),
        methods=Methods(
            shrinknets=ShrinkNetsSearch(trials=1, lam=LogRange(low=2e-3, high=4e-3)),
            fixed=FixedSearch(trials=2),
        ),
        training=TrainingSpec(epochs=6, batch_size=32, lr=3e-3),
    )
    job_id = real_service.submit(spec)
    start_worker()
    job = real_service.wait_until_final(job_id, seconds=PATIENCE)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "")
    networks = networks_of(real_service, job_id)
    assert {network.method for network in networks} == {Method.SHRINKNETS, Method.FIXED}
    for network in networks:
        assert all(1 <= w <= most for w, most in zip(network.widths, (6, 8, 30), strict=True))
        module = load(real_service, network, tmp_path)
        assert sum(p.numel() for p in module.parameters()) == network.parameters
        found = module(torch.from_numpy(images["x"]).float()).argmax(1)
        correct = (found == torch.from_numpy(images["y"]).long()).float().mean().item()
        assert correct > network.validation_accuracy - 0.2, "raw pixels go in"
    fixed = [trial for trial in real_service.list_trials(job_id) if trial.method is Method.FIXED]
    assert all(sorted(trial.params) == ["width_0", "width_1", "width_2"] for trial in fixed)
    assert [tuple(trial.params.values()) for trial in fixed] == [
        tuple(network.widths) for network in networks if network.method is Method.FIXED
    ]
    answer = real_service.http.get(f"/networks/{networks[0].id}/architecture").json()
    assert (answer["family"], answer["layers"]) == ("lenet5", ["conv1", "conv2", "fc"])
    page = real_service.http.get(f"{real_service.url}/jobs/{job_id}").text
    assert "conv1 6, conv2 8, fc 30" in page


def test_a_residual_perceptron_learns_its_depth(
    real_service: RealService,
    start_worker: Callable[[], RealWorker],
    make_spec: MakeSpec,
    tmp_path: Path,
) -> None:
    start_worker()
    assert "residual_mlp" in wait_for_families(real_service)
    spec = make_spec(
        network=NetworkBounds(family="residual_mlp", widths=(32, 16, 16, 16)),
        methods=Methods(path=PathRun(), fixed=FixedSearch(trials=3, depth=IntRange(low=1, high=2))),
        training=TrainingSpec(epochs=20, batch_size=128, lr=3e-3, precision="bf16"),
    )
    job_id = real_service.submit(spec)
    job = real_service.wait_until_final(job_id, seconds=PATIENCE)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "")
    networks = networks_of(real_service, job_id)
    depths = {
        method: {sum(width > 0 for width in n.widths[1:]) for n in networks if n.method is method}
        for method in (Method.PATH, Method.FIXED)
    }
    assert min(depths[Method.PATH]) < 3, "branches went while it shrank"
    assert depths[Method.FIXED] <= {1, 2}
    assert all(len(network.widths) == 4 for network in networks)
    smallest = min(networks, key=lambda network: network.parameters)
    assert load(real_service, smallest, tmp_path)(torch.ones(2, 64)).shape == (2, 10)


def test_a_network_of_ones_own_is_sized_and_loads_where_it_is_installed(
    real_service: RealService,
    make_spec: MakeSpec,
    start_worker: Callable[[], RealWorker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = tmp_path / "site"
    project = tomllib.loads((OWN_FAMILY / "pyproject.toml").read_text())["project"]
    ((name, target),) = project["entry-points"]["shrinknets.families"].items()
    entry = f"{name} = {target}"
    install(site, monkeypatch, name=project["name"], entry=entry, module=OWN_FAMILY / "own_family")
    images, labels = load_digits(return_X_y=True)
    x = images[:400].reshape(-1, 1, 8, 8).astype(np.float32)
    upload(real_service, "digits8", x=x, y=labels[:400])
    spec = make_spec(
        dataset="digits8",
        network=NetworkBounds(family=name, widths=(8, 8, 24)),
        methods=Methods(path=PathRun(), fixed=FixedSearch(trials=2)),
        training=TrainingSpec(epochs=10, batch_size=64, lr=5e-3),
    )
    start_worker()
    assert name in wait_for_families(real_service)
    job_id = real_service.submit(spec)
    job = real_service.wait_until_final(job_id, seconds=PATIENCE)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "")
    network = networks_of(real_service, job_id)[0]
    with pytest.raises(NetworkFileError, match=r"'two_branches'.*install the package"):
        load(real_service, network, tmp_path)
    monkeypatch.syspath_prepend(str(site))
    loaded = load(real_service, network, tmp_path)
    assert type(loaded.network).__name__ == "TwoBranches"
    del sys.modules["own_family"]


def test_an_exception_in_a_users_model_ends_the_job_with_its_reason(
    real_service: RealService,
    make_spec: MakeSpec,
    start_worker: Callable[[], RealWorker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = "broken = broken_nets:BROKEN"
    install(tmp_path / "site", monkeypatch, name="broken-nets", entry=entry, module=BROKEN)
    spec = make_spec(
        network=NetworkBounds(family="broken"), methods=Methods(fixed=FixedSearch(trials=50))
    )
    job_id = real_service.submit(spec)
    start_worker()
    job = real_service.wait_until_final(job_id, seconds=PATIENCE)
    assert job.state is JobState.FAILED
    # Of two at once, both may end between two looks.
    assert re.match("[34] trials in a row failed; the last, fixed ", job.reason), job.reason
    assert "RuntimeError: the user's own words" in job.reason
    assert "broken_nets.py" in job.reason, "the end of the traceback"
    assert len(real_service.list_trials(job_id)) <= 6


def test_a_worker_goes_past_a_job_whose_family_it_lacks_and_the_job_says_what_it_waits_for(
    real_service: RealService, make_spec: MakeSpec, start_worker: Callable[[], RealWorker]
) -> None:
    lacking = real_service.submit(make_spec(network=NetworkBounds(family="nowhere")))
    flat = real_service.submit(
        make_spec(
            network=NetworkBounds(family="lenet5", widths=(3, 4, 5)),
            methods=Methods(fixed=FixedSearch(trials=50)),
        )
    )
    start_worker()
    job = real_service.wait_until_final(flat, seconds=PATIENCE)
    assert job.state is JobState.FAILED
    assert "input_shape must be (channels, height, width) for the family 'lenet5'" in job.reason
    assert len(real_service.list_trials(flat)) <= 6
    job = real_service.get_job(lacking)
    assert job.state is JobState.QUEUED
    assert "Waits for a worker that has the network family 'nowhere'" in job.reason
    assert real_service.list_trials(lacking) == []


def test_a_trial_of_a_worker_compiles_where_there_is_a_compiler(
    real_service: RealService, make_spec: MakeSpec, start_worker: Callable[[], RealWorker]
) -> None:
    spec = make_spec(
        methods=Methods(fixed=FixedSearch(trials=1)),
        training=TrainingSpec(epochs=3, batch_size=256, compile=True),
    )
    job_id = real_service.submit(spec)
    start_worker()
    assert real_service.wait_until_final(job_id, seconds=PATIENCE).state is JobState.SUCCEEDED
    (trial,) = real_service.list_trials(job_id)
    log = real_service.http.get(f"/trials/{trial.id}/logs.txt").raise_for_status().text
    assert "complete" in log
    assert ("not compiled" in log) == (shutil.which("g++") is None)

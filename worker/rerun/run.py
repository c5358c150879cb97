"""Fetches what a trial is, trains it, saves its networks, and compares it with the service."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import Progress

from shrinknets import Client
from shrinknets.wire import DatasetFile, Record, Trial, TrialAssignment
from shrinknets_core import Collapse, EpochRecord, TrainedNetwork, serialise
from worker.rerun.comparison import Comparison
from worker.trial.dataset_cache import DatasetCache
from worker.trial.training import to_record, train

_COPY_BYTES = 2**20


def run_again(
    client: Client, trial_id: str, *, output: Path, cache: Path, as_json: bool
) -> Comparison:
    """Train a trial of the service here; its networks go into the folder `output`.

    Writes each epoch to standard output as a line, of JSON where that is asked for, and to
    standard error how far it is and how it compares.
    """
    trial = client.trial(trial_id)
    job = client.job(trial.job_id)
    spec = job.info.spec
    data = client.dataset(spec.dataset)
    file = None
    if data.info.sha256 is not None and data.info.size_bytes is not None:
        file = DatasetFile(sha256=data.info.sha256, size_bytes=data.info.size_bytes)
    networks = [n.info for n in job.networks() if n.info.trial_id == trial.id]
    comparison = Comparison(job.epochs(trial), networks)
    events = train(
        TrialAssignment(spec=spec, trial=trial, data=file),
        files=DatasetCache(cache, fetch=_through_a_file(data.save)),
        fetch_network=_through_a_file(lambda path: _network_of(client, trial, path)),
    )
    total = comparison.num_known_epochs or spec.training.epochs
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{trial.method} {trial.number}", total=total)
        for event in events:
            match event:
                case EpochRecord():
                    record = to_record(event)
                    comparison.add(record)
                    _write(record, as_json=as_json)
                    progress.advance(task)
                case TrainedNetwork():
                    comparison.add_network(_save(event, output))
                case Collapse():
                    sys.stderr.write(f"infeasible: {event.reason}\n")
    _conclude(comparison, output, as_json=as_json)
    return comparison


def _write(record: Record, *, as_json: bool) -> None:
    if as_json:
        line = record.model_dump_json()
    else:
        widths = "-".join(map(str, record.widths))
        line = (
            f"{record.step:5} {record.phase.value:7} train loss {record.train_loss:.4f}  "
            f"validation {record.validation_accuracy:.2%}  {widths}  "
            f"{record.parameters:,} parameters"
        )
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _save(network: TrainedNetwork, folder: Path) -> str:
    """Save a network; returns the digest of its file."""
    content = serialise(network)
    folder.mkdir(parents=True, exist_ok=True)
    widths = "-".join(map(str, network.widths))
    (folder / f"epoch-{network.step}-{widths}.safetensors").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _conclude(comparison: Comparison, output: Path, *, as_json: bool) -> None:
    if as_json:
        found = {"is_equal": comparison.is_equal, "reason": comparison.in_words()}
        sys.stdout.write(json.dumps({"comparison": found, "output": str(output)}) + "\n")
    else:
        sys.stdout.write(f"{comparison.in_words()}\n")
        if output.is_dir():
            sys.stdout.write(f"networks are in {output}\n")


def _network_of(client: Client, trial: Trial, path: Path) -> None:
    client.network(str(trial.params["network"])).save(path)


def _through_a_file(save: Callable[[Path], object]) -> Callable[[IO[bytes]], None]:
    """What the client saves under a path, written to an open file."""

    def fetch(target: IO[bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            save(path)
            with path.open("rb") as source:
                shutil.copyfileobj(source, target, _COPY_BYTES)

    return fetch

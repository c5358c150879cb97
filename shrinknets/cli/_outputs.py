"""The commands that take home what trials left behind: networks and logs."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shrinknets import wire
from shrinknets._client import Client
from shrinknets._job import Job
from shrinknets.cli._jobs import AsJson, JobId, Url, print_json, print_line


class DownloadFormat(StrEnum):
    """What `download` can save a network as."""

    SAFETENSORS = "safetensors"
    JSON = "json"
    ONNX = "onnx"
    PT2 = "pt2"


def download(
    job: JobId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Default: NETWORK.FORMAT."),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="A network's id; default: the best by validation.")
    ] = None,
    max_parameters: Annotated[
        int | None, typer.Option(min=1, help="The best of at most so many parameters.")
    ] = None,
    *,
    chosen_one: Annotated[
        bool, typer.Option("--chosen", help="The one that the job's rule chose.")
    ] = False,
    form: Annotated[
        DownloadFormat,
        typer.Option("--format", help="json is the architecture alone; onnx, pt2: if exported."),
    ] = DownloadFormat.SAFETENSORS,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Save a job's best network as one file."""
    if sum((network is not None, max_parameters is not None, chosen_one)) > 1:
        raise typer.BadParameter("take one of --network, --max-parameters and --chosen")
    with Client(url) as client:
        if chosen_one:
            chosen = client.job(job).chosen()
        elif network is None:
            chosen = client.job(job).best(max_parameters=max_parameters)
        else:
            chosen = client.network(network)
        path = chosen.download(output or Path(f"{chosen.id}.{form}"), format=form)
    if as_json:
        print_json({"path": str(path), "network": chosen.info.model_dump(mode="json")})
    else:
        print_line(f"{path}: {chosen!r}")


def logs(
    job: JobId,
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="METHOD:NUMBER, the number alone, or the id.")
    ],
    tail: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Only so many lines at the end.")
    ] = None,
    url: Url = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the trial ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what a trial wrote: its output, warnings and errors."""
    if follow and as_json:
        raise typer.BadParameter("--json prints what is there now: leave --follow out")
    with Client(url) as client:
        held = client.job(job)
        found = held.trial(trial)
        if as_json:
            print_json(held.logs(found, tail=tail))
            return
        pieces = held.follow_logs(found, tail=tail) if follow else _once(held, found, tail)
        try:
            for text in pieces:
                sys.stdout.write(text)
                sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def _once(job: Job, trial: wire.Trial, tail: int | None) -> list[str]:
    return [job.logs(trial, tail=tail).as_text()]

"""`rerun`: train one trial again, on this machine and in the foreground."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from shrinknets.cli._jobs import AsJson, Url
from shrinknets.cli._processes import MissingPartError, _options, _running


def rerun(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="The trial's id.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", file_okay=False, help="Folder for its networks. [default: TRIAL]"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Compute with so many. [default: as a worker with 2 slots]"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Keep fetched data sets here. [default: ~/.cache/shrinknets]"
        ),
    ] = None,
    url: Url = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Train a trial again here, and compare its epochs with those in the service."""
    if importlib.util.find_spec("torch") is None:
        raise MissingPartError("worker")
    options = [trial, *_options(url=url, output=output, threads=threads, cache=cache)]
    with _running("worker.rerun", [*options, *(["--json"] if as_json else [])], {}) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            status = 130
    raise typer.Exit(status)

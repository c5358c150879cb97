"""Reads the options, settles the threads, and only then loads torch."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from shrinknets import Client, ShrinkNetsError
from worker.device import num_cores
from worker.trial.environment import CACHE_VARIABLE, default_cache

_THREADS = "OMP_NUM_THREADS"
_SLOTS = 2
"""Of a worker that was told nothing else: it shares the cores out among them."""


def rerun(
    trial: str,
    url: Annotated[str | None, typer.Option()] = None,
    output: Annotated[Path | None, typer.Option(file_okay=False)] = None,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    cache: Annotated[Path | None, typer.Option(file_okay=False)] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train a trial again here, and compare its epochs with those in the service."""
    # Set before torch is imported: OpenMP reads it when it is loaded.
    if threads is not None or not os.environ.get(_THREADS):
        os.environ[_THREADS] = str(threads or max(1, num_cores() // _SLOTS))
    from worker.rerun.run import run_again  # noqa: PLC0415 - after the line above

    folder = cache or Path(os.environ.get(CACHE_VARIABLE) or default_cache())
    try:
        with Client(url) as client:
            run_again(client, trial, output=output or Path(trial), cache=folder, as_json=as_json)
    except (ShrinkNetsError, OSError) as error:
        sys.stderr.write(f"rerun: {error}\n")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(rerun)

"""The command `python -m worker`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from shrinknets.logs import configure_logging
from shrinknets.wire import KEY_VARIABLE
from worker.errors import NotAllowedError, RayNotAllowedError, SettingsError
from worker.loop import run_worker
from worker.settings import EngineName, read_worker_settings, variables_of


def worker(
    url: Annotated[str | None, typer.Option(help="Where the service answers.")] = None,
    name: Annotated[str | None, typer.Option(help="Shown beside the jobs it holds.")] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Trials at once on each device. [default: 2]"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:0,1. [default: auto]")
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after one job.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Keep fetched data sets here. [default: ~/.cache/shrinknets]",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep the logs of trials here.")
    ] = None,
    engine: Annotated[
        EngineName | None, typer.Option(help="What runs the trials. [default: local]")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="The cluster's dashboard, e.g. http://head:8265.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings.")] = None,
) -> None:
    """Claim jobs and run their trials until SIGTERM or Ctrl-C."""
    options: dict[str, object] = {"url": url, "name": name, "slots": slots, "device": device}
    options |= {"engine": engine, "ray_address": ray_address}
    options |= {"folder": folder, "cache": cache, "once": once or None}
    given = {option: value for option, value in options.items() if value is not None}
    try:
        settings = read_worker_settings(config=config, **given)
        # Trials don't inherit it: they have the token of their attempt instead.
        for variable in (KEY_VARIABLE, *variables_of("ray_token")):
            os.environ.pop(variable, None)
        configure_logging(settings.log_format, settings.log_level, secrets=settings.secrets())
        run_worker(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(2) from None
    except (NotAllowedError, RayNotAllowedError) as error:
        sys.stderr.write(f"worker: {error}\n")
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(worker)

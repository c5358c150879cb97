"""The command `python -m worker`."""

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
from httpx import URL, InvalidURL

from shrinknets.wire import KEY_VARIABLE, can_be_key
from worker.errors import InvalidKeyError, NotAllowedError
from worker.loop import run_worker
from worker.settings import WorkerSettings
from worker.trial.environment import CACHE_VARIABLE, default_cache


def _checked_url(value: str) -> str:
    try:
        url = URL(value)
    except InvalidURL as error:
        raise typer.BadParameter(f"{value!r} is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise typer.BadParameter(
            f"{value!r} does not say where the service is: give e.g. http://127.0.0.1:8000"
        )
    return value.rstrip("/")


def _checked_name(value: str) -> str:
    if not 1 <= len(value) <= 200:
        raise typer.BadParameter("a name has 1 to 200 characters")
    return value


def worker(
    url: Annotated[
        str, typer.Option(callback=_checked_url, help="Where the service answers.")
    ] = "http://127.0.0.1:8000",
    name: Annotated[
        str, typer.Option(callback=_checked_name, help="Shown beside the jobs it holds.")
    ] = f"{socket.gethostname()}-{os.getpid()}",
    slots: Annotated[int, typer.Option(min=1, max=1024, help="Trials that run at once.")] = 2,
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after one job.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            envvar=CACHE_VARIABLE,
            help="Keep fetched data sets here. [default: ~/.cache/shrinknets]",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep the logs of trials here.")
    ] = None,
) -> None:
    """Claim jobs and run their trials until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        run_worker(
            WorkerSettings(
                url=url,
                name=name,
                api_key=_take_key(),
                slots=slots,
                once=once,
                folder=folder,
                cache=cache or default_cache(),
            )
        )
    except (InvalidKeyError, NotAllowedError) as error:
        sys.stderr.write(f"worker: {error}\n")
        raise typer.Exit(1) from None


def _take_key() -> str | None:
    """The key, which trials then don't inherit: theirs is the token of their attempt."""
    key = os.environ.pop(KEY_VARIABLE, "").strip()
    if key and not can_be_key(key):
        raise InvalidKeyError
    return key or None


if __name__ == "__main__":
    typer.run(worker)

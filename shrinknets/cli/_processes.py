"""`serve` and `worker`: start the processes of the service and look after them."""

import ctypes
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from shrinknets._errors import ShrinkNetsError
from shrinknets.settings_file import CONFIG_VARIABLE
from shrinknets.wire import KEY_VARIABLE

Config = Annotated[Path | None, typer.Option(help="A TOML file with settings.")]
Slots = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Trials at once on each device. [default: 2]")
]
DeviceChoice = Annotated[
    str | None,
    typer.Option(help="What trials compute on: auto, cpu, mps, cuda, cuda:0,1. [default: auto]"),
]
LOG_LEVEL = "SHRINKNETS_LOG_LEVEL"
STOP_SECONDS = 10.0
"""How long a process may take to end before it is killed."""
LOOK_SECONDS = 0.2
RESTART_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


class MissingPartError(ShrinkNetsError):
    """A package that the command needs is not installed."""

    def __init__(self, part: str) -> None:
        super().__init__(
            f"the package `{part}` is not installed here: run `pip install 'shrinknets[{part}]'`"
        )


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen at.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the database and the files.")
    ] = None,
    slots: Slots = None,
    config: Config = None,
    *,
    device: DeviceChoice = None,
    with_worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Also start a worker on this machine.")
    ] = True,
) -> None:
    """Run the service, its dashboard and one local worker until Ctrl-C."""
    chosen = {"HOST": host, "PORT": port, "DATA_DIR": data_dir, "CONFIG": config}
    settings = _variables(chosen)
    # Good as long as these two processes: the worker works on although keys are asked for.
    worker_key = secrets.token_urlsafe(32)
    settings["SHRINKNETS_WORKER_KEY"] = worker_key
    if not {LOG_LEVEL, CONFIG_VARIABLE} & {*os.environ, *settings}:
        # People read this terminal: a line for each request is for those who ask for it.
        settings[LOG_LEVEL] = "warning"
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _running("service", [], settings, pipe=True) as service:
            url = _announced_url(service)
            if url is not None and with_worker:
                chosen_here = _options(slots=slots, device=device, config=config)
                options = ["--url", url, "--name", "local", *chosen_here]
                _keep_worker(options, {KEY_VARIABLE: worker_key}, until=service)
            status = service.wait()
    except KeyboardInterrupt:
        return
    if status < 0:
        sys.stderr.write(f"the service was ended by {signal.Signals(-status).name}\n")
    raise typer.Exit(1 if status < 0 else status)


def worker(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="SHRINKNETS_URL",
            help="Where the service answers. [default: http://127.0.0.1:8000]",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Shown beside the jobs it holds.")] = None,
    slots: Slots = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Keep fetched data sets here. [default: ~/.cache/shrinknets]"
        ),
    ] = None,
    *,
    engine: Annotated[
        str | None,
        typer.Option(help="`local`, or `ray` for a cluster (docs/ray.md). [default: local]"),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="The Ray cluster's dashboard, e.g. http://head:8265.")
    ] = None,
    config: Config = None,
    device: DeviceChoice = None,
) -> None:
    """Claim jobs from a service and train their trials, here or on Ray, until Ctrl-C."""
    options = _options(url=url, name=name, slots=slots, device=device, cache=cache, config=config)
    options += _options(engine=engine, ray_address=ray_address)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _running("worker", options, {}) as process:
            status = process.wait()
    except KeyboardInterrupt:
        return
    raise typer.Exit(status)


def keys(context: typer.Context) -> None:
    """Make, list and revoke API keys, on the machine of the service; `keys --help` says how."""
    _require("service")
    command = [sys.executable, "-m", "service", "keys", *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def gc(
    data_dir: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the database and the files.")
    ] = None,
    config: Config = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Delete stored files that nothing refers to, and old events; the service may run."""
    flags = [flag for flag, is_set in (("--dry-run", dry_run), ("--json", as_json)) if is_set]
    settings = _variables({"DATA_DIR": data_dir, "CONFIG": config})
    with _running("service", ["gc", *flags], settings) as process:
        status = process.wait()
    raise typer.Exit(status)


def _variables(chosen: Mapping[str, object]) -> dict[str, str]:
    return {f"SHRINKNETS_{name}": str(value) for name, value in chosen.items() if value is not None}


def _options(**chosen: object) -> list[str]:
    given = (
        (f"--{name.replace('_', '-')}", str(value))
        for name, value in chosen.items()
        if value is not None
    )
    return [part for option in given for part in option]


class _running:  # noqa: N801 - reads as a verb where it is used
    """A child process that ends with the block, and with this process however it ends."""

    def __init__(
        self, part: str, options: list[str], settings: Mapping[str, str], *, pipe: bool = False
    ) -> None:
        _require(part)
        self._process = subprocess.Popen(
            [sys.executable, "-m", part, *options],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE if pipe else None,
            text=True,
            # Ctrl-C reaches this process alone: it ends the worker first, then the service.
            process_group=0,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _require(part: str) -> None:
    part = part.partition(".")[0]
    if importlib.util.find_spec(part) is None:
        raise MissingPartError(part)


def _keep_worker(
    options: list[str], settings: Mapping[str, str], *, until: subprocess.Popen[str]
) -> None:
    """Have a worker run until the service ends; one that dies is replaced."""
    while until.poll() is None:
        with _running("worker", options, settings) as process:
            while process.poll() is None and until.poll() is None:
                time.sleep(LOOK_SECONDS)
        if until.poll() is None:
            sys.stderr.write(
                f"the worker ended with status {process.returncode}: starting another\n"
            )
            time.sleep(RESTART_SECONDS)


def _announced_url(service: subprocess.Popen[str]) -> str | None:
    """Pass on the line that says where the service is; None if it ended without one."""
    assert service.stdout is not None
    line = service.stdout.readline()
    sys.stdout.write(line)
    sys.stdout.flush()
    return line.rsplit(maxsplit=1)[-1] if line else None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

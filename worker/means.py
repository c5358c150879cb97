"""What a worker runs trials with: an engine, how many at once, and what they compute on."""

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from worker.device import choose_devices, describe_device, look_at_machine
from worker.engines import Engine, LocalEngine, Placement, RayEngine, RayJobs, RayOptions
from worker.families import FamilyListing
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.settings import EngineName, WorkerSettings

_FAMILIES = "families.json"


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the settings of a worker come to."""

    engine: Engine
    slots: int
    device: str
    """For people."""
    listing: FamilyListing


@contextlib.contextmanager
def engine_means(settings: WorkerSettings, folder: Path) -> Iterator[Means]:
    """Those of the chosen engine, which keeps the output of attempts in `folder`.

    Raises SettingsError where the chosen devices are not there, RayNotAllowedError where the
    cluster wants another token.
    """
    match settings.engine:
        case EngineName.LOCAL:
            with _local_means(settings, folder) as means:
                yield means
        case EngineName.RAY:
            with _ray_means(settings, folder) as means:
                yield means


@contextlib.contextmanager
def _local_means(settings: WorkerSettings, folder: Path) -> Iterator[Means]:
    machine = look_at_machine()
    devices = choose_devices(settings.device, machine)
    share = max(1, machine.cores // (settings.slots * len(devices)))
    threads = share if settings.threads is None else settings.threads
    placement = Placement(devices, slots=settings.slots, threads=threads)
    listing = FamilyListing(folder / _FAMILIES)
    engine = LocalEngine(
        folder=folder, threads=threads, placement=placement, families_file=listing.path
    )
    with contextlib.closing(engine):
        yield Means(
            engine=engine,
            slots=placement.num_slots,
            device=describe_device(devices),
            listing=listing,
        )


@contextlib.contextmanager
def _ray_means(settings: WorkerSettings, folder: Path) -> Iterator[Means]:
    assert settings.ray_address is not None, "the settings make sure of it"
    token = None if settings.ray_token is None else settings.ray_token.get_secret_value()
    options = RayOptions(
        cpus=settings.ray_cpus_per_trial,
        gpus=settings.ray_gpus_per_trial,
        resources=settings.ray_resources,
        python=settings.ray_python,
        working_dir=settings.ray_working_dir,
        cache=settings.ray_cache,
        pending_seconds=settings.ray_pending_seconds,
        poll_seconds=settings.ray_poll_seconds,
        stop_seconds=max(1, math.ceil(settings.terminate_seconds)),
    )
    # Asked from the engine's thread, which has other things to do than wait for the service.
    with (
        ServiceClient(settings.url, patience=Patience(seconds=0)) as client,
        _listing_by_command(folder) as listing,
    ):
        engine = RayEngine(
            RayJobs(settings.ray_address, token=token, ca_file=settings.ray_ca_file),
            folder=folder,
            service_url=settings.trial_url or settings.url,
            is_held=lambda attempt_id, token: AttemptLease(client, attempt_id, token).is_held(),
            options=options,
        )
        with contextlib.closing(engine):
            yield Means(
                engine=engine,
                slots=settings.ray_slots or settings.slots,
                device=_describe(settings.ray_address, options),
                listing=listing,
            )


@contextlib.contextmanager
def _listing_by_command(folder: Path) -> Iterator[FamilyListing]:
    """What can be built here, which stands for what the nodes of a cluster can build."""
    listing = FamilyListing(folder / _FAMILIES)
    command = [sys.executable, "-m", "worker.families", "--file", str(listing.path)]
    with listing.path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in a terminal is for the worker.
            start_new_session=True,
        )
    try:
        yield listing
    finally:
        process.kill()
        process.wait()


def _describe(address: str, options: RayOptions) -> str:
    each = f"{options.gpus:g} GPU" if options.gpus else f"{options.cpus:g} cores"
    return f"Ray cluster at {httpx.URL(address).host}, {each} for each trial"[:200]

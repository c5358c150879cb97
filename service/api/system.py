"""Tells of the service itself and of its workers."""

import platform
from importlib.metadata import version

from fastapi import APIRouter

from service.api.dependencies import ServicesOf
from service.store import Reading, census, families, workers
from service.store.schema import schema_revision
from shrinknets.wire import FamilyOffer, Page, Storage, System, WorkerInfo, WorkerState

router = APIRouter(tags=["service"])


@router.get("/system", summary="Describe the service")
def read_system(services: ServicesOf) -> System:
    """Versions, how much of everything there is, and the storage that it takes."""
    with services.store.reading() as tx:
        return _describe(tx, silent_seconds=services.settings.job_lease_seconds)


@router.get("/workers", summary="List the workers")
def list_workers(services: ServicesOf) -> list[WorkerInfo]:
    """Every worker that asked for jobs, the one heard of last first; at most 1,000."""
    with services.store.reading() as tx:
        return workers.list_workers(tx, silent_seconds=services.settings.job_lease_seconds)


@router.get("/families", summary="List the network families")
def list_families(services: ServicesOf) -> Page[FamilyOffer]:
    """What the workers heard of in the last minutes can build, with the bounds of each layer."""
    with services.store.reading() as tx:
        return Page(items=families.list_families(tx))


def _describe(tx: Reading, *, silent_seconds: float) -> System:
    counted = census.read_census(tx)
    trials, networks = census.count_results(tx)
    known = workers.list_workers(tx, silent_seconds=silent_seconds)
    return System(
        version=version("shrinknets"),
        python=platform.python_version(),
        database=tx.dialect,
        schema_revision=schema_revision(tx),
        jobs=counted.jobs,
        trials=trials,
        networks=networks,
        attempts_running=counted.attempts_running,
        workers=sum(worker.state is not WorkerState.SILENT for worker in known),
        storage=Storage(
            database_bytes=census.database_bytes(tx),
            artifacts=counted.artifacts,
            artifact_bytes=counted.artifact_bytes,
        ),
    )

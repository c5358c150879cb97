"""What endpoints ask for: the services, the store, a token, an id, a part of a list."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from service.access import Identity
from service.services import Services
from service.settings import Settings
from service.store import Slice, Store
from service.store.quotas import Share
from shrinknets import logs
from shrinknets.wire import DATASET_PATTERN, LEASE_HEADER

MAX_KEY = 2**63 - 1


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _store(request: Request) -> Store:
    return request.app.state.services.store  # type: ignore[no-any-return]


# Endpoints open their transaction themselves, in the thread that they run in, and close it before
# FastAPI writes the answer: it does that in a thread of its own, and when all of them wait for
# this transaction's locks, there is none left.
ServicesOf = Annotated[Services, Depends(_services)]
StoreOf = Annotated[Store, Depends(_store)]


async def _part(
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="The most items to return.")] = 100,
) -> Slice:
    return Slice(cursor=cursor, limit=limit)


Part = Annotated[Slice, Depends(_part)]
Token = Annotated[str, Header(alias=LEASE_HEADER, description="The token of the lease.")]
JobId = Annotated[str, Path(pattern=r"^job-[0-9a-z]{1,24}$")]
TrialId = Annotated[str, Path(pattern=r"^trial-[0-9a-z]{1,24}$")]
AttemptId = Annotated[str, Path(pattern=r"^attempt-[0-9a-z]{1,24}$")]
MaxParameters = Annotated[
    int | None, Query(ge=0, le=MAX_KEY, description="Of at most so many weights and biases.")
]
MaxMacs = Annotated[
    int | None,
    Query(ge=0, le=MAX_KEY, description="Of at most so many multiply-accumulates per example."),
]
NetworkId = Annotated[str, Path(pattern=r"^net-[0-9a-z]{1,24}$")]
DatasetPath = Annotated[str, Path(pattern=DATASET_PATTERN, description="A data set's name.")]
Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


def share_of(caller: Identity, settings: Settings) -> Share:
    """How much the caller may have at once."""
    return Share(
        key_id=caller.key_id,
        max_queued_jobs=settings.max_queued_jobs_per_key,
        max_dataset_bytes=settings.max_dataset_bytes_per_key,
    )


async def named_in_logs(request: Request) -> None:
    """Lines of the log that a request causes name the job and the trial in its address."""
    ids = {name: value for name, value in request.path_params.items() if name.endswith("_id")}
    logs.note(**ids)

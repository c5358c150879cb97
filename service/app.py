"""Puts the service together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, NoMatchFound
from starlette.types import ASGIApp

from service import api, dashboard, problems
from service.access import Access, HostCheck, SecurityHeaders
from service.api.dependencies import named_in_logs
from service.artifacts import Artifacts
from service.bell import Bell
from service.claiming import ClaimDesk
from service.feed import Feed
from service.garbage import delete_dropped
from service.housekeeping import housekeeping
from service.limits import BodyLimits
from service.metrics import Metrics
from service.readiness import Readiness
from service.services import Services
from service.settings import Settings
from service.store import Store, require_head, upgrade_to_head
from service.store.facts import Fact
from service.watching import Watched

DESCRIPTION = (
    "Finds the right size of a neural network: submit a job, follow its trials, download networks."
)


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI app. Its start raises ServiceError where the database is not fit."""
    services = _assemble(settings)
    app = _App(
        # Made by the dashboard, behind its guard and without anything from outside.
        openapi_url=None,
        title="ShrinkNets",
        description=DESCRIPTION,
        version=version("shrinknets"),
        lifespan=_lifespan,
    )
    app.state.services = services
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(HostCheck, settings=settings)
    # Added last, so that it is the outermost: it also sees what the others refuse.
    app.add_middleware(Watched, metrics=services.metrics)
    problems.install(app)
    app.router.routes.extend(_routes())
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """The routes of all apps of this process, as making them takes a tenth of a second."""
    router, named = APIRouter(), [Depends(named_in_logs)]
    router.include_router(api.router, dependencies=named)
    router.include_router(dashboard.router, dependencies=named, include_in_schema=False)
    # FastAPI finishes them when one is first looked for, and then not safely in several threads.
    with suppress(NoMatchFound):
        router.url_path_for("")
    return tuple(router.routes)


class _App(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        # Around the middleware that answers our own bugs, which is the outermost otherwise.
        return SecurityHeaders(super().build_middleware_stack())


def _assemble(settings: Settings) -> Services:
    bell, metrics = Bell(), Metrics()
    artifacts = Artifacts(settings.artifacts_url, scratch=settings.data_dir)

    def take(facts: Sequence[Fact]) -> None:
        metrics.take(facts)
        delete_dropped(store, artifacts, facts)

    store = Store(settings.database_url, on_news=bell.ring, on_facts=take)
    metrics.include_store(store)
    return Services(
        settings=settings,
        store=store,
        artifacts=artifacts,
        bell=bell,
        feed=Feed(store, bell, max_readers=settings.max_streams),
        access=Access(store, settings),
        desk=ClaimDesk(store, lease_seconds=settings.job_lease_seconds),
        metrics=metrics,
        readiness=Readiness(store, artifacts, limit_seconds=settings.ready_seconds),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.bell.bind()
    try:
        await run_in_threadpool(prepare_database, services.settings)
        async with housekeeping(services):
            yield
    finally:
        services.bell.close()
        services.store.close()


def prepare_database(settings: Settings) -> None:
    """Migrate where that is wished. Raises SchemaError, UnavailableError."""
    if settings.is_embedded or settings.migrate_on_start:
        upgrade_to_head(settings.database_url)
    else:
        require_head(settings.database_url)

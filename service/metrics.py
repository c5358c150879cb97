"""Counts what happens in this process, and tells it with the state of the queue to Prometheus."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import assert_never

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.errors import UnavailableError
from service.store import Store
from service.store.census import Census, read_census
from service.store.facts import (
    CheckpointsDropped,
    Claimed,
    EpochsTaken,
    Fact,
    LeasesLost,
    TrialEnded,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TRIAL_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)


class Metrics:
    """The metrics of one app; nothing is shared between two apps in a process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Gauge("shrinknets_build_info", "Always 1.", ["version"], registry=registry).labels(
            version("shrinknets")
        ).set(1)
        self._claims = Counter(
            "shrinknets_job_claims_total", "Jobs that workers claimed.", registry=registry
        )
        self._losses = Counter(
            "shrinknets_lease_losses_total",
            "Leases that ran out because their holder was silent.",
            ["what"],
            registry=registry,
        )
        for what in ("job", "attempt"):
            self._losses.labels(what)
        self._trials = Histogram(
            "shrinknets_trial_duration_seconds",
            "Time from a trial's first start to its end.",
            ["method", "state"],
            buckets=TRIAL_SECONDS,
            registry=registry,
        )
        self._epochs = Counter(
            "shrinknets_epochs_received_total", "Epochs that trials reported.", registry=registry
        )
        self._requests = Histogram(
            "shrinknets_http_request_duration_seconds",
            "Time to the end of an answer; of an event stream, to its beginning.",
            ["method", "route", "status"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self.stream_readers = Gauge(
            "shrinknets_event_stream_readers", "Event streams that are open.", registry=registry
        )

    def include_store(self, store: Store) -> None:
        """Tell with each scrape what stands in the database too."""
        self._registry.register(_Contents(store))

    def take(self, facts: Sequence[Fact]) -> None:
        """Count what a commit changed."""
        for fact in facts:
            match fact:
                case Claimed():
                    self._claims.inc()
                case LeasesLost():
                    self._losses.labels(fact.what).inc(fact.count)
                case TrialEnded():
                    self._trials.labels(fact.method.value, fact.state.value).observe(fact.seconds)
                case EpochsTaken():
                    self._epochs.inc(fact.count)
                case CheckpointsDropped():
                    pass
                case _:
                    assert_never(fact)

    def request_ended(self, *, method: str, route: str, status: str, seconds: float) -> None:
        """Count a request; `route` is its template, `status` a class such as `2xx`."""
        self._requests.labels(method, route, status).observe(seconds)

    def exposed(self) -> bytes:
        """Everything in Prometheus' text format; asks the database."""
        return generate_latest(self._registry)


class _Contents(Collector):
    """What stands in the database; all service processes on one database tell the same."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterator[GaugeMetricFamily]:
        # Registering must not ask the database, which may not have its tables yet.
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with self._store.reading() as tx:
                census = read_census(tx)
        except UnavailableError:
            yield _gauge("shrinknets_database_up", "Whether the database answers.", 0)
            return
        yield _gauge("shrinknets_database_up", "Whether the database answers.", 1)
        yield from _told(census)


def _told(census: Census) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily("shrinknets_jobs", "Jobs by state.", labels=["state"])
    for state, count in census.jobs.items():
        jobs.add_metric([state.value], count)
    yield jobs
    yield _gauge(
        "shrinknets_oldest_queued_job_age_seconds",
        "Since the submission of the job that is first in the queue; 0 where none waits.",
        census.oldest_queued_seconds,
    )
    yield _gauge(
        "shrinknets_attempts_running", "Processes that work on trials.", census.attempts_running
    )
    yield _gauge("shrinknets_artifacts", "Files that were handed in.", census.artifacts)
    yield _gauge("shrinknets_artifact_bytes", "Their size.", census.artifact_bytes)


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)

"""Lists of jobs: filtered, sorted, page by page."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, select

from service.store.jobs import build_jobs
from service.store.labels import has_label
from service.store.paging import Slice, Sort, read_sorted_page
from service.store.tables import job_methods, jobs, keys
from service.store.transactions import Reading
from shrinknets.wire import Job, JobSort, JobState, Method, Page

_COLUMNS = {
    "created": jobs.c.seq,
    "ended": jobs.c.ended_at,
    "state": jobs.c.state,
    "priority": jobs.c.priority,
}


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs are asked for: those that meet all that is named."""

    states: tuple[JobState, ...] = ()
    """In any of these, where there are some."""
    dataset: str | None = None
    method: Method | None = None
    labels: tuple[str, ...] = ()
    """All of these, each `key:value` or a key alone."""
    owner: str = ""
    """Submitted with a key of this owner."""
    text: str = ""
    """Part of the name, in capitals or not."""

    def conditions(self) -> list[ColumnElement[bool]]:
        found = [has_label(label) for label in self.labels]
        if self.states:
            found.append(jobs.c.state.in_(self.states))
        if self.dataset is not None:
            found.append(jobs.c.dataset == self.dataset)
        if self.method is not None:
            # Asked job by job: many run the same few methods, so the order of the list leads.
            runs_it = job_methods.c.method == self.method
            found.append(exists().where(job_methods.c.job_id == jobs.c.id, runs_it))
        if self.owner:
            mine = select(keys.c.id).where(keys.c.owner == self.owner)
            found.append(jobs.c.key_id.in_(mine))
        if self.text:
            part = self.text.casefold()
            found.append(jobs.c.folded_name.contains(part, autoescape=True))
        return found


def list_jobs(
    tx: Reading,
    part: Slice,
    *,
    which: JobFilter | None = None,
    sort: JobSort = JobSort.CREATED_DESC,
) -> Page[Job]:
    """A page of jobs, in a constant number of queries. Raises InvalidInputError."""
    return read_sorted_page(
        tx,
        select(jobs).where(*(which or JobFilter()).conditions()),
        key=jobs.c.seq,
        sort=Sort.read(sort, _COLUMNS),
        part=part,
        build=lambda rows: build_jobs(tx, rows),
    )

"""What surrounds a search: what it needs to know first, and what is said at its end."""

from collections.abc import Sequence

from shrinknets.limits import least_violating, missed_in_words
from shrinknets.wire import JobSpec, Trial
from worker.counting import make_fits
from worker.leases import JobLease
from worker.reading import get_dataset, iter_networks, iter_trials_if_there
from worker.search import JobSearch


def prepare_search(lease: JobLease, spec: JobSpec, trials: Sequence[Trial]) -> JobSearch:
    """The search of a claimed job, whose network is settled, where its trials left it."""
    job, client = lease.claim.job, lease.client
    fits = None
    if not spec.constraints.is_empty:
        fits = make_fits(spec, get_dataset(client, spec.dataset))
    # Those that end later must not be known after a restart, when they were not known before.
    earlier = [
        trial
        for job_id in spec.warm_start
        for trial in iter_trials_if_there(client, job_id)
        if trial.ended_at is not None and trial.ended_at <= job.created_at
    ]
    return JobSearch(spec, trials, fits=fits, earlier=earlier)


def outcome(lease: JobLease, search: JobSearch) -> str:
    """What is to be said about a job that succeeded; empty where nothing is."""
    notes = search.notes()
    limits = lease.claim.job.spec.constraints
    if not limits.is_empty:
        best = least_violating(iter_networks(lease.client, lease.claim.job.id), limits)
        if best is not None and (missed := missed_in_words(best, limits)):
            notes.append(f"no network keeps the limits; the least violating one has {missed}")
    return "; ".join(notes)

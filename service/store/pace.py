"""How long trials took that ended here, for telling how long others like them will take."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import median

from sqlalchemy import select

from service.store.tables import jobs, trials
from service.store.transactions import Reading
from shrinknets.wire import Method, TrialState

MAX_JOBS = 20
MAX_TRIALS = 500


def seconds_per_epoch(tx: Reading, dataset: str, family: str) -> Mapping[Method, float]:
    """The median of newer trials of a network family on a data set, by method, training alone.

    Epochs are those that the job asked for: a path trains for many times as many.
    """
    is_alike = jobs.c.spec["network"]["family"].as_string() == family
    alike = select(jobs.c.id).where(jobs.c.dataset == dataset, is_alike)
    newest = alike.order_by(jobs.c.seq.desc()).limit(MAX_JOBS)
    epochs = jobs.c.spec["training"]["epochs"].as_integer()
    query = (
        select(trials.c.method, trials.c.train_seconds / epochs)
        .join(jobs, jobs.c.id == trials.c.job_id)
        .where(trials.c.job_id.in_(newest), trials.c.state == TrialState.COMPLETE)
        .order_by(trials.c.seq.desc())
        .limit(MAX_TRIALS)
    )
    found: dict[Method, list[float]] = defaultdict(list)
    for method, seconds in tx.connection.execute(query):
        found[method].append(seconds)
    return {method: median(several) for method, several in found.items()}

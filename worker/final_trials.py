"""What a job still trains once its search is over and its network is chosen."""

import re
from collections import Counter
from collections.abc import Iterable

from shrinknets.wire import Chosen, JobSpec, Method, Params, Trial, TrialRequest
from worker.search import derive_seed

_SEARCHED = re.compile(r"lam|depth|width_\d+")
"""Parameters that led to the widths; all others belong to how a network is trained."""


def final_requests(
    spec: JobSpec, chosen: Chosen, source: Trial, trials: Iterable[Trial]
) -> list[TrialRequest]:
    """The trials that are to follow the choice, without those that are among `trials`.

    `source` is the trial that found the chosen network; of other trials of the search `trials` need
    have none.

    Numbers count on, so that a network that is chosen after others once were, as when failed trials
    are tried again, gets trials of its own.
    """
    known = list(trials)
    counts = Counter(trial.method for trial in known)
    wanted = _wanted(spec, chosen, source)
    requests = []
    for method, (number_wanted, params) in wanted.items():
        is_there = sum(_is_about(trial, method, chosen) for trial in known)
        for number in range(counts[method], counts[method] + number_wanted - is_there):
            seed = derive_seed(spec.seed, method, number, purpose="trial")
            requests.append(TrialRequest(method=method, number=number, params=params, seed=seed))
    return requests


def _wanted(spec: JobSpec, chosen: Chosen, source: Trial) -> dict[Method, tuple[int, Params]]:
    """How many trials of each method, and their parameters."""
    choice = spec.choice
    about: Params = {
        "network": chosen.network.id,
        "widths": list(chosen.network.widths),
        **{name: v for name, v in source.params.items() if not _SEARCHED.fullmatch(name)},
    }
    retrain: Params = {**about, "epochs": choice.retrain_epochs or spec.training.epochs}
    fine_tune: Params = {**about, "epochs": choice.fine_tune_epochs}
    return {
        Method.RETRAIN: (choice.retrain_seeds if choice.retrain else 0, retrain),
        Method.FINE_TUNE: (1 if choice.fine_tune_epochs > 0 else 0, fine_tune),
    }


def _is_about(trial: Trial, method: Method, chosen: Chosen) -> bool:
    return trial.method is method and trial.params.get("network") == chosen.network.id

"""Reads a job for its Optuna studies, one for each of its methods."""

from collections.abc import Iterable
from typing import Any

from shrinknets import wire
from shrinknets._findings import Findings
from shrinknets._study import (
    StudyError,
    build_study,
    checked_url,
    export_studies,
    load_optuna,
)

MAX_POINTS = 200
"""Of a curve in a list of trials."""


def study_of(job: Findings, method: str | None, *, with_size: bool) -> Any:
    """Make the study of one method of a job. Raises NoOptunaError, StudyError."""
    load_optuna()
    methods = list(job.info.spec.methods.chosen())
    if method not in methods and (method is not None or len(methods) > 1):
        wanted = "several methods" if method is None else f"no method {method!r}"
        raise StudyError(f"job {job.info.id} has {wanted}: name one of {', '.join(methods)}")
    trials = job.trials(curves=MAX_POINTS)
    networks = [network.info for network in job.networks()]
    one = wire.Method(method or methods[0])
    curves = _curves(job, [trial for trial in trials if trial.method is one])
    return build_study(job.info, one, trials, networks, curves, with_size=with_size)


def export(job: Findings, url: str, *, overwrite: bool) -> list[str]:
    """Write a study for each method of a job; returns their names.

    Raises NoOptunaError, StudyError.
    """
    checked_url(url)
    trials = job.trials(curves=MAX_POINTS)
    networks = [network.info for network in job.networks()]
    curves = _curves(job, [trial for trial in trials if trial.method.is_search])
    studies = [
        build_study(job.info, method, trials, networks, curves, with_size=False)
        for method in job.info.spec.methods.chosen()
    ]
    return export_studies(studies, url, overwrite=overwrite)


def _curves(job: Findings, trials: Iterable[wire.Trial]) -> dict[str, list[tuple[int, float]]]:
    """The validation accuracy of each epoch, of all trials by their ids.

    Curves come with the list of trials, a hundred at once. Only of a longer trial they are thinned
    there.
    """
    found = {}
    for trial in trials:
        curve = trial.curve
        if curve is not None and len(curve.step) == trial.epochs:
            found[trial.id] = list(zip(curve.step, curve.validation_accuracy, strict=True))
        else:
            found[trial.id] = [(one.step, one.validation_accuracy) for one in job.epochs(trial)]
    return found

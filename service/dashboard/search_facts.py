"""How a job searches, in few words for its page."""

from collections.abc import Iterator

from service.dashboard import words
from shrinknets.wire import Budget, Constraints, JobSpec, ObjectiveKind, PrunerKind, TerminatorKind


def search_facts(spec: JobSpec) -> list[tuple[str, str]]:
    """Labels and texts; what is as by default is left out, but for the sampler."""
    return [("Sampler", spec.sampler.value), *_chosen(spec)]


def _chosen(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.pruner.kind is not PrunerKind.NONE:
        yield "Pruner", spec.pruner.kind.value
    if (objective := spec.objective).kind is not ObjectiveKind.ACCURACY:
        size = f"accuracy and {objective.size.value}"
        mix = f"accuracy − {objective.weight:g} · log10({objective.size.value})"
        yield "Objective", size if objective.has_two else mix
    if limits := ", ".join(_limits(spec.constraints)):
        yield "Limits", limits
    if budget := ", ".join(_budget(spec.budget)):
        yield "Budget", budget
    if spec.repeats > 1:
        yield "Repeats", str(spec.repeats)
    if spec.terminator.kind is not TerminatorKind.NONE:
        yield "Enough", f"by {spec.terminator.kind.value}"
    if spec.warm_start:
        yield "Warm start", ", ".join(spec.warm_start)


def _limits(limits: Constraints) -> Iterator[str]:
    if limits.max_parameters is not None:
        yield f"{words.count(limits.max_parameters)} parameters"
    if limits.max_macs is not None:
        yield f"{words.count(limits.max_macs)} MACs"
    if limits.max_latency_ms is not None:
        yield f"{limits.max_latency_ms:g} ms"


def _budget(budget: Budget) -> Iterator[str]:
    if budget.trials is not None:
        yield f"{words.count(budget.trials)} trials"
    if budget.seconds is not None:
        yield words.seconds(budget.seconds)
    if budget.training_macs is not None:
        yield f"{budget.training_macs:.3g} MACs of training"

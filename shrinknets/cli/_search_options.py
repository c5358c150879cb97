"""Options of `shrinknets submit` about how a job searches."""

from typing import Annotated, Any

import typer

from shrinknets import wire

SamplerOption = Annotated[
    wire.Sampler | None, typer.Option(help="What proposes configurations. [default: tpe]")
]
PrunerOption = Annotated[
    wire.PrunerKind | None, typer.Option(help="Which trials are ended early. [default: none]")
]
ObjectiveOption = Annotated[
    wire.ObjectiveKind | None, typer.Option(help="What is aimed at. [default: accuracy]")
]
TerminatorOption = Annotated[
    wire.TerminatorKind | None, typer.Option(help="When a search is enough. [default: none]")
]
Repeats = Annotated[
    int | None, typer.Option(min=1, help="Trainings of each configuration. [default: 1]")
]
MaxParameters = Annotated[
    int | None, typer.Option(min=1, help="No network may have more weights and biases.")
]
MaxMacs = Annotated[
    int | None, typer.Option(min=1, help="Nor more multiply-accumulates for one example.")
]
MaxLatency = Annotated[
    float | None, typer.Option(help="Nor take longer for one example, in milliseconds.")
]
BudgetTrials = Annotated[int | None, typer.Option(min=1, help="So many trainings at most.")]
BudgetSeconds = Annotated[float | None, typer.Option(help="So many seconds of running at most.")]
BudgetMacs = Annotated[
    float | None, typer.Option(help="So many multiply-accumulates of training at most.")
]
WarmStart = Annotated[
    list[str] | None,
    typer.Option(metavar="JOB", help="Know the trials of this job from the start; once for each."),
]
RuleOption = Annotated[
    wire.ChoiceRule | None,
    typer.Option(help="How the job's network is chosen. [default: validation]"),
]
MinValidationAccuracy = Annotated[
    float | None, typer.Option(help="Choose a network of at least this share, 0 to 1.")
]
Retrain = Annotated[
    int | None,
    typer.Option(min=1, help="Train so many networks of the chosen widths from scratch too."),
]
FineTune = Annotated[
    int | None, typer.Option(min=1, help="Train the chosen network on for so many epochs.")
]


def limits_of(
    max_parameters: int | None, max_macs: int | None, max_latency_ms: float | None
) -> dict[str, float] | None:
    """Return what was given of the job's limits; None where there are none."""
    return _given(max_parameters=max_parameters, max_macs=max_macs, max_latency_ms=max_latency_ms)


def budget_of(
    trials: int | None, seconds: float | None, macs: float | None
) -> dict[str, float] | None:
    """Return what was given of the job's budget; None where there is none."""
    return _given(trials=trials, seconds=seconds, training_macs=macs)


def choice_of(
    rule: wire.ChoiceRule | None,
    min_validation_accuracy: float | None,
    retrain: int | None,
    fine_tune: int | None,
) -> dict[str, Any] | None:
    """Return what was given of how the job's network is chosen; None where nothing was."""
    seeds = {} if retrain is None else {"retrain": True, "retrain_seeds": retrain}
    accuracy = {"min_validation_accuracy": min_validation_accuracy}
    return _given(rule=rule, fine_tune_epochs=fine_tune, **accuracy, **seeds)


def _given(**options: Any) -> dict[str, Any] | None:
    return {name: value for name, value in options.items() if value is not None} or None

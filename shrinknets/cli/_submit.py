"""The command that queues a job."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shrinknets import wire
from shrinknets._client import Client
from shrinknets.cli import _search_options as options
from shrinknets.cli._jobs import AsJson, Url, print_json, print_line, wait_and_show


def submit(
    *,
    dataset: Annotated[
        str | None, typer.Option(help="digits, breast_cancer, wine, or an uploaded one.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="shrinknets, path, fixed or fixed_l2; may be given more than once. "
            "[default: shrinknets]"
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="For each method; path is one run. [default: 10]")
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(help="Of the network, such as lenet5 or resnet20. [default: mlp]"),
    ] = None,
    width: Annotated[
        list[int] | None,
        typer.Option(
            help="Most units or channels of a layer; once for each layer, input side first. "
            "[default: the family's own; 256, 256 for mlp]"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each trial. [default: 60]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step. [default: 64]")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's step size. [default: 0.001]")] = None,
    trial_seconds: Annotated[
        float | None, typer.Option(help="Stop a trial that takes longer. [default: no limit]")
    ] = None,
    precision: Annotated[
        wire.Precision | None, typer.Option(help="Of products in training. [default: fp32]")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile networks whose size stays.")
    ] = False,
    export: Annotated[
        list[wire.ExportFormat] | None,
        typer.Option(help="Store the best networks of each trial as this too; once for each."),
    ] = None,
    sampler: options.SamplerOption = None,
    pruner: options.PrunerOption = None,
    objective: options.ObjectiveOption = None,
    terminator: options.TerminatorOption = None,
    repeats: options.Repeats = None,
    max_parameters: options.MaxParameters = None,
    max_macs: options.MaxMacs = None,
    max_latency_ms: options.MaxLatency = None,
    budget_trials: options.BudgetTrials = None,
    budget_seconds: options.BudgetSeconds = None,
    budget_macs: options.BudgetMacs = None,
    warm_start: options.WarmStart = None,
    rule: options.RuleOption = None,
    min_validation_accuracy: options.MinValidationAccuracy = None,
    retrain: options.Retrain = None,
    fine_tune: options.FineTune = None,
    seed: Annotated[
        int | None, typer.Option(help="Settles everything that is drawn. [default: 0]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="KEY:VALUE, to find it by; once for each."),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=-100, max=100, help="Higher ones run first. [default: 0]")
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A JSON file with the whole job instead."),
    ] = None,
    url: Url = None,
    watching: Annotated[bool, typer.Option("--watch", help="Wait for the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a sizing job and print its id."""
    training = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "precision": precision,
        "compile": compiled or None,
    }
    limits = options.limits_of(max_parameters, max_macs, max_latency_ms)
    budget = options.budget_of(budget_trials, budget_seconds, budget_macs)
    choice = options.choice_of(rule, min_validation_accuracy, retrain, fine_tune)
    kinds = (sampler, pruner, objective, terminator, repeats, limits, budget, warm_start, choice)
    with Client(url) as client:
        if spec is not None:
            others = (dataset, method, trials, family, width, export, trial_seconds)
            steering = (seed, name, label, priority)
            if any(map(_is_given, (*others, *kinds, *steering, *training.values()))):
                raise typer.BadParameter(
                    "the file holds the whole job: leave the other options out"
                )
            job = client.submit_body(_read_json(spec))
        else:
            job = client.submit(
                dataset=dataset,
                methods=method or ["shrinknets"],
                trials=trials,
                family=family,
                widths=width,
                training={k: v for k, v in training.items() if v is not None} or None,
                sampler=sampler,
                pruner=pruner,
                objective=objective,
                terminator=terminator,
                repeats=repeats,
                constraints=limits,
                budget=budget,
                warm_start=warm_start or (),
                trial_seconds=trial_seconds,
                exports=export or (),
                choice=choice,
                seed=0 if seed is None else seed,
                name=name or "",
                labels=_read_labels(label or []) or None,
                priority=priority,
            )
        if watching:
            wait_and_show(client, job, as_json=as_json)
        elif as_json:
            print_json(job.info)
        else:
            print_line(job.id)
            sys.stderr.write(f"{client.url}/jobs/{job.id}\n")


def _is_given(option: object) -> bool:
    # Of an option that may be given more than once there is a list, empty where it is not.
    return option is not None and option != []


def _read_labels(labels: list[str]) -> dict[str, str]:
    pairs = [label.partition(":")[::2] for label in labels]
    read = dict(pairs)
    if len(read) < len(pairs):
        raise typer.BadParameter("give each key once", param_hint="--label")
    return read


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--spec") from error

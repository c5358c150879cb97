"""The commands about jobs, from their submission to their networks."""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shrinknets import wire
from shrinknets._client import Client
from shrinknets._job import Job
from shrinknets.cli import _search_options as options
from shrinknets.frontier import frontier
from shrinknets.report import choice_lines, frontier_table, method_table, summarise

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="SHRINKNETS_URL", help="Service; default http://127.0.0.1:8000."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


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
    rule: Annotated[
        wire.ChoiceRule | None,
        typer.Option(help="How the job's network is chosen. [default: validation]"),
    ] = None,
    retrain: Annotated[
        int | None,
        typer.Option(min=1, help="Train so many networks of the chosen widths from scratch too."),
    ] = None,
    fine_tune: Annotated[
        int | None, typer.Option(min=1, help="Train the chosen network on for so many epochs.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Settles everything that is drawn.")] = 0,
    name: Annotated[str, typer.Option(help="For people.")] = "",
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
    choice = options.choice_of(rule, retrain, fine_tune)
    kinds = (sampler, pruner, objective, terminator, repeats, limits, budget, warm_start, choice)
    with Client(url) as client:
        if spec is not None:
            others = (dataset, method, trials, family, width, export, label, priority)
            if any((*others, *kinds, trial_seconds, *training.values())):
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
                seed=seed,
                name=name,
                labels=_read_labels(label or []) or None,
                priority=priority,
            )
        if watching:
            _wait_and_show(client, job, as_json=as_json)
        elif as_json:
            print_json(job.info)
        else:
            print_line(job.id)
            sys.stderr.write(f"{client.url}/jobs/{job.id}\n")


def watch(job: JobId, url: Url = None, *, as_json: AsJson = False) -> None:
    """Show a job's progress until it ends, then its result."""
    with Client(url) as client:
        _wait_and_show(client, client.job(job), as_json=as_json)


def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    state: Annotated[
        list[wire.JobState] | None,
        typer.Option(help="Only those in this state; may be given more than once."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only those with this label, KEY or KEY:VALUE.")
    ] = None,
    sort: Annotated[
        wire.JobSort, typer.Option(help="The order; a - turns it round.")
    ] = wire.JobSort.CREATED_DESC,
    url: Url = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    with Client(url) as client:
        found = client.jobs(state=state or (), label=label or (), sort=sort)
        infos = [job.info for job in itertools.islice(found, limit)]
    if as_json:
        print_json(infos)
        return
    if not infos and (state or label):
        print_line("no such jobs")
        return
    if not infos:
        print_line("no jobs yet: `shrinknets submit --dataset digits --method path` queues one")
        return
    table = Table("job", "state", "name", "data", "trials", "best", "created", box=SIMPLE_HEAD)
    for column in table.columns:
        column.no_wrap = column.header != "name"
    for info in infos:
        done, accuracy = info.progress, info.progress.best_validation_accuracy
        table.add_row(
            info.id,
            info.state.value,
            Text(info.name),
            info.spec.dataset,
            f"{done.ended}/{done.total}",
            "–" if accuracy is None else f"{accuracy:.1%}",
            f"{info.created_at.astimezone():%m-%d %H:%M}",
        )
    Console().print(table)


def show(job: JobId, url: Url = None, *, as_json: AsJson = False) -> None:
    """Show a job's state, its methods and its frontier."""
    with Client(url) as client:
        _show(client, client.job(job), as_json=as_json)


def cancel(job: JobId, url: Url = None, *, as_json: AsJson = False) -> None:
    """Stop a job; its finished trials stay."""
    with Client(url) as client:
        info = client.job(job).cancel().info
    if as_json:
        print_json(info)
    else:
        print_line(f"{info.id} {info.state}" + ("" if info.state.is_final else ", stopping"))


def pause(job: JobId, url: Url = None, *, as_json: AsJson = False) -> None:
    """Let a job's worker go until it is resumed; running trials will start anew."""
    with Client(url) as client:
        info = client.job(job).pause().info
    if as_json:
        print_json(info)
    else:
        is_asked = info.state is wire.JobState.RUNNING
        print_line(f"{info.id} {info.state}" + (", pausing" if is_asked else ""))


def resume(job: JobId, url: Url = None, *, as_json: AsJson = False) -> None:
    """Put a paused job back into the queue."""
    with Client(url) as client:
        info = client.job(job).resume().info
    if as_json:
        print_json(info)
    else:
        print_line(f"{info.id} {info.state}")


def delete(job: JobId, url: Url = None) -> None:
    """Delete a job with its trials, networks and files; one that runs must be cancelled first."""
    with Client(url) as client:
        client.job(job).delete()
    print_line(f"{job} deleted")


def _wait_and_show(client: Client, job: Job, *, as_json: bool) -> None:
    try:
        job.wait(progress=not as_json)
    except KeyboardInterrupt:
        sys.stderr.write(f"{job.id} goes on; stop it with `shrinknets cancel {job.id}`\n")
        raise typer.Exit(130) from None
    _show(client, job, as_json=as_json)


def _show(client: Client, job: Job, *, as_json: bool) -> None:
    networks = [network.info for network in job.networks()]
    chosen = job.choice() if any(network.method.is_search for network in networks) else None
    if as_json:
        shown = {"job": job.info, "choice": chosen, "frontier": frontier(networks)}
        print_json(shown)
        return
    console = Console()
    reason = f" ({job.info.reason})" if job.info.reason else ""
    console.print(f"{job.id} {job.state}{reason}", markup=False, highlight=False)
    console.print(method_table(summarise(job.trials(), networks)))
    console.print(frontier_table(networks) if networks else "no network so far")
    for line in [] if chosen is None else choice_lines(chosen):
        console.print(line, markup=False, highlight=False)
    console.print(f"{client.url}/jobs/{job.id}", markup=False)


def _read_labels(labels: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (label.partition(":") for label in labels)}


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--spec") from error


def print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def print_json(value: object) -> None:
    print_line(TypeAdapter(Any).dump_json(value, indent=2).decode())

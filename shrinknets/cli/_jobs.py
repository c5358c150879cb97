"""The commands about jobs that were submitted."""

import itertools
import sys
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
from shrinknets.frontier import frontier
from shrinknets.report import choice_lines, frontier_table, method_table, summarise

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="SHRINKNETS_URL", help="Service; default http://127.0.0.1:8000."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


def watch(job: JobId, url: Url = None, *, as_json: AsJson = False) -> None:
    """Show a job's progress until it ends, then its result."""
    with Client(url) as client:
        wait_and_show(client, client.job(job), as_json=as_json)


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
    """Let a job's worker go until it is resumed; running trials go on where they were."""
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


def wait_and_show(client: Client, job: Job, *, as_json: bool) -> None:
    """Show progress, and the result at the end; Ctrl-C leaves the job to itself."""
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


def print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def print_json(value: object) -> None:
    print_line(TypeAdapter(Any).dump_json(value, indent=2).decode())

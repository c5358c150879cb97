"""The commands about data sets."""

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shrinknets import wire
from shrinknets._client import Client
from shrinknets._dataset import Dataset
from shrinknets.cli._jobs import AsJson, Url, print_json

app = typer.Typer(
    name="datasets",
    help="List, show, upload and delete data sets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The data set's name.")]


@app.command("list")
def list_datasets(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    source: Annotated[
        wire.DatasetSource | None,
        typer.Option(help="Only those that every worker has, or only uploaded ones."),
    ] = None,
    text: Annotated[str, typer.Option(help="Only those with this in their name.")] = "",
    sort: Annotated[
        wire.DatasetSort, typer.Option(help="The order; a - turns it round.")
    ] = wire.DatasetSort.CREATED_DESC,
    url: Url = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List data sets, the newest first."""
    with Client(url) as client:
        found = client.datasets(source=source, text=text, sort=sort)
        infos = [dataset.info for dataset in itertools.islice(found, limit)]
    if as_json:
        print_json(infos)
        return
    if not infos:
        sys.stdout.write("no such data sets\n")
        return
    table = Table("name", "rows", "row", "classes", "kind", "bytes", "owner", box=SIMPLE_HEAD)
    for info in infos:
        table.add_row(
            info.name,
            f"{info.rows:,}",
            _shape(info),
            str(info.num_classes),
            info.dtype,
            "–" if info.size_bytes is None else f"{info.size_bytes:,}",
            Text(info.owner),
        )
    Console().print(table)


@app.command()
def show(name: Name, url: Url = None, *, as_json: AsJson = False) -> None:
    """Show a data set, the rows of each class and the jobs that use it."""
    with Client(url) as client:
        dataset = client.dataset(name)
    info = dataset.info
    assert isinstance(info, wire.DatasetDetails), "it was read by itself"
    if as_json:
        print_json(info)
        return
    own_test = "" if info.test_rows is None else f" and {info.test_rows:,} of its own for the test"
    counts = ", ".join(str(count) for count in info.class_counts[:20])
    more = ", …" if len(info.class_counts) > 20 else ""
    lines = [
        f"{info.name} ({info.source.value})",
        f"rows: {info.rows:,} of {_shape(info)} {info.dtype}{own_test}",
        f"classes: {info.num_classes}, with {counts}{more} rows",
        *([f"file: {info.size_bytes:,} bytes, SHA-256 {info.sha256}"] if info.sha256 else []),
        f"jobs: {info.num_jobs} {', '.join(info.jobs)}".rstrip(),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


@app.command()
def upload(
    path: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A .npz file with x and y.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Under which jobs name it; default: that of the file.")
    ] = None,
    url: Url = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Upload a .npz file with the arrays x and y, so that jobs can train on it."""
    with Client(url) as client:
        dataset = client.upload_dataset(path, name=name or path.stem, progress=not as_json)
    _print(dataset, as_json=as_json)


@app.command()
def delete(name: Name, url: Url = None) -> None:
    """Delete a data set that no job uses."""
    with Client(url) as client:
        client.dataset(name).delete()
    sys.stdout.write(f"{name} deleted\n")


def _print(dataset: Dataset, *, as_json: bool) -> None:
    if as_json:
        print_json(dataset.info)
    else:
        info = dataset.info
        sys.stdout.write(f"{info.name}: {info.rows:,} rows, {info.num_classes} classes\n")


def _shape(info: wire.Dataset) -> str:
    return "×".join(str(size) for size in info.input_shape)

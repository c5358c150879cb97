"""The commands that write and read Optuna studies."""

from typing import Annotated

import typer

from shrinknets._client import Client
from shrinknets._study import study_points
from shrinknets.cli._jobs import AsJson, JobId, Url, print_json, print_line

Storage = Annotated[
    str, typer.Argument(metavar="STORAGE", help="A storage of Optuna's, such as sqlite:///x.db.")
]


def export_study(
    job: JobId,
    storage: Storage,
    url: Url = None,
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace studies that were exported before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a job's trials as Optuna studies, one for each method; optuna-dashboard opens them."""
    with Client(url) as client:
        names = client.job(job).export_study(storage, overwrite=overwrite)
    if as_json:
        print_json({"storage": storage, "studies": names})
        return
    for name in names:
        print_line(name)


def import_study(
    storage: Storage,
    name: Annotated[
        str | None, typer.Option(help="The study's; may be left out where there is one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, the best.")] = None,
) -> None:
    """Print the parameters of a study's complete trials as JSON, the best first."""
    print_json(study_points(storage, name)[:limit])

"""The commands put together, and every error as one line on standard error."""

import sys

import typer

from shrinknets._errors import InvalidInputError, JobNotSucceededError, ShrinkNetsError
from shrinknets.cli import _datasets, _jobs, _outputs, _processes, _reruns, _studies, _submit

app = typer.Typer(
    help="ShrinkNets finds the right size of a neural network while it trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    _processes.serve,
    _processes.worker,
    _processes.gc,
    _submit.submit,
    _jobs.watch,
    _jobs.list_jobs,
    _jobs.show,
    _jobs.cancel,
    _jobs.pause,
    _jobs.resume,
    _jobs.delete,
    _outputs.download,
    _outputs.logs,
    _reruns.rerun,
    _studies.export_study,
    _studies.import_study,
):
    app.command(name=command.__name__.removesuffix("_jobs").replace("_", "-"))(command)
app.add_typer(_datasets.app)

# Its options are those of the service's own command, which has the database.
app.command(
    name="keys",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(_processes.keys)


def main() -> None:
    """Run the command line; exit status 1 for a failure, 2 for wrong input."""
    try:
        app()
    except JobNotSucceededError as error:
        _fail(str(error), status=1)
    except InvalidInputError as error:
        _fail(str(error), status=2)
    except (ShrinkNetsError, OSError) as error:
        _fail(str(error), status=1)


def _fail(message: str, *, status: int) -> None:
    sys.stderr.write(f"shrinknets: {message}\n")
    sys.exit(status)

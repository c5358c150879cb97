"""The live progress bar of a job, on standard error."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from shrinknets import wire


class JobProgress:
    """Shows trials done, the best accuracy so far, units alive and the time left.

    Args:
        enabled: without, nothing is shown.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("best {task.fields[best]}{task.fields[units]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not enabled,
        )
        self._task = self._progress.add_task("", total=None, best="–", units="")

    def show(self, job: wire.Job) -> None:
        """Draw the job as it stands."""
        progress = job.progress
        best, units = progress.best_validation_accuracy, progress.alive_units
        self._progress.update(
            self._task,
            description=job.state.value,
            total=progress.total,
            completed=progress.ended,
            best="–" if best is None else f"{best:.1%}",
            units="" if units is None else f" · {units} units alive",
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

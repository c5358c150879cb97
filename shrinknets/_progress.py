"""Live progress bars, of a job and of an upload, on standard error."""

from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from shrinknets import wire

PART_BYTES = 2**18


class _Shown:
    """Draws its progress for as long as the block runs."""

    _progress: Progress

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


class JobProgress(_Shown):
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


class UploadProgress(_Shown):
    """Shows how much of a file has been sent, and how fast.

    Args:
        name: shown beside the bar.
        size_bytes: of the file.
        enabled: without, nothing is shown.
    """

    def __init__(self, name: str, size_bytes: int, *, enabled: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not enabled,
        )
        self._task = self._progress.add_task(name, total=size_bytes)

    def watched(self, file: IO[bytes]) -> Iterator[bytes]:
        """Yield the file's content in parts, and show how far it has come."""
        while part := file.read(PART_BYTES):
            yield part
            self._progress.advance(self._task, len(part))

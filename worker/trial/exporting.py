"""Exports the best networks of a trial at its end; an export that fails never fails the trial."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from tempfile import NamedTemporaryFile

from torch import nn

from shrinknets.frontier import frontier
from shrinknets.wire import ExportFormat, NetworkExport, NetworkResult, Order
from shrinknets_core import (
    ExportError,
    Format,
    TrainedNetwork,
    export_network,
    load_network,
    probe_of,
)
from worker.trial.reporter import Reporter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A network that was handed in by this process or by one before it, and its file."""

    result: NetworkResult
    network: TrainedNetwork | None = None
    saved: bytes | None = None
    fetch: Callable[[], bytes] | None = None
    """Gets the file, where a process before this one handed it in."""

    def opened(self) -> tuple[nn.Module, bytes]:
        """The module and its file."""
        if self.network is not None and self.saved is not None:
            return self.network.module, self.saved
        assert self.fetch is not None
        saved = self.fetch()
        with NamedTemporaryFile(suffix=".safetensors") as file:
            file.write(saved)
            file.flush()
            return load_network(file.name), saved


def with_exports(
    found: Sequence[Found], formats: Iterable[ExportFormat], reporter: Reporter
) -> list[NetworkResult]:
    """The results of all networks, those on the trial's frontier with their exports handed in."""
    chosen = {result.weights_sha256 for result in frontier(one.result for one in found)}
    wanted = tuple(formats)
    return [
        _with_exports(one, wanted, reporter) if one.result.weights_sha256 in chosen else one.result
        for one in found
    ]


def _with_exports(
    found: Found, formats: tuple[ExportFormat, ...], reporter: Reporter
) -> NetworkResult:
    exports = tuple(_export(found, one, reporter) for one in formats)
    return found.result.model_copy(update={"exports": exports})


def _export(found: Found, wanted: ExportFormat, reporter: Reporter) -> NetworkExport:
    if reporter.order is not Order.CONTINUE:
        return NetworkExport(format=wanted, reason="the trial was told to stop before its export")
    started = time.monotonic()
    widths = "-".join(map(str, found.result.widths))
    module, saved = found.opened()
    try:
        content = export_network(module, Format(wanted.value), rows=probe_of(saved))
    except ExportError as error:
        _log.warning("network %s: %s", widths, error)
        return NetworkExport(format=wanted, reason=error.reason)
    seconds = time.monotonic() - started
    _log.info("network %s: %s of %d bytes in %.1f s", widths, wanted.value, len(content), seconds)
    return NetworkExport(format=wanted, sha256=reporter.upload(content), bytes=len(content))

"""Which network families trials here can build: asked of a process that may load their code."""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from pydantic import TypeAdapter, ValidationError

from shrinknets.wire import MLP, FamilyLayer, FamilyOffer, JobSpec, WrongFieldError, settled
from worker.engines.forkserver import die_with_parent
from worker.errors import UnsuitableJobError

SECONDS = 120.0
"""A machine where all cores are busy takes half a minute to import torch."""

_LOOK_SECONDS = 0.05

_Offers = TypeAdapter(tuple[FamilyOffer, ...])
_log = logging.getLogger(__name__)


def list_families() -> tuple[FamilyOffer, ...] | None:
    """What can be built here, in a few seconds; None where that can't be found out.

    This process loads neither torch nor anybody's networks.
    """
    command = [sys.executable, "-m", "worker.families", "--parent", str(os.getpid())]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=SECONDS,
            check=True,
            # Ctrl-C in a terminal is for the worker.
            start_new_session=True,
        )
        return _Offers.validate_json(done.stdout)
    except (OSError, subprocess.SubprocessError, ValidationError) as error:
        _log.warning("which network families there are could not be found out: %s", error)
        return None


class FamilyListing:
    """Finds out what can be built here while the worker does something else."""

    def __init__(self) -> None:
        self.families: tuple[FamilyOffer, ...] | None = None
        self._thread = threading.Thread(target=self._list, name="families", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _list(self) -> None:
        self.families = list_families()


def settled_here(
    spec: JobSpec, *, meanwhile: Callable[[], object]
) -> tuple[JobSpec, FamilyOffer | None]:
    """The job with the bounds of its family filled in, and the family; None for perceptrons.

    `meanwhile` is called again and again while that is found out. Raises UnsuitableJobError where
    trials here could not build such networks.
    """
    name = spec.network.family
    if name == MLP:
        return spec, None
    listing = FamilyListing()
    while not listing.is_over:
        meanwhile()
        time.sleep(_LOOK_SECONDS)
    families = {offer.name: offer for offer in listing.families or ()}
    if name not in families:
        raise UnsuitableJobError(
            f"this worker has no network family {name!r}, it has {', '.join(families) or 'none'}: "
            "install the package that has it where the worker runs"
        )
    try:
        return settled(spec, families[name]), families[name]
    except WrongFieldError as error:
        raise UnsuitableJobError(str(error)) from error


def describe_families() -> tuple[FamilyOffer, ...]:
    """Load all families, built in and installed; leaves out, with a line, those that are broken."""
    from shrinknets_core.families import family_names  # noqa: PLC0415  (never in the worker itself)

    return tuple(offer for name in family_names() if (offer := _describe(name)) is not None)


def _describe(name: str) -> FamilyOffer | None:
    from shrinknets_core.families import Layer, get_family  # noqa: PLC0415

    def layer(one: Layer) -> FamilyLayer:
        return FamilyLayer(name=one.name, full=one.full, least=one.least)

    try:
        family = get_family(name)
        return FamilyOffer(
            name=family.name,
            layers=tuple(layer(one) for one in family.layers),
            repeated=None if family.repeated is None else layer(family.repeated),
            repeats=family.repeats,
            image_side=family.image_side,
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever the code of others does)
        sys.stderr.write(f"network family {name!r} is left out: {error}\n")
        return None


@contextlib.contextmanager
def _output_kept_clean() -> Iterator[int]:
    """Lead all that is printed, by other people's code too, to standard error; gives the output."""
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield output
    finally:
        os.close(output)


def main() -> None:
    """Print what can be built here as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    die_with_parent(parser.parse_args().parent)
    with _output_kept_clean() as output:
        content = _Offers.dump_json(describe_families())
        with os.fdopen(os.dup(output), "wb") as file:
            file.write(content)


if __name__ == "__main__":
    main()

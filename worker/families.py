"""Which network families trials here can build: told by a process that may load their code."""

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from shrinknets.wire import MLP, FamilyLayer, FamilyOffer, JobSpec, WrongFieldError, settled
from worker.engines.parents import die_with_parent
from worker.errors import UnsuitableJobError

SECONDS = 120.0
"""A machine where all cores are busy takes half a minute to import torch."""

_LOOK_SECONDS = 0.05
_log = logging.getLogger(__name__)


class FoundFamilies(BaseModel):
    """What can be built on a machine."""

    offers: tuple[FamilyOffer, ...]
    left_out: tuple[str, ...]
    """A line for each that is broken."""


class FamilyListing:
    """What another process writes to a file with `write_families`, a while after the start.

    This process loads neither torch nor anybody's networks.
    """

    def __init__(self, path: Path, *, seconds: float = SECONDS) -> None:
        """What is at `path` from before is removed."""
        path.unlink(missing_ok=True)
        self.path = path
        self._deadline = time.monotonic() + seconds
        self._families: tuple[FamilyOffer, ...] | None = None
        self._is_over = False

    @property
    def families(self) -> tuple[FamilyOffer, ...] | None:
        """What can be built; None while it is not known, and where it can't be found out."""
        self._look()
        return self._families

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be found out."""
        self._look()
        return self._is_over

    def _look(self) -> None:
        if self._is_over:
            return
        try:
            found = FoundFamilies.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            self._is_over = time.monotonic() > self._deadline
            if self._is_over:
                _log.warning("which network families there are could not be found out")
        except (OSError, ValidationError) as error:
            self._is_over = True
            _log.warning("which network families there are could not be found out: %s", error)
        else:
            self._is_over = True
            self._families = found.offers
            for line in found.left_out:
                _log.warning("%s", line)


def settled_here(
    spec: JobSpec, listing: FamilyListing, *, meanwhile: Callable[[], object]
) -> tuple[JobSpec, FamilyOffer | None]:
    """The job with the bounds of its family filled in, and the family; None for perceptrons.

    `meanwhile` is called again and again until the listing is over. Raises UnsuitableJobError
    where trials here could not build such networks.
    """
    name = spec.network.family
    if name == MLP:
        return spec, None
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


def find_families() -> FoundFamilies:
    """Load all families, built in and installed, with torch and with the code of others."""
    from shrinknets_core.families import family_names  # noqa: PLC0415  (never in the worker itself)

    found = [_describe(name) for name in family_names()]
    return FoundFamilies(
        offers=tuple(one for one in found if isinstance(one, FamilyOffer)),
        left_out=tuple(one for one in found if isinstance(one, str)),
    )


def write_families(path: Path) -> None:
    """Write what can be built here for a FamilyListing, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(find_families().model_dump_json())
    part.replace(path)


def _describe(name: str) -> FamilyOffer | str:
    """A family, or why there is none."""
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
        return f"network family {name!r} is left out: {error}"


def main() -> None:
    """Write what can be built here to the file that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    options = parser.parse_args()
    die_with_parent(options.parent)
    write_families(options.file)


if __name__ == "__main__":
    main()

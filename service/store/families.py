"""The network families that workers offer, and whether a job asks for one of them."""

from collections.abc import Collection, Iterable, Sequence

from pydantic import TypeAdapter
from sqlalchemy import select

from service.errors import InvalidInputError
from service.store.clock import now
from service.store.datasets import require_dataset
from service.store.tables import workers
from service.store.transactions import Reading
from shrinknets.wire import MLP, FamilyOffer, JobSpec, WrongFieldError, settled

ALIVE_SECONDS = 300.0
"""Who was heard of within this time may come back, after a restart too."""

_Offers = TypeAdapter(tuple[FamilyOffer, ...])


def list_families(tx: Reading) -> list[FamilyOffer]:
    """What the workers heard of lately can build, each once; what the newest says counts."""
    return list(_offers(tx)[0].values())


def settle(tx: Reading, spec: JobSpec) -> JobSpec:
    """The job with its family's own bounds filled in, where a worker told them.

    A job is taken as it is where no worker is there, or one did not say what it can build: it fails
    later where its workers can't build it.

    Raises InvalidInputError where no worker that is there could run it.
    """
    if spec.network.family == MLP:
        return spec
    offers, all_told = _offers(tx)
    if spec.network.family not in offers:
        if not offers or not all_told:
            return spec
        allowed = f"one that a worker here has: {', '.join(offers)}"
        raise InvalidInputError("network.family", spec.network.family, allowed)
    shape = require_dataset(tx, spec.dataset).input_shape
    try:
        return settled(spec, offers[spec.network.family], input_shape=shape)
    except WrongFieldError as error:
        raise InvalidInputError(error.field, error.given, error.allowed) from error


def unoffered(tx: Reading, names: Collection[str]) -> set[str]:
    """Those of some families that none of the workers that are there can build.

    None of them where no worker is there, or one did not say what it can build.
    """
    if not names:
        return set()
    offers, all_told = _offers(tx)
    return set(names) - offers.keys() if offers and all_told else set()


def width_names(tx: Reading, spec: JobSpec) -> tuple[str, ...]:
    """What its family calls the layer of each width; empty where no worker ever told."""
    query = select(workers.c.families).where(workers.c.families.is_not(None))
    newest = query.order_by(workers.c.last_seen_at.desc())
    offer = _first_of_each(tx.connection.execute(newest).scalars()).get(spec.network.family)
    widths = spec.network.widths
    if offer is None or widths is None:
        return ()
    names = offer.width_names(len(widths))
    return names if len(names) == len(widths) else ()


def _offers(tx: Reading) -> tuple[dict[str, FamilyOffer], bool]:
    """The offers by name, and whether all who are there told theirs."""
    is_there = workers.c.last_seen_at >= now(plus_seconds=-ALIVE_SECONDS)
    query = select(workers.c.families).where(is_there).order_by(workers.c.last_seen_at.desc())
    told: Sequence[object] = tx.connection.execute(query).scalars().all()
    return _first_of_each(told), None not in told


def _first_of_each(told: Iterable[object]) -> dict[str, FamilyOffer]:
    offers: dict[str, FamilyOffer] = {}
    for families in told:
        for offer in () if families is None else _Offers.validate_python(families):
            offers.setdefault(offer.name, offer)
    return offers

"""Networks: what trials found, and the files with their weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import InvalidInputError, NotFoundError
from service.store.clock import now
from service.store.exports import add_exports, read_exports
from service.store.ids import Kind, new_id
from service.store.jobs import get_row as get_job_row
from service.store.paging import Slice, Sort, read_page, read_sorted_page
from service.store.rows import build
from service.store.tables import artifacts, networks, trials
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial
from shrinknets.wire import Method, Network, NetworkResult, NetworkSort, Page

_COLUMNS = {
    "found": networks.c.seq,
    **{
        name: networks.c[name]
        for name in ("parameters", "macs", "validation_accuracy", "test_accuracy")
    },
}


@dataclass(frozen=True, kw_only=True)
class NetworkFilter:
    """Which networks are asked for: those that meet all that is named."""

    method: Method | None = None
    max_parameters: int | None = None
    max_macs: int | None = None
    min_validation_accuracy: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found = []
        if self.method is not None:
            found.append(trials.c.method == self.method)
        if self.max_parameters is not None:
            found.append(networks.c.parameters <= self.max_parameters)
        if self.max_macs is not None:
            found.append(networks.c.macs <= self.max_macs)
        if self.min_validation_accuracy is not None:
            found.append(networks.c.validation_accuracy >= self.min_validation_accuracy)
        return found


def add_networks(tx: Writing, job_id: str, trial_id: str, found: Sequence[NetworkResult]) -> None:
    """Keep what a trial found. Raises InvalidInputError where a file was not handed in."""
    wanted = {sha256: field for place, n in enumerate(found) for field, sha256 in _files(place, n)}
    require_files(tx, wanted)
    ids = [new_id(Kind.NETWORK) for _ in found]
    named = list(zip(ids, found, strict=True))
    tx.connection.execute(
        insert(networks),
        [
            {
                "id": network_id,
                "job_id": job_id,
                "trial_id": trial_id,
                **network.model_dump(exclude={"exports"}),
            }
            for network_id, network in named
        ],
    )
    add_exports(tx, job_id, {network_id: network.exports for network_id, network in named})
    tx.tell("networks", job_id=job_id, trial_id=trial_id)


def get_network(tx: Reading, network_id: str) -> Network:
    """Raises NotFoundError."""
    row = tx.connection.execute(_query().where(networks.c.id == network_id)).one_or_none()
    if row is None:
        raise NotFoundError("network", network_id)
    return _builder(tx)([row])[0]


def get_networks(tx: Reading, ids: Sequence[str]) -> dict[str, Network]:
    """Those of these networks that there are, by id."""
    rows = tx.connection.execute(_query().where(networks.c.id.in_(set(ids)))).all()
    return {network.id: network for network in _builder(tx)(rows)}


def list_networks_of_job(tx: Reading, job_id: str, part: Slice) -> Page[Network]:
    """A page of what a job found, in the order of finding. Raises NotFoundError."""
    get_job_row(tx, job_id)
    query = _query().where(networks.c.job_id == job_id)
    return read_page(tx, query, key=networks.c.seq, part=part, build=_builder(tx))


def list_networks_of_trial(tx: Reading, trial_id: str, part: Slice) -> Page[Network]:
    """A page of what a trial found, in the order of finding. Raises NotFoundError."""
    get_trial(tx, trial_id)
    query = _query().where(networks.c.trial_id == trial_id)
    return read_page(tx, query, key=networks.c.seq, part=part, build=_builder(tx))


def list_networks(
    tx: Reading, part: Slice, *, which: NetworkFilter, sort: NetworkSort
) -> Page[Network]:
    """A page of the networks of all jobs. Raises InvalidInputError."""
    query = _query().where(*which.conditions())
    order = Sort.read(sort, _COLUMNS)
    return read_sorted_page(
        tx, query, key=networks.c.seq, sort=order, part=part, build=_builder(tx)
    )


def read_frontier(
    tx: Reading, job_id: str, *, max_parameters: int | None = None, max_macs: int | None = None
) -> Page[Network]:
    """The networks of a job that no other of those within the limits beats, smallest first.

    The same as `shrinknets.frontier` finds: of networks that tie in both, the first counts.
    Raises NotFoundError.
    """
    get_job_row(tx, job_id)
    which = NetworkFilter(max_parameters=max_parameters, max_macs=max_macs)
    ids = _frontier_ids(networks.c.job_id == job_id, *which.conditions())
    query = _query().where(networks.c.id.in_(ids)).order_by(networks.c.parameters)
    return Page(items=_builder(tx)(tx.connection.execute(query).all()))


def read_frontiers(tx: Reading, job_ids: Sequence[str]) -> dict[str, list[Network]]:
    """The frontier of each of these jobs that has networks, smallest first."""
    ids = _frontier_ids(networks.c.job_id.in_(job_ids))
    query = _query().where(networks.c.id.in_(ids)).order_by(networks.c.parameters)
    frontiers: dict[str, list[Network]] = {}
    for network in _builder(tx)(tx.connection.execute(query).all()):
        frontiers.setdefault(network.job_id, []).append(network)
    return frontiers


def _frontier_ids(*which: ColumnElement[bool]) -> Select[tuple[str]]:
    """Selects the networks that no smaller one of the same job reaches in validation accuracy."""
    accuracy = networks.c.validation_accuracy
    smaller = func.max(accuracy).over(
        partition_by=networks.c.job_id,
        order_by=(networks.c.parameters, accuracy.desc(), networks.c.seq),
        rows=(None, -1),
    )
    ranked = select(networks.c.id, accuracy, smaller.label("reached")).where(*which).subquery()
    is_best = or_(ranked.c.reached.is_(None), ranked.c.validation_accuracy > ranked.c.reached)
    return select(ranked.c.id).where(is_best)


def has_file(tx: Reading, sha256: str) -> bool:
    """Whether a file was handed in."""
    query = select(func.count()).where(artifacts.c.sha256 == sha256)
    return bool(tx.connection.execute(query).scalar_one())


def note_file(tx: Writing, sha256: str, *, size_bytes: int) -> None:
    """Note that a file was handed in; once more makes it new again, so that it is kept."""
    if not touch_file(tx, sha256) and not hold_file(tx, sha256, size_bytes=size_bytes):
        touch_file(tx, sha256)


def touch_file(tx: Writing, sha256: str) -> bool:
    """Note that a known file was handed in once more; False where it is not known."""
    statement = update(artifacts).where(artifacts.c.sha256 == sha256).values(created_at=now())
    return bool(tx.connection.execute(statement).rowcount)


def hold_file(tx: Writing, sha256: str, *, size_bytes: int) -> bool:
    """Note a file that is not known; False where it is. Waits for others who note or drop it."""
    insert_ = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    values = {"sha256": sha256, "size_bytes": size_bytes, "created_at": now()}
    statement = insert_(artifacts).values(values).on_conflict_do_nothing()
    return bool(tx.connection.execute(statement).rowcount)


def require_files(tx: Writing, wanted: Mapping[str, str]) -> None:
    """Make sure that files were handed in, and that they stay until the commit.

    `wanted` has the field that names each, by digest. Raises InvalidInputError.
    """
    query = select(artifacts.c.sha256).where(artifacts.c.sha256.in_(wanted))
    # Locked, so that none is collected between this question and the reference to it.
    locked = query.order_by(artifacts.c.sha256).with_for_update(read=True, key_share=True)
    known = set(tx.connection.execute(locked).scalars())
    for sha256, field in wanted.items():
        if sha256 not in known:
            raise InvalidInputError(field, sha256, "the digest of a file that was uploaded before")


def _files(place: int, network: NetworkResult) -> Iterator[tuple[str, str]]:
    """The field and the digest of each file of a network."""
    yield f"networks.{place}.weights_sha256", network.weights_sha256
    for number, export in enumerate(network.exports):
        if export.sha256 is not None:
            yield f"networks.{place}.exports.{number}.sha256", export.sha256


def _query() -> Select[Any]:
    return select(networks, trials.c.method, trials.c.number).join(
        trials, trials.c.id == networks.c.trial_id
    )


def _builder(tx: Reading) -> Callable[[Sequence[Row[Any]]], list[Network]]:
    def build_all(rows: Sequence[Row[Any]]) -> list[Network]:
        exports = read_exports(tx, [row.id for row in rows])
        return [build(Network, row, exports=exports.get(row.id, ())) for row in rows]

    return build_all

"""Exports: networks in other formats, or why there are none; and all files of a trial."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Select, insert, literal, select

from service.store.tables import artifacts, exports, networks
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial
from shrinknets.wire import Artifact, ArtifactKind, NetworkExport

_PART = 1000


def add_exports(tx: Writing, job_id: str, found: Mapping[str, Sequence[NetworkExport]]) -> None:
    """Keep the exports of networks, by the networks' ids; their files must be known."""
    rows = [
        {"network_id": network_id, "job_id": job_id, **export.model_dump()}
        for network_id, all_of_one in found.items()
        for export in all_of_one
    ]
    if rows:
        tx.connection.execute(insert(exports), rows)


def read_exports(tx: Reading, network_ids: Sequence[str]) -> dict[str, tuple[NetworkExport, ...]]:
    """The exports of each of these networks that has any."""
    found: dict[str, list[NetworkExport]] = {}
    # A statement takes some 30,000 values at most.
    for start in range(0, len(network_ids), _PART):
        query = (
            select(exports)
            .where(exports.c.network_id.in_(network_ids[start : start + _PART]))
            .order_by(exports.c.network_id, exports.c.format)
        )
        for row in tx.connection.execute(query):
            export = NetworkExport(
                format=row.format, sha256=row.sha256, bytes=row.bytes, reason=row.reason
            )
            found.setdefault(row.network_id, []).append(export)
    return {network_id: tuple(all_of_one) for network_id, all_of_one in found.items()}


def list_artifacts(tx: Reading, trial_id: str, *, content_type: str) -> list[Artifact]:
    """All files of a trial: its networks in the order of finding. Raises NotFoundError."""
    get_trial(tx, trial_id)
    order = list(ArtifactKind)
    rows = [
        *tx.connection.execute(_weights(trial_id)),
        *tx.connection.execute(_exported(trial_id)),
    ]
    rows.sort(key=lambda row: (row.seq, order.index(ArtifactKind(row.kind))))
    return [
        Artifact(
            name=f"{row.network_id}{ArtifactKind(row.kind).suffix}",
            kind=ArtifactKind(row.kind),
            network_id=row.network_id,
            bytes=row.size_bytes,
            sha256=row.sha256,
            content_type=content_type,
            created_at=row.created_at,
        )
        for row in rows
    ]


def _weights(trial_id: str) -> Select[tuple[int, str, str, str, int, object]]:
    return (
        select(
            networks.c.seq,
            networks.c.id.label("network_id"),
            literal(ArtifactKind.WEIGHTS.value).label("kind"),
            artifacts.c.sha256,
            artifacts.c.size_bytes,
            artifacts.c.created_at,
        )
        .join(artifacts, artifacts.c.sha256 == networks.c.weights_sha256)
        .where(networks.c.trial_id == trial_id)
    )


def _exported(trial_id: str) -> Select[tuple[int, str, str, str, int, object]]:
    return (
        select(
            networks.c.seq,
            exports.c.network_id,
            exports.c.format.label("kind"),
            artifacts.c.sha256,
            artifacts.c.size_bytes,
            artifacts.c.created_at,
        )
        .join(exports, exports.c.network_id == networks.c.id)
        .join(artifacts, artifacts.c.sha256 == exports.c.sha256)
        .where(networks.c.trial_id == trial_id)
    )

"""Data sets come and go; under one name there is never another."""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import ConflictError, NotFoundError
from service.npz import Contents
from service.store.audit import Actor
from service.store.clock import now
from service.store.datasets import find_users
from service.store.networks import note_file
from service.store.quotas import Share, require_dataset_room
from service.store.tables import datasets
from service.store.transactions import Reading, Writing
from shrinknets.wire import DatasetSource


@dataclass(frozen=True, kw_only=True)
class NewDataset:
    """A file that was handed in under a name."""

    name: str
    sha256: str
    size_bytes: int
    contents: Contents


def is_taken(tx: Reading, name: str) -> bool:
    """Whether a name stands for a file. Raises ConflictError where every worker has its data."""
    return _find_file(tx, name) is not None


def is_there(tx: Reading, name: str, sha256: str) -> bool:
    """Whether a name stands for this very file. Raises ConflictError where it does for others."""
    found = _find_file(tx, name)
    if found not in {None, sha256}:
        raise ConflictError(
            f"There is a data set {name!r} of other content, with SHA-256 {found}: take another "
            "name, or delete it first."
        )
    return found is not None


def add_dataset(tx: Writing, new: NewDataset, *, actor: Actor, share: Share) -> bool:
    """Note a data set and its file; returns whether it is new.

    Raises ConflictError where the name stands for something else, TooLargeError where the share
    of its owner is used up.
    """
    if is_there(tx, new.name, new.sha256):
        return False
    require_dataset_room(tx, share, new.size_bytes)
    note_file(tx, new.sha256, size_bytes=new.size_bytes)
    if _insert(tx, new, actor):
        return True
    # Somebody took the name in between.
    if not is_there(tx, new.name, new.sha256):
        raise ConflictError(f"Another data set {new.name!r} was here a moment ago: send it again.")
    return False


def delete_dataset(tx: Writing, name: str) -> list[str]:
    """Delete a data set; returns the SHA-256 of its file.

    It is the caller's to delete after the commit, where nothing else refers to it. Raises
    NotFoundError, and ConflictError where every worker has the data set or a job uses it.
    """
    # Who submits a job holds the row in the meantime, or finds it gone.
    query = select(datasets).where(datasets.c.name == name).with_for_update()
    row = tx.connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("data set", name)
    if row.source is DatasetSource.BUILT_IN:
        raise ConflictError(f"{name!r} is a data set that every worker has: it cannot be deleted.")
    num_jobs, ids = find_users(tx, name)
    if num_jobs:
        shown = ", ".join(ids)
        more = "" if num_jobs == len(ids) else f" and {num_jobs - len(ids):,} more"
        raise ConflictError(f"Delete the jobs that use {name!r} first: {shown}{more}.")
    tx.connection.execute(delete(datasets).where(datasets.c.seq == row.seq))
    return [row.sha256]


def _find_file(tx: Reading, name: str) -> str | None:
    row = tx.connection.execute(select(datasets).where(datasets.c.name == name)).one_or_none()
    if row is None:
        return None
    if row.source is DatasetSource.BUILT_IN:
        raise ConflictError(f"{name!r} is a data set that every worker has: take another name.")
    return str(row.sha256)


def _insert(tx: Writing, new: NewDataset, actor: Actor) -> bool:
    contents = new.contents
    values = {
        "name": new.name,
        "folded_name": new.name.casefold(),
        "source": DatasetSource.UPLOADED,
        "rows": contents.rows,
        "test_rows": contents.test_rows,
        "input_shape": list(contents.input_shape),
        "num_classes": len(contents.class_counts),
        "class_counts": list(contents.class_counts),
        "dtype": contents.dtype,
        "sha256": new.sha256,
        "size_bytes": new.size_bytes,
        "key_id": actor.key_id,
        "owner": actor.owner,
        "created_at": now(),
    }
    insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    statement = insert(datasets).values(values).on_conflict_do_nothing()
    return tx.connection.execute(statement.returning(datasets.c.seq)).one_or_none() is not None

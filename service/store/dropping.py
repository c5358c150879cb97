"""Drops checkpoints that nothing goes on from any more."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table, delete

from service.store.facts import CheckpointsDropped
from service.store.tables import checkpoint_files, checkpoints
from service.store.transactions import Writing


def drop_checkpoints(
    tx: Writing, trial_ids: Sequence[str], *, before: int | None = None, after: int | None = None
) -> None:
    """Drop the checkpoints of trials, all or those beyond a step; their files go by a fact."""

    def chosen(table: Table) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [table.c.trial_id.in_(trial_ids)]
        if before is not None:
            found.append(table.c.step < before)
        if after is not None:
            found.append(table.c.step > after)
        return found

    if not trial_ids:
        return
    statement = delete(checkpoints).where(*chosen(checkpoints)).returning(checkpoints.c.sha256)
    files = tuple(tx.connection.execute(statement).scalars())
    if files:
        tx.connection.execute(delete(checkpoint_files).where(*chosen(checkpoint_files)))
        tx.facts.append(CheckpointsDropped(files=files))

"""Logs of trials: taken in piece by piece, the middle of long ones dropped, read from any place."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select

from service.errors import LeaseLostError
from service.store.clock import now
from service.store.ids import digest
from service.store.leases import get_attempt_row
from service.store.tables import attempts, log_chunks
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial
from shrinknets.wire import AttemptLog, AttemptState, LogBatch, TrialLog

LATE_SECONDS = 600.0
"""So long after its end an attempt's last lines are still taken in."""
HEAD_SHARE = 4
"""Of what is kept of a long log, one part in so many is its beginning, the rest its end."""


def add_lines(tx: Writing, attempt_id: str, token: str, batch: LogBatch, *, max_bytes: int) -> int:
    """Take in the next lines of an attempt; returns the offset at which it goes on.

    What was taken in before is skipped, so a batch may be sent again. Raises NotFoundError, and
    LeaseLostError where the token is not the attempt's or its log is closed.
    """
    attempt = _hold_open_log(tx, attempt_id, token)
    base, known = _end_of_log(tx, attempt)
    offset, text = _beyond(known, batch)
    num_bytes = len(text.encode())
    if num_bytes == 0:
        return max(known, offset)
    start = base + offset
    tx.connection.execute(
        insert(log_chunks).values(
            trial_id=attempt.trial_id,
            start=start,
            attempt_id=attempt_id,
            offset=offset,
            num_bytes=num_bytes,
            num_lines=text.count("\n"),
            text=text,
        )
    )
    _drop_middle(tx, attempt.trial_id, end=start + num_bytes, max_bytes=max_bytes)
    tx.tell("logs", job_id=attempt.job_id, trial_id=attempt.trial_id)
    return offset + num_bytes


def read_log(tx: Reading, trial_id: str, *, after: int = 0, tail: int | None = None) -> TrialLog:
    """What follows a place, or of that the last lines, attempt by attempt. Raises NotFoundError."""
    get_trial(tx, trial_id)
    chunks = _read_chunks(tx, trial_id, after=after, tail=tail)
    texts: dict[str, str] = {}
    omitted, reached = 0, after
    for chunk in chunks:
        gap = 0 if chunk is chunks[0] and tail is not None else chunk.start - reached
        cut = max(0, reached - chunk.start)
        omitted += max(0, gap)
        text = (_left_out(gap) if gap > 0 else "") + _from_byte(chunk.text, cut)
        texts[chunk.attempt_id] = texts.get(chunk.attempt_id, "") + text
        reached = chunk.start + chunk.num_bytes
    rows = tx.connection.execute(
        select(attempts)
        .where(attempts.c.trial_id == trial_id)
        .order_by(attempts.c.started_at, attempts.c.id)
    ).all()
    if tail is not None:
        texts = _last_lines([row.id for row in rows], texts, tail)
    return TrialLog(
        attempts=[
            AttemptLog(
                attempt_id=row.id,
                number=number,
                state=row.state,
                reason=row.reason,
                started_at=row.started_at,
                ended_at=row.ended_at,
                text=texts.get(row.id, ""),
            )
            for number, row in enumerate(rows, start=1)
        ],
        omitted_bytes=omitted,
        next=reached,
    )


def _hold_open_log(tx: Writing, attempt_id: str, token: str) -> Row[Any]:
    """The attempt, locked. Its log is open from its start until a while after its end."""
    get_attempt_row(tx, attempt_id)
    is_late = attempts.c.ended_at < now(plus_seconds=-LATE_SECONDS)
    query = (
        select(attempts, func.coalesce(is_late, False).label("is_late"))
        .where(attempts.c.id == attempt_id, attempts.c.token_digest == digest(token))
        .with_for_update(key_share=True)
    )
    row = tx.connection.execute(query).one_or_none()
    if row is None or row.is_late or _has_successor(tx, row):
        raise LeaseLostError("attempt", attempt_id)
    return row


def _has_successor(tx: Reading, attempt: Row[Any]) -> bool:
    if attempt.state == AttemptState.RUNNING:
        return False
    query = select(func.count()).where(
        attempts.c.trial_id == attempt.trial_id,
        attempts.c.id != attempt.id,
        (attempts.c.state == AttemptState.RUNNING) | (attempts.c.started_at > attempt.started_at),
    )
    return bool(tx.connection.execute(query).scalar_one())


def _end_of_log(tx: Reading, attempt: Row[Any]) -> tuple[int, int]:
    """Where the attempt's log begins in the trial's, and how much of it was taken in."""
    c = log_chunks.c
    query = (
        select(c.attempt_id, c.start, c.offset, c.num_bytes)
        .where(c.trial_id == attempt.trial_id)
        .order_by(c.start.desc())
        .limit(1)
    )
    last = tx.connection.execute(query).one_or_none()
    if last is None:
        return 0, 0
    if last.attempt_id != attempt.id:
        return last.start + last.num_bytes, 0
    return last.start - last.offset, last.offset + last.num_bytes


def _beyond(known: int, batch: LogBatch) -> tuple[int, str]:
    """The part of a batch that begins where the log ends, or later."""
    if batch.offset >= known:
        return batch.offset, batch.text
    return known, _from_byte(batch.text, known - batch.offset)


def _from_byte(text: str, first: int) -> str:
    return text.encode()[first:].decode(errors="replace") if first else text


def _drop_middle(tx: Writing, trial_id: str, *, end: int, max_bytes: int) -> None:
    head = max_bytes // HEAD_SHARE
    tail = end - (max_bytes - head)
    if tail > head:
        tx.connection.execute(
            delete(log_chunks).where(
                log_chunks.c.trial_id == trial_id,
                log_chunks.c.start >= head,
                log_chunks.c.start < tail,
                log_chunks.c.start + log_chunks.c.num_bytes <= tail,
            )
        )


def _read_chunks(tx: Reading, trial_id: str, *, after: int, tail: int | None) -> Sequence[Row[Any]]:
    c = log_chunks.c
    end = c.start + c.num_bytes
    found: Select[Any] = select(c.attempt_id, c.start, c.num_bytes, c.text)
    found = found.where(c.trial_id == trial_id, end > after)
    if tail is None:
        return tx.connection.execute(found.order_by(c.start)).all()
    later = func.sum(c.num_lines).over(order_by=c.start.desc(), rows=(None, -1))
    counted = (
        select(c.start, func.coalesce(later, 0).label("later_lines"))
        .where(c.trial_id == trial_id, end > after)
        .subquery()
    )
    found = found.join(counted, counted.c.start == c.start).where(counted.c.later_lines <= tail)
    return tx.connection.execute(found.order_by(c.start)).all()


def _left_out(num_bytes: int) -> str:
    return f"[… {num_bytes:,} bytes left out …]\n"


def _last_lines(order: Sequence[str], texts: dict[str, str], lines: int) -> dict[str, str]:
    kept: dict[str, str] = {}
    for attempt_id in reversed(order):
        text = texts.get(attempt_id, "")
        kept[attempt_id] = _tail(text, lines)
        lines -= len(kept[attempt_id].removesuffix("\n").split("\n")) if text else 0
        if lines <= 0:
            break
    return kept


def _tail(text: str, lines: int) -> str:
    place = len(text) - text.endswith("\n")
    for _ in range(lines):
        place = text.rfind("\n", 0, place)
        if place < 0:
            return text
    return text[place + 1 :]

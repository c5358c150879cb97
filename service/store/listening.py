"""Hears on one connection of its own what other processes commit; PostgreSQL alone can tell."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from service.store.news import CHANNEL, News, heard

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 5.0

# A server that vanished without a word is given up after a minute.
_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

_logger = logging.getLogger(__name__)


async def listen(engine: Engine, on_news: Callable[[News], None], *, myself: str) -> None:
    """Tell what others commit, until cancelled; comes back when the database was away.

    What is missed meanwhile is made up for by telling once that there is news.
    """
    positional, named = engine.dialect.create_connect_args(engine.url)
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                *positional, autocommit=True, **{**_ALIVE, **named}
            )
            async with connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                on_news(News.QUEUE)
                pause = FIRST_PAUSE_SECONDS
                await _hear(connection, on_news, myself)
        except psycopg.Error as error:
            _logger.warning("News of other processes come late: %s", str(error).strip())
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE_SECONDS)


async def _hear(
    connection: psycopg.AsyncConnection[Any], on_news: Callable[[News], None], myself: str
) -> None:
    async for notification in connection.notifies():
        news = heard(notification.payload, myself=myself)
        if news is not None:
            on_news(news)

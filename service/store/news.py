"""What a commit means to those who wait, and how other processes hear of it."""

from enum import StrEnum

CHANNEL = "shrinknets"


class News(StrEnum):
    """Why somebody who waits should look again."""

    EVENTS = "events"
    """Something happened."""
    QUEUE = "queue"
    """Something happened, and a job waits for a worker now."""


def payload(origin: str, news: News) -> str:
    """What is sent to other processes: who says it, so that nobody hears himself, and what."""
    return f"{origin} {news}"


def heard(text: str, *, myself: str) -> News | None:
    """The news in a payload; None for one's own, and for what another program sent."""
    origin, _, news = text.partition(" ")
    return News(news) if origin != myself and news in set(News) else None

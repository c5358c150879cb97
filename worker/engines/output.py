"""The output files of attempts, as far as the engines read them."""

from pathlib import Path

_LAST_LINES = 15
_LAST_BYTES = 16_384


def last_lines(log: Path) -> str:
    """The end of a file, for people; empty where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-_LAST_LINES:])

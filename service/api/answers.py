"""How endpoints describe the answers that are not their normal one."""

from typing import Any

from shrinknets.wire import Problem


def conflict(description: str) -> dict[int | str, dict[str, Any]]:
    """The answer 409, with when it is given."""
    return {409: {"model": Problem, "description": description}}

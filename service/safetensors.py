"""Reads what a network's file says of itself, without torch and without its tensors."""

import json
from typing import IO, Any

from service.errors import NoArchitectureError

MAX_HEADER = 100 * 2**20
"""The largest header that the format allows."""


def read_description(file: IO[bytes], *, of: str) -> dict[str, Any]:
    """The JSON under `shrinknets` in the header of a safetensors file.

    Raises NoArchitectureError where the file of the network `of` has none.
    """
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise NoArchitectureError(of)
    try:
        header = json.loads(file.read(length))
        description = json.loads(header["__metadata__"]["shrinknets"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoArchitectureError(of) from error
    if not isinstance(description, dict):
        raise NoArchitectureError(of)
    return description

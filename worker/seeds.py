"""Seeds that follow from a job, a method and a number, so that any trial can be run again."""

import hashlib

from shrinknets.wire import Method


def derive_seed(job_seed: int, method: Method, number: int, *, purpose: str) -> int:
    """A seed below 2**31 that depends on nothing else."""
    text = f"{purpose}/{job_seed}/{method.value}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1

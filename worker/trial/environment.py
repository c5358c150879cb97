"""What the process of a trial is told by its environment."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from worker.errors import EnvironmentVariableError

Number = TypeVar("Number", int, float)
_URL = "SHRINKNETS_URL"
_ATTEMPT = "SHRINKNETS_ATTEMPT"
_CHECKPOINT_SECONDS = "SHRINKNETS_CHECKPOINT_SECONDS"
CACHE_VARIABLE = "SHRINKNETS_CACHE_DIR"
DEVICE_VARIABLE = "SHRINKNETS_DEVICE"
THREADS_VARIABLE = "SHRINKNETS_THREADS"
MEMORY_VARIABLE = "SHRINKNETS_MEMORY_FRACTION"
_MICRO_BATCHES = "SHRINKNETS_MICRO_BATCHES"
TOKEN_VARIABLE = "SHRINKNETS_TOKEN"  # noqa: S105  (the name of the variable, not a token)
_RAY_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
RAY_TOKEN_KEY = "shrinknets_token"  # noqa: S105  (the name of the entry, not a token)
"""In the metadata of a job of Ray, which unlike variables does not get into Ray's own logs."""

CHECKPOINT_SECONDS = 30.0


def default_cache() -> Path:
    """The folder for what can be fetched again, as the XDG specification places it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "shrinknets"


@dataclass(frozen=True, kw_only=True)
class TrialEnvironment:
    """Where the service is, the attempt that this process is, and what it may use."""

    url: str
    attempt_id: str
    token: str
    cache: Path = field(default_factory=default_cache)
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    device: str = "auto"
    """As torch names it; `auto` is the best that the process sees."""
    threads: int | None = None
    """To compute with; None leaves that to torch."""
    memory_fraction: float | None = None
    """The share of the card's memory that may be allocated."""
    micro_batches: int = 1
    """Parts that each batch is trained in."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Raises EnvironmentVariableError that names all that is missing, or no number."""
        variables = {**_told_by_ray(variables), **variables}
        names = (_URL, _ATTEMPT, TOKEN_VARIABLE)
        missing = [name for name in names if not variables.get(name)]
        if missing:
            raise EnvironmentVariableError(missing)
        cache = variables.get(CACHE_VARIABLE)
        seconds = _number(variables, _CHECKPOINT_SECONDS, float)
        return cls(
            url=variables[_URL],
            attempt_id=variables[_ATTEMPT],
            token=variables[TOKEN_VARIABLE],
            checkpoint_seconds=CHECKPOINT_SECONDS if seconds is None else seconds,
            **({"cache": Path(cache)} if cache else {}),
            device=variables.get(DEVICE_VARIABLE) or "auto",
            threads=_number(variables, THREADS_VARIABLE, int),
            memory_fraction=_number(variables, MEMORY_VARIABLE, float),
            micro_batches=_number(variables, _MICRO_BATCHES, int) or 1,
        )

    def variables(self) -> dict[str, str]:
        """What `read` makes this of; where the trial computes is left to the engine."""
        return {
            _URL: self.url,
            _ATTEMPT: self.attempt_id,
            TOKEN_VARIABLE: self.token,
            CACHE_VARIABLE: str(self.cache),
            _CHECKPOINT_SECONDS: str(self.checkpoint_seconds),
            _MICRO_BATCHES: str(self.micro_batches),
        }


def _number(
    variables: Mapping[str, str], name: str, kind: Callable[[str], Number]
) -> Number | None:
    text = variables.get(name)
    try:
        return kind(text) if text else None
    except ValueError as error:
        raise EnvironmentVariableError([name]) from error


def _told_by_ray(variables: Mapping[str, str]) -> dict[str, str]:
    """The token, where Ray started the process: it hands the metadata of its job on as JSON."""
    if _RAY_CONFIG not in variables:
        return {}
    token = json.loads(variables[_RAY_CONFIG]).get("metadata", {}).get(RAY_TOKEN_KEY)
    return {TOKEN_VARIABLE: token} if token else {}

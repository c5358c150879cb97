"""What the process of a trial is told by its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from worker.errors import EnvironmentVariableError

_URL = "SHRINKNETS_URL"
_ATTEMPT = "SHRINKNETS_ATTEMPT"
_CHECKPOINT_SECONDS = "SHRINKNETS_CHECKPOINT_SECONDS"
CACHE_VARIABLE = "SHRINKNETS_CACHE_DIR"
_TOKEN = "SHRINKNETS_TOKEN"  # noqa: S105  (the name of the variable, not a token)

CHECKPOINT_SECONDS = 30.0


def default_cache() -> Path:
    """The folder for what can be fetched again, as the XDG specification places it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "shrinknets"


@dataclass(frozen=True, kw_only=True)
class TrialEnvironment:
    """Where the service is, and the attempt that this process is."""

    url: str
    attempt_id: str
    token: str
    cache: Path = field(default_factory=default_cache)
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Raises EnvironmentVariableError that names all that is missing, or no number."""
        missing = [name for name in (_URL, _ATTEMPT, _TOKEN) if not variables.get(name)]
        if missing:
            raise EnvironmentVariableError(missing)
        cache = variables.get(CACHE_VARIABLE)
        try:
            seconds = float(variables.get(_CHECKPOINT_SECONDS) or CHECKPOINT_SECONDS)
        except ValueError as error:
            raise EnvironmentVariableError([_CHECKPOINT_SECONDS]) from error
        return cls(
            url=variables[_URL],
            attempt_id=variables[_ATTEMPT],
            token=variables[_TOKEN],
            checkpoint_seconds=seconds,
            **({"cache": Path(cache)} if cache else {}),
        )

    def variables(self) -> dict[str, str]:
        return {
            _URL: self.url,
            _ATTEMPT: self.attempt_id,
            _TOKEN: self.token,
            CACHE_VARIABLE: str(self.cache),
            _CHECKPOINT_SECONDS: str(self.checkpoint_seconds),
        }

"""What the process of a trial is told by its environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from worker.errors import EnvironmentVariableError

_URL = "SHRINKNETS_URL"
_ATTEMPT = "SHRINKNETS_ATTEMPT"
CACHE_VARIABLE = "SHRINKNETS_CACHE_DIR"
TOKEN_VARIABLE = "SHRINKNETS_TOKEN"  # noqa: S105  (the name of the variable, not a token)
_RAY_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
RAY_TOKEN_KEY = "shrinknets_token"  # noqa: S105  (the name of the entry, not a token)
"""In the metadata of a job of Ray, which unlike variables does not get into Ray's own logs."""


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

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Raises EnvironmentVariableError that names all that is missing."""
        variables = {**_told_by_ray(variables), **variables}
        names = (_URL, _ATTEMPT, TOKEN_VARIABLE)
        missing = [name for name in names if not variables.get(name)]
        if missing:
            raise EnvironmentVariableError(missing)
        cache = variables.get(CACHE_VARIABLE)
        return cls(
            url=variables[_URL],
            attempt_id=variables[_ATTEMPT],
            token=variables[TOKEN_VARIABLE],
            **({"cache": Path(cache)} if cache else {}),
        )

    def variables(self) -> dict[str, str]:
        return {
            _URL: self.url,
            _ATTEMPT: self.attempt_id,
            TOKEN_VARIABLE: self.token,
            CACHE_VARIABLE: str(self.cache),
        }


def _told_by_ray(variables: Mapping[str, str]) -> dict[str, str]:
    """The token, where Ray started the process: it hands the metadata of its job on as JSON."""
    if _RAY_CONFIG not in variables:
        return {}
    token = json.loads(variables[_RAY_CONFIG]).get("metadata", {}).get(RAY_TOKEN_KEY)
    return {TOKEN_VARIABLE: token} if token else {}

"""What the process of a trial is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from worker.errors import EnvironmentVariableError

_URL = "SHRINKNETS_URL"
_ATTEMPT = "SHRINKNETS_ATTEMPT"
_TOKEN = "SHRINKNETS_TOKEN"  # noqa: S105  (the name of the variable, not a token)


@dataclass(frozen=True, kw_only=True)
class TrialEnvironment:
    """Where the service is, and the attempt that this process is."""

    url: str
    attempt_id: str
    token: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Raises EnvironmentVariableError that names all that is missing."""
        missing = [name for name in (_URL, _ATTEMPT, _TOKEN) if not variables.get(name)]
        if missing:
            raise EnvironmentVariableError(missing)
        return cls(url=variables[_URL], attempt_id=variables[_ATTEMPT], token=variables[_TOKEN])

    def variables(self) -> dict[str, str]:
        return {_URL: self.url, _ATTEMPT: self.attempt_id, _TOKEN: self.token}

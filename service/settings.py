"""The service's settings, read once from SHRINKNETS_* variables and a file, and passed down."""

import ipaddress
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, PositiveFloat, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import SettingsError
from service.fields import field_errors
from shrinknets.logs import LogFormat, LogLevel
from shrinknets.settings_file import SettingsFileError, read_settings_file
from shrinknets.wire import FieldError

PREFIX = "SHRINKNETS_"
SCHEMES = ("sqlite", "postgresql")


class Settings(BaseSettings):
    """What an operator can choose; each field is a variable SHRINKNETS_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Path("shrinknets-data")
    """The folder of the embedded database and of the stored files."""
    database_url: str = Field(
        default_factory=lambda data: f"sqlite:///{Path(data['data_dir']) / 'shrinknets.db'}",
        json_schema_extra={"shown_default": "a SQLite file in the data folder"},
    )
    """`sqlite:///path` or `postgresql://user:password@host/database`."""
    artifacts_url: str = Field(
        default_factory=lambda data: (Path(data["data_dir"]).resolve() / "artifacts").as_uri(),
        json_schema_extra={"shown_default": "a folder in the data folder"},
    )
    """Where weights are stored: any URL that fsspec understands."""
    trust_network: bool = False
    """Listen beyond this machine although everybody who reaches the port may do everything."""
    host: str = "127.0.0.1"
    """Address to listen at; any but this machine's own needs `trust_network`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes any free port."""
    migrate_on_start: bool = False
    """Bring the schema up to date at the start; the embedded database always is."""
    job_lease_seconds: PositiveFloat = 15.0
    """A worker that is silent for longer loses its job to another."""
    attempt_lease_seconds: PositiveFloat = 60.0
    """A trial's process that is silent for longer is given up."""
    expire_every_seconds: PositiveFloat = 1.0
    """How often leases that ran out are looked for."""
    shutdown_seconds: PositiveFloat = 5.0
    """After SIGTERM: how long requests may go on before they are cut off."""
    ready_seconds: PositiveFloat = 2.0
    """`/readyz` waits no longer for the database and for the artifact store."""
    artifact_grace_hours: Annotated[float, Field(ge=0)] = 24.0
    """`shrinknets gc` leaves files alone that were handed in since."""
    event_days: Annotated[float, Field(ge=0)] = 30.0
    """`shrinknets gc` deletes older events; readers that were away for longer miss them."""
    log_format: LogFormat = LogFormat.HUMAN
    """`human`, or `json`: one object per line."""
    log_level: LogLevel = LogLevel.INFO
    """`debug`, `info`, `warning` or `error`; at `info` there is a line for each request."""

    @field_validator("database_url")
    @classmethod
    def _a_database_that_we_speak(cls, url: str) -> str:
        scheme = url.partition("://")[0].partition("+")[0]
        if "://" not in url or scheme not in SCHEMES:
            raise ValueError("a URL that starts with sqlite:///, or with postgresql://")
        return url

    @field_validator("artifacts_url")
    @classmethod
    def _a_place_for_files(cls, url: str) -> str:
        if "://" not in url:
            raise ValueError("a URL such as file:///srv/artifacts, or s3://bucket/folder")
        return url

    @field_validator("host")
    @classmethod
    def _strangers_stay_outside(cls, host: str, info: ValidationInfo) -> str:
        # Where trust_network itself is wrong, that is the error to tell.
        if not info.data.get("trust_network", True) and not is_loopback(host):
            raise ValueError(
                "a loopback address such as 127.0.0.1, because there are no API keys; set "
                f"{PREFIX}TRUST_NETWORK=true if all who can reach the port may do everything"
            )
        return host

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the SQLite file that the service keeps itself."""
        return self.database_url.startswith("sqlite")

    def secrets(self) -> list[str]:
        """What may appear in no log."""
        password = urlsplit(self.database_url).password
        return [] if password is None else [password, unquote(password)]


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings(*, config: Path | None = None, **chosen: Any) -> Settings:
    """Read the environment, then a file; what is named here goes first. Raises SettingsError.

    The file is `config`, else what SHRINKNETS_CONFIG names, else there is none.
    """
    try:
        path, values = read_settings_file(
            config, "service", known=Settings.model_fields, environment=os.environ
        )
    except SettingsFileError as error:
        wrong = FieldError(field=str(error.path), given=error.given, allowed=error.allowed)
        raise SettingsError([wrong]) from error
    variables = {name.upper() for name in os.environ}
    filed = {
        name: value
        for name, value in values.items()
        if f"{PREFIX}{name.upper()}" not in variables and name not in chosen
    }
    try:
        return Settings(**filed, **chosen)
    except ValidationError as error:
        raise SettingsError(_by_origin(error, path, filed)) from error


def _by_origin(
    error: ValidationError, path: Path | None, filed: Collection[str]
) -> list[FieldError]:
    wrong = field_errors(error.errors(include_context=True))
    return [_named(one, f"{one.field} in {path}" if one.field in filed else None) for one in wrong]


def _named(error: FieldError, place: str | None) -> FieldError:
    # A database URL holds a password: only what stands before it is shown.
    given = "another URL" if error.field == "database_url" else error.given
    field = f"{PREFIX}{error.field.upper()}" if place is None else place
    return error.model_copy(update={"field": field, "given": given})

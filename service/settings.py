"""The service's settings, read once from SHRINKNETS_* variables and a file, and passed down."""

import ipaddress
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, PositiveFloat, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import SettingsError
from service.fields import field_errors
from shrinknets.logs import LogFormat, LogLevel
from shrinknets.settings_file import SettingsFileError, read_settings_file
from shrinknets.wire import FieldError

PREFIX = "SHRINKNETS_"
MIN_WORKER_KEY = 32
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
    """Listen beyond this machine although there is no API key, so that everybody who reaches the
    port may do everything; keys that there are, are asked for all the same."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names, with commas between, under which the service is reached besides this machine's own;
    `*` for any."""
    worker_key: SecretStr | None = None
    """A key of role worker that holds as long as this process; `shrinknets serve` makes one up for
    its own worker."""
    host: str = "127.0.0.1"
    """Address to listen at; any but this machine's own needs an API key, or `trust_network`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes any free port."""
    migrate_on_start: bool = False
    """Bring the schema up to date at the start; the embedded database always is."""
    job_lease_seconds: PositiveFloat = 15.0
    """A worker that is silent for longer loses its job to another."""
    attempt_lease_seconds: PositiveFloat = 60.0
    """A trial's process that is silent for longer is given up."""
    max_streams: Annotated[int, Field(ge=1)] = 2000
    """Streams of events that may be open at once; open pages have one each."""
    expire_every_seconds: PositiveFloat = 1.0
    """How often leases that ran out are looked for."""
    max_requests_per_second: PositiveFloat = 1000.0
    """Of one key, or of one address where no key is needed; five seconds' worth may come at once,
    further ones are refused with 429. Trials with the token of their attempt are not counted."""
    max_queued_jobs_per_key: Annotated[int, Field(ge=1)] = 1000
    """Jobs of one key that may be queued or paused at once, further ones are refused with 429; who
    needs no key counts as one."""
    # What archives beyond 2 GiB need of the format (ZIP64) is not taken.
    max_dataset_bytes: Annotated[
        int, Field(ge=1, le=2**31 - 1, json_schema_extra={"shown_default": "1 GiB"})
    ] = 2**30
    """The largest file of a data set, at most 2 GiB (docs/datasets.md)."""
    max_dataset_unpacked_bytes: Annotated[
        int, Field(ge=1, json_schema_extra={"shown_default": "4 GiB"})
    ] = 4 * 2**30
    """The largest data set when its file is unpacked."""
    max_dataset_bytes_per_key: Annotated[
        int, Field(ge=1, json_schema_extra={"shown_default": "10 GiB"})
    ] = 10 * 2**30
    """All files of data sets that one key has handed in."""
    slow_body_seconds: PositiveFloat = 30.0
    """So long a request's body may take, and a second longer for each 10 KiB of it; slower ones are
    refused with 408."""
    log_bytes: Annotated[int, Field(ge=4096, le=2**30)] = 2**20
    """So much of a trial's log is kept: the first quarter, and the end."""
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

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _names_between_commas(cls, names: object) -> object:
        if not isinstance(names, str):
            return names
        return [name.strip() for name in names.split(",") if name.strip()]

    @field_validator("allowed_hosts")
    @classmethod
    def _names_alone(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if any("/" in name or name.count(":") == 1 for name in names):
            raise ValueError("names without scheme and port, with commas between: a.example,b")
        return names

    @field_validator("worker_key")
    @classmethod
    def _a_long_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < MIN_WORKER_KEY:
            raise ValueError(f"a random text of at least {MIN_WORKER_KEY} characters")
        return key

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the SQLite file that the service keeps itself."""
        return self.database_url.startswith("sqlite")

    def secrets(self) -> list[str]:
        """What may appear in no log."""
        password = urlsplit(self.database_url).password
        hidden = [] if password is None else [password, unquote(password)]
        return hidden if self.worker_key is None else [*hidden, self.worker_key.get_secret_value()]


# A database URL holds a password.
_SECRETS = {"database_url": "another URL", "worker_key": "another text"}


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unguarded_host(host: str) -> SettingsError:
    """Why the service does not listen to others."""
    return SettingsError(
        [
            FieldError(
                field=f"{PREFIX}HOST",
                given=repr(host),
                allowed="a loopback address such as 127.0.0.1, because there is no API key that "
                "is neither revoked nor expired: make one with `shrinknets keys create --role "
                f"admin --owner NAME`; or set {PREFIX}TRUST_NETWORK=true if all who can reach the "
                "port may do everything",
            )
        ]
    )


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
    given = _SECRETS.get(error.field, error.given)
    field = f"{PREFIX}{error.field.upper()}" if place is None else place
    return error.model_copy(update={"field": field, "given": given})

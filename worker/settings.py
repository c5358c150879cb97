"""All that steers a worker, read once from SHRINKNETS_WORKER_* variables, a file and options."""

import os
import re
import socket
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from httpx import URL, InvalidURL
from pydantic import (
    AliasChoices,
    Field,
    FilePath,
    NonNegativeFloat,
    PositiveFloat,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from shrinknets.logs import LogFormat, LogLevel
from shrinknets.settings_file import SettingsFileError, read_settings_file
from shrinknets.wire import KEY_VARIABLE, MAX_WAIT_SECONDS, can_be_key
from worker.device import DEVICE_PATTERN
from worker.errors import SettingsError
from worker.trial.environment import CACHE_VARIABLE, CHECKPOINT_SECONDS, default_cache

PREFIX = "SHRINKNETS_WORKER_"
URL_VARIABLE = "SHRINKNETS_URL"


class EngineName(StrEnum):
    """What runs the trials."""

    LOCAL = "local"
    RAY = "ray"


class WorkerSettings(BaseSettings):
    """How one worker process behaves; each field is a variable SHRINKNETS_WORKER_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        allow_inf_nan=False,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        # Options are named as the fields are.
        validate_by_name=True,
        validate_by_alias=True,
    )

    url: str = Field("http://127.0.0.1:8000", validation_alias=URL_VARIABLE)
    """Where the service answers; the client and the command line read it too."""
    name: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        json_schema_extra={"shown_default": "the machine's name and the process's number"},
    )
    """For people: shown beside the jobs that the worker holds."""
    api_key: SecretStr | None = Field(None, validation_alias=KEY_VARIABLE)
    """Shown to the service, if there is one; trials have their attempt's token instead."""
    device: str = "auto"
    """What trials compute on: `cpu`, `mps`, `cuda` (every card), `cuda:0,2` (these cards), or
    `auto`, the cards where there are any."""
    slots: Annotated[int, Field(ge=1, le=1024)] = 2
    """Trials that run at once on each card, or on the processor; those of a card share its
    memory, all share the cores."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads that each trial computes with; by default the cores are shared out."""
    once: bool = False
    """Stop after one job."""
    folder: Path | None = None
    """Where logs of trials go; a temporary folder that goes with the worker by default."""
    engine: EngineName = EngineName.LOCAL
    """`local`: processes on this machine; `ray`: jobs on a Ray cluster (docs/ray.md)."""
    trial_url: str | None = Field(None, json_schema_extra={"shown_default": "that of the worker"})
    """Where trials reach the service, if not at the worker's own address of it."""
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)] = 10.0
    """How long the service may let an idle worker wait for a job before it answers; one that says
    nothing for longer than a lease counts as silent."""
    cache: Path = Field(
        default_factory=default_cache,
        validation_alias=CACHE_VARIABLE,
        json_schema_extra={"shown_default": "`~/.cache/shrinknets`"},
    )
    """Where fetched data sets stay; all workers of a user on this machine share it."""
    poll_seconds: PositiveFloat = 1.0
    """How often an idle worker asks at most, whatever the service answers."""
    checkpoint_seconds: NonNegativeFloat = CHECKPOINT_SECONDS
    """How often a trial hands in a checkpoint, from which another process could go on."""
    renew_seconds: PositiveFloat = 0.5
    """How often the lease of the job is renewed, and so how soon a cancel is heard."""
    flag_seconds: NonNegativeFloat = 0.4
    """After a cancel: how long trials may take to stop by themselves."""
    terminate_seconds: NonNegativeFloat = 0.5
    """After SIGTERM to a trial's process group: how long until SIGKILL. A trial that comes to the
    end of its epoch in this time hands in a last checkpoint."""
    failures_in_a_row: Annotated[int, Field(ge=1)] = 3
    """So many trials that fail one after the other fail the job."""
    ray_address: str | None = None
    """Where the head of the Ray cluster serves its dashboard and the Jobs API, such as
    `http://head:8265`."""
    ray_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices(f"{PREFIX}RAY_TOKEN", "RAY_AUTH_TOKEN")
    )
    """What the cluster has in its `RAY_AUTH_TOKEN`; the worker reads that variable too."""
    ray_ca_file: FilePath | None = None
    """Certificates to trust, in PEM, where the address is https and its own are not public."""
    ray_slots: Annotated[int | None, Field(ge=1, le=1024)] = Field(
        None, json_schema_extra={"shown_default": "`slots`"}
    )
    """Trials that run at once on the cluster: as many as it has room for."""
    ray_cpus_per_trial: Annotated[float, Field(gt=0, le=1024)] = 1.0
    """Cores that Ray reserves for a trial; it computes with so many threads."""
    ray_gpus_per_trial: Annotated[float, Field(ge=0, le=64)] = 1.0
    """Cards that Ray reserves for a trial, or a share of one, such as `0.25`; 0 for none."""
    ray_resources: dict[str, NonNegativeFloat] = Field(
        default_factory=dict, json_schema_extra={"shown_default": "none"}
    )
    """Custom resources of the cluster that a trial needs, as JSON, such as `{"a100": 1}`."""
    ray_pending_seconds: PositiveFloat = 30.0
    """A trial that Ray has no room for in this time is taken back and waits; less than the
    service's `attempt_lease_seconds`."""
    ray_poll_seconds: PositiveFloat = 1.0
    """How often the cluster is asked for its jobs."""
    ray_python: Annotated[str, Field(min_length=1)] = "python3"
    """The Python on the cluster's nodes that has `shrinknets[worker]`."""
    ray_working_dir: str | None = None
    """A folder of the nodes to start trials in."""
    ray_cache: str | None = Field(
        None, json_schema_extra={"shown_default": "`~/.cache/shrinknets` of the node"}
    )
    """Where trials on the cluster keep fetched data sets."""
    log_format: LogFormat = Field(
        LogFormat.HUMAN,
        validation_alias=AliasChoices(f"{PREFIX}LOG_FORMAT", "SHRINKNETS_LOG_FORMAT"),
    )
    """`human`, or `json`: one object per line. Without it, the service's counts."""
    log_level: LogLevel = Field(
        LogLevel.INFO,
        validation_alias=AliasChoices(f"{PREFIX}LOG_LEVEL", "SHRINKNETS_LOG_LEVEL"),
    )
    """`debug`, `info`, `warning` or `error`. Without it, the service's counts."""

    @field_validator("url", "trial_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        return value and _checked_address(value, "the service is", "http://127.0.0.1:8000")

    @field_validator("ray_address")
    @classmethod
    def _address_of_a_head(cls, value: str | None) -> str | None:
        if value and value.startswith("ray://"):
            raise ValueError(
                f"{value!r} is for Ray's own client: give the address of the dashboard, "
                "e.g. http://head:8265"
            )
        return value and _checked_address(value, "the Ray cluster is", "http://head:8265")

    @field_validator("ray_cpus_per_trial", "ray_gpus_per_trial")
    @classmethod
    def _a_share_or_whole(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise ValueError(f"{value:g} is neither a share below 1 nor a whole number")
        return value

    @field_validator("ray_token")
    @classmethod
    def _fits_into_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        word = "" if token is None else token.get_secret_value().strip()
        if not word.isascii() or not word.isprintable():
            raise ValueError("must be one line of ASCII, as RAY_AUTH_TOKEN is")
        return SecretStr(word) if word else None

    @model_validator(mode="after")
    def _has_a_cluster(self) -> Self:
        if self.engine is EngineName.RAY and not self.ray_address:
            raise ValueError(
                "the engine `ray` needs the address of a cluster: give --ray-address or "
                f"{PREFIX}RAY_ADDRESS, e.g. http://head:8265"
            )
        return self

    @field_validator("device", mode="before")
    @classmethod
    def _some_device(cls, value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(DEVICE_PATTERN, value):
            raise ValueError(f"{value!r} is not auto, cpu, mps, cuda or, say, cuda:0,1")
        return value

    @field_validator("api_key")
    @classmethod
    def _one_word(cls, key: SecretStr | None) -> SecretStr | None:
        word = "" if key is None else key.get_secret_value().strip()
        if word and not can_be_key(word):
            raise ValueError("must be one word, as `shrinknets keys create` prints it")
        return SecretStr(word) if word else None

    def key(self) -> str | None:
        """The API key in clear."""
        return None if self.api_key is None else self.api_key.get_secret_value()

    def secrets(self) -> list[str]:
        """What may appear in no log."""
        ray_token = None if self.ray_token is None else self.ray_token.get_secret_value()
        return [secret for secret in (self.key(), ray_token) if secret]


def _checked_address(value: str, what: str, example: str) -> str:
    try:
        url = URL(value)
    except InvalidURL as error:
        raise ValueError(f"{value!r} is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(f"{value!r} does not say where {what}: give e.g. {example}")
    return value.rstrip("/")


def variables_of(name: str) -> tuple[str, ...]:
    """The variables of a field, the one that goes first standing first."""
    match WorkerSettings.model_fields[name].validation_alias:
        case str(alias):
            return (alias,)
        case AliasChoices(choices=choices):
            return tuple(str(choice) for choice in choices)
        case _:
            return (f"{PREFIX}{name.upper()}",)


def read_worker_settings(*, config: Path | None = None, **chosen: Any) -> WorkerSettings:
    """Read the environment, then a file; what is named here goes first. Raises SettingsError.

    The file is `config`, else what SHRINKNETS_CONFIG names, else there is none.
    """
    try:
        _, values = read_settings_file(
            config, "worker", known=WorkerSettings.model_fields, environment=os.environ
        )
    except SettingsFileError as error:
        raise SettingsError([str(error)]) from error
    outer = {name.upper() for name in os.environ}
    filed = {
        name: value
        for name, value in values.items()
        if name not in chosen and outer.isdisjoint(variables_of(name))
    }
    try:
        return WorkerSettings(**filed, **chosen)
    except ValidationError as error:
        lines = [
            f"{_place(str(e['loc'][0]) if e['loc'] else 'engine', chosen)}: {e['msg']}"
            for e in error.errors()
        ]
        raise SettingsError(lines) from error


def _place(field: str, chosen: Collection[str]) -> str:
    if field in chosen:
        return f"--{field.replace('_', '-')}"
    return variables_of(field)[0] if field in WorkerSettings.model_fields else field

"""Reads the settings of service and worker from one TOML file, with a table for each."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

CONFIG_VARIABLE = "SHRINKNETS_CONFIG"
TABLES = ("service", "worker")


class SettingsFileError(Exception):
    """A settings file that cannot be used, and why."""

    def __init__(self, path: Path, given: str, allowed: str) -> None:
        self.path = path
        self.given = given
        self.allowed = allowed
        super().__init__(f"{path}: got {given}, allowed is {allowed}")


def read_settings_file(
    chosen: Path | None, table: str, *, known: Collection[str], environment: Mapping[str, str]
) -> tuple[Path | None, dict[str, Any]]:
    """The file that was chosen, else that of SHRINKNETS_CONFIG, and what its table says.

    Raises SettingsFileError.
    """
    assert table in TABLES
    path = chosen
    if path is None and CONFIG_VARIABLE in environment:
        path = Path(environment[CONFIG_VARIABLE])
    if path is None:
        return None, {}
    return path, _table(path, table, known)


def _table(path: Path, table: str, known: Collection[str]) -> dict[str, Any]:
    document = _document(path)
    for name in document:
        if name not in TABLES:
            raise SettingsFileError(path, repr(name), f"the tables {_listed(TABLES)}")
    values = document.get(table, {})
    if not isinstance(values, dict):
        raise SettingsFileError(path, f"{table} = {values!r}", f"a table [{table}]")
    for name in values:
        if name not in known:
            raise SettingsFileError(path, f"{name!r} in [{table}]", _listed(sorted(known)))
    return values


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsFileError(path, error.strerror or str(error), "a file to read") from error
    except ValueError as error:
        # Its text may hold a password: only the place is told.
        where = getattr(error, "lineno", None)
        given = "an unreadable file" if where is None else f"an unreadable line {where}"
        raise SettingsFileError(path, given, "TOML") from error


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)

#!/usr/bin/env python3
"""Writes docs/settings.md from the settings of service and worker; `--print` shows it instead."""

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from service.settings import PREFIX, Settings
from worker.settings import WorkerSettings, variables_of

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """# Settings

This page is made by `scripts/settings_page.py` from the classes that read the settings.

Each is an environment variable, and a key in a TOML file that `SHRINKNETS_CONFIG` or the option
`--config` names. An option of the command goes before the variable, the variable before the file.

```toml
[service]
port = 8080
log_format = "json"

[worker]
slots = 4
```

A wrong or unknown setting ends the command with status 2 and a message that names it. Relative
paths start in the folder that the command is run in.
"""
TAIL = """
The client and the command line read two: `SHRINKNETS_URL`, the service's address, and
`SHRINKNETS_API_KEY`, the key that they show ([security](security.md)). The file may hold keys and
the password of the database: let only its user read it.
"""


def page() -> str:
    """The whole page."""
    service = _table(Settings.model_fields, lambda name: (f"{PREFIX}{name.upper()}",))
    worker = _table(WorkerSettings.model_fields, variables_of)
    return "\n".join([HEAD, "## Service", "", *service, "", "## Worker", "", *worker, TAIL])


def _table(fields: dict[str, FieldInfo], variables: Any) -> Iterator[str]:
    yield "| variable | key | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in fields.items():
        shown = f"`{variables(name)[0]}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| {shown} | `{name}` | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown_default" in extra:
        return str(extra["shown_default"])
    value = field.get_default()
    match value:
        case None | ():
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case Enum():
            return f"`{value.value}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page())

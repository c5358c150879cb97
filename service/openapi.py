"""Writes the description of the API as it is kept in `docs/openapi.json`."""

import json
import sys

from service.app import create_app
from service.settings import read_settings


def describe() -> str:
    """The OpenAPI document as text, the same on every machine."""
    # No database is opened: nothing but the routes is looked at.
    app = create_app(read_settings(database_url="sqlite://"))
    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(describe())

"""The command of the service: `python -m service`, alone or with `migrate`, `gc` or `keys …`."""

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path

from service import (
    ServiceError,
    Settings,
    SettingsError,
    collect_garbage,
    keys_command,
    read_settings,
    serve,
    upgrade_to_head,
)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status: 1 where it cannot run, 2 where it is misused."""
    try:
        if arguments[:1] == ["keys"]:
            keys_command.run(arguments[1:])
            return 0
        options = _parser().parse_args(arguments)
        settings = read_settings(config=options.config)
        # As at Ctrl-C: when the server has ended in order, that is no failure.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        _run(options, settings)
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service", description="Serve, by default.")
    parser.add_argument("--config", type=Path, help="a TOML file with settings")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("migrate", help="bring the database to the schema of this version")
    gc = commands.add_parser("gc", help="delete files that nothing refers to, and old events")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.add_argument("--json", action="store_true", help="print JSON for programs")
    # `main` hands it on before: it stands here for the usage.
    commands.add_parser("keys", help="make, list and revoke API keys")
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> None:
    match options.command:
        case None:
            serve(settings)
        case "migrate":
            upgrade_to_head(settings.database_url)
        case "gc":
            report = collect_garbage(settings, is_dry_run=options.dry_run)
            shown = json.dumps(report.as_json(), indent=2) if options.json else str(report)
            sys.stdout.write(f"{shown}\n")


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: it would wait for the thread of a request that the server has given up.
    os._exit(status)

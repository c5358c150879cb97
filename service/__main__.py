"""The command of the service: `python -m service`, alone or with `migrate` or `keys …`."""

import signal
import sys

from service import ServiceError, SettingsError, keys_command, read_settings, serve, upgrade_to_head

USAGE = "Usage: python -m service [migrate | keys ...]\n"


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status: 1 where it cannot run, 2 where it is misused."""
    if arguments not in ([], ["migrate"]) and arguments[:1] != ["keys"]:
        sys.stderr.write(USAGE)
        return 2
    try:
        _run(arguments)
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        pass
    return 0


def _run(arguments: list[str]) -> None:
    if arguments[:1] == ["keys"]:
        keys_command.run(arguments[1:])
        return
    settings = read_settings()
    # As at Ctrl-C: when the server has ended in order, that is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments:
        upgrade_to_head(settings.database_url)
    else:
        serve(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

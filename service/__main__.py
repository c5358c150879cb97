"""The command of the service: `python -m service`, or `python -m service migrate`."""

import signal
import sys

from service import ServiceError, SettingsError, read_settings, serve, upgrade_to_head

USAGE = "Usage: python -m service [migrate]\n"


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status: 1 where it cannot run, 2 where it is misused."""
    if arguments not in ([], ["migrate"]):
        sys.stderr.write(USAGE)
        return 2
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # As at Ctrl-C: when the server has ended in order, that is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments:
            upgrade_to_head(settings.database_url)
        else:
            serve(settings)
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Trains a real trial and is noisy about it."""

import ctypes
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from shrinknets.wire import TrialAssignment
from shrinknets_core import TrialEvent
from worker.trial import __main__ as command
from worker.trial.training import train

say = print


def noisy(assignment: TrialAssignment, **how: Any) -> Iterator[TrialEvent]:
    match assignment.trial.params["behaviour"]:
        case "chat":
            say("hello from stdout")
            warnings.warn("beware of the dog", stacklevel=1)
            say("\x1b[31mred\x1b[0m and 10 %\r and 100 %")
            os.write(1, b"no utf-8: \xff, a NUL: \x00, and a key sn_" + b"A" * 43 + b"\n")
            say("the token is", os.environ["SHRINKNETS_TOKEN"])
        case "raise":
            say("about to break")
            raise RuntimeError("broke on purpose")
        case "hang":
            say("these are the last words")
            time.sleep(60)
        case "segfault":
            ctypes.string_at(0)
        case "flood":
            sys.stdout.write("the first line\n")
            for number in range(200_000):
                sys.stdout.write(f"line {number:06} of very many, none of which matters at all\n")
            os.write(1, b"x" * 100_000 + b"\n")
    yield from train(assignment, **how)


def main() -> int:
    command.train = noisy
    return command.main()


if __name__ == "__main__":
    sys.exit(main())

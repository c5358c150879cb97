"""The process that has imported torch once and forks a child for each attempt.

It runs as `python -m worker.engines.forkserver`, does nothing but fork, and never touches CUDA
nor runs a parallel region: neither survives a fork.
"""

import argparse
import contextlib
import faulthandler
import gc
import importlib
import io
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Never

from worker.engines.channel import Channel, Message, Start
from worker.engines.parents import die_with_parent
from worker.errors import ChannelClosedError
from worker.families import write_families

_PRELOAD = (
    "shrinknets_core",
    # What a trial would otherwise import on first use, for more than a second in all.
    "torch._dynamo",
    "torch._export.non_strict_utils",
    "torch.export._trace",
    "sklearn.datasets.data",
    "sklearn.datasets.descr",
    "httpcore",
    "encodings.idna",
    "importlib.readers",
)
Command = Callable[[], int]


class Forkserver:
    """Forks children on request and tells when they ended."""

    def __init__(self, channel: Channel, command: Command) -> None:
        self._channel = channel
        self._command = command
        self._attempts: dict[int, str] = {}
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    def serve(self) -> None:
        """Work until the engine closes its end; then kill all children."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writer)
        try:
            while True:
                readable = [self._channel.fileno(), self._wake_reader]
                ready, _, _ = select.select(readable, [], [])
                if self._channel.fileno() in ready:
                    for message in self._channel.receive():
                        self._handle(message)
                self._reap()
        except ChannelClosedError:
            for pid in self._attempts:
                _signal_group(pid, signal.SIGKILL)

    def _handle(self, message: Message) -> None:
        match message["kind"]:
            case "start":
                self._start(message)
            case "signal":
                for pid, attempt_id in self._attempts.items():
                    if attempt_id == message["attempt_id"]:
                        _signal_group(pid, message["signal"])
            case "exited":
                raise AssertionError("only the forkserver says so")

    def _start(self, message: Start) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell_exit(message["attempt_id"], None, f"could not fork: {error}")
            return
        if pid == 0:
            os.environ.update(message["variables"])
            self._become(self._command, parent, Path(message["log"]))
        self._attempts[pid] = message["attempt_id"]

    def list_families(self, path: Path) -> None:
        """Have a child load all families, which may be the code of others, and write what it found.

        Like an attempt's process it finds torch imported.
        """
        parent = os.getpid()
        if os.fork() == 0:
            self._become(lambda: write_families(path), parent, path.with_suffix(".log"))

    def _become(self, command: Callable[[], int | None], parent: int, log: Path) -> Never:
        """In the child: run the command as if it had been started from a shell."""
        code = 1
        try:
            os.setsid()
            die_with_parent(parent)
            self._forget_parent()
            _redirect_output(log)
            code = command() or 0
        except SystemExit as request:
            code = request.code if isinstance(request.code, int) else 1
        except BaseException:  # noqa: BLE001  (the child must never return into the server's loop)
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _forget_parent(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._channel.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                _signal_group(pid, signal.SIGKILL)
                if (attempt_id := self._attempts.pop(pid, None)) is not None:
                    exit_code = os.waitstatus_to_exitcode(status)
                    self._tell_exit(attempt_id, exit_code, _in_words(exit_code))

    def _tell_exit(self, attempt_id: str, exit_code: int | None, reason: str) -> None:
        self._channel.send(
            {"kind": "exited", "attempt_id": attempt_id, "exit_code": exit_code, "reason": reason}
        )


def _signal_group(pid: int, number: int) -> None:
    """Signal a child's group, or the child alone while it has no group of its own yet."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def _redirect_output(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    # A process that is killed takes along what Python still holds back: at most half a line.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    faulthandler.enable()


def _in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-exit_code, f"signal {-exit_code}")
    hint = ", perhaps because memory ran out" if -exit_code == signal.SIGKILL else ""
    return f"its process was killed by {name}{hint}"


def _load_command(module: str) -> Command:
    for name in _PRELOAD:
        importlib.import_module(name)
    importlib.import_module("shrinknets_core.data").preload()
    command: Command = importlib.import_module(f"{module}.__main__").main
    # Frozen objects are never touched by a collection, so children share their memory.
    gc.collect()
    gc.freeze()
    return command


def main() -> None:
    """Read the arguments that the engine gives, import, and serve."""
    parser = argparse.ArgumentParser()
    for name in ("--fd", "--parent", "--threads"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--module", required=True)
    parser.add_argument("--families", type=Path)
    options = parser.parse_args()
    die_with_parent(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Set before torch is imported: OpenMP reads it when it is loaded.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    channel = Channel(socket.socket(fileno=options.fd))
    server = Forkserver(channel, _load_command(options.module))
    if options.families is not None:
        server.list_families(options.families)
    server.serve()


if __name__ == "__main__":
    main()

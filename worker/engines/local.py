"""The engine for one machine: a fresh process per attempt, forked from a warm forkserver."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from worker.engines.base import AttemptExit
from worker.engines.channel import Channel
from worker.engines.output import last_lines
from worker.engines.placement import Placement
from worker.errors import ChannelClosedError


class LocalEngine:
    """Starts attempts on this machine; belongs to one thread, with which all attempts die."""

    def __init__(
        self,
        *,
        folder: Path,
        threads: int,
        placement: Placement | None = None,
        module: str = "worker.trial",
        families_file: Path | None = None,
    ) -> None:
        """Each attempt writes its output to `folder` and computes with `threads` threads.

        `placement` says where; without one, a trial takes the best device that it sees. `module`
        is the package whose command, `python -m MODULE`, an attempt is. `families_file` is written
        once torch is imported, for a FamilyListing.
        """
        self._placement = placement
        self._folder = folder
        self._threads = threads
        self._module = module
        self._families_file = families_file
        self._running: set[str] = set()
        self._lost: list[AttemptExit] = []
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._start_server()

    def can_start(self) -> bool:
        return True

    def start(self, attempt_id: str, variables: Mapping[str, str]) -> None:
        self._running.add(attempt_id)
        place = {} if self._placement is None else self._placement.take(attempt_id)
        if self._channel is None:
            self._start_server()
        assert self._channel is not None
        try:
            self._channel.send(
                {
                    "kind": "start",
                    "attempt_id": attempt_id,
                    "variables": {**variables, **place},
                    "log": str(self.output_of(attempt_id)),
                }
            )
        except ChannelClosedError:
            self._lose_server()

    def wait(self, seconds: float) -> list[AttemptExit]:
        if self._channel is None:
            if not self._lost:
                time.sleep(seconds)
        elif select.select([self._channel], [], [], 0 if self._lost else max(seconds, 0))[0]:
            return self._take_lost() + self._receive(self._channel) + self._take_lost()
        return self._take_lost()

    def running(self) -> frozenset[str]:
        return frozenset(self._running)

    def stop(self, attempt_id: str, *, force: bool = False) -> None:
        if self._channel is None:
            return
        number = signal.SIGKILL if force else signal.SIGTERM
        try:
            self._channel.send({"kind": "signal", "attempt_id": attempt_id, "signal": number})
        except ChannelClosedError:
            self._lose_server()

    def output_of(self, attempt_id: str) -> Path:
        return self._folder / f"{attempt_id}.log"

    def close(self) -> None:
        if self._server is not None:
            self._lose_server()
        self._take_lost()

    def _start_server(self) -> None:
        families = [] if self._families_file is None else ["--families", str(self._families_file)]
        ours, theirs = socket.socketpair()
        with theirs, self._server_log.open("wb") as log:
            self._server = subprocess.Popen(
                [
                    *(sys.executable, "-m", "worker.engines.forkserver", "--module", self._module),
                    *("--fd", str(theirs.fileno()), "--parent", str(os.getpid())),
                    *("--threads", str(self._threads)),
                    *families,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C in a terminal is for the worker, which then stops its trials in order.
                start_new_session=True,
            )
        self._channel = Channel(ours)

    def _receive(self, channel: Channel) -> list[AttemptExit]:
        try:
            messages = channel.receive()
        except ChannelClosedError:
            self._lose_server()
            return []
        return [
            self._ended(m["attempt_id"], m["exit_code"], m["reason"])
            for m in messages
            if m["kind"] == "exited"
        ]

    def _ended(self, attempt_id: str, exit_code: int | None, reason: str) -> AttemptExit:
        self._running.discard(attempt_id)
        if self._placement is not None:
            self._placement.release(attempt_id)
        return AttemptExit(
            attempt_id=attempt_id,
            reason=reason,
            exit_code=exit_code,
            last_lines=last_lines(self.output_of(attempt_id)),
        )

    def _lose_server(self) -> None:
        """The forkserver is gone or must go: nothing that it forked outlives it."""
        assert self._server is not None
        assert self._channel is not None
        self._channel.close()
        try:
            self._server.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = self._channel = None
        end = last_lines(self._server_log)
        for attempt_id in sorted(self._running):
            ended = self._ended(attempt_id, None, "the process that starts trials ended")
            self._lost.append(
                AttemptExit(
                    attempt_id=attempt_id,
                    reason=ended.reason,
                    exit_code=None,
                    last_lines=ended.last_lines or end,
                )
            )

    def _take_lost(self) -> list[AttemptExit]:
        lost, self._lost = self._lost, []
        return lost

    @property
    def _server_log(self) -> Path:
        return self._folder / "forkserver.log"

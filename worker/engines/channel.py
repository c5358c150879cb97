"""Messages between the local engine and its forkserver: one JSON object per line."""

import json
import socket
from typing import Literal, TypedDict, Union

from worker.errors import ChannelClosedError


class Start(TypedDict):
    """Fork a process for this attempt."""

    kind: Literal["start"]
    attempt_id: str
    variables: dict[str, str]
    log: str


class Signal(TypedDict):
    """Send a signal to the process group of this attempt, if it is still there."""

    kind: Literal["signal"]
    attempt_id: str
    signal: int


class Exited(TypedDict):
    """The process of this attempt ended, or could not be started (no exit code)."""

    kind: Literal["exited"]
    attempt_id: str
    exit_code: int | None
    reason: str


Message = Union[Start, Signal, Exited]  # noqa: UP007  (a union of TypedDicts names the types)


class Channel:
    """One end of a stream socket."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._unread = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    def receive(self) -> list[Message]:
        """Block until something comes; raises ChannelClosedError when the other end is gone."""
        try:
            chunk = self._socket.recv(1 << 16)
        except OSError as error:
            raise ChannelClosedError(str(error)) from error
        if not chunk:
            raise ChannelClosedError("the other end was closed")
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        self._socket.close()

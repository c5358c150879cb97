"""Turns what a process wrote into lines that can be stored, sent and shown."""

import codecs
import re

from shrinknets.redaction import MAX_SECRET, redact, safe_cut

MAX_LINE = 16_384
"""Characters; a longer line is handed on in parts."""

# ECMA-48: control sequences (colours, cursor), commands to the terminal (titles, links), others.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Cleaner:
    """Takes in bytes as they come, gives out whole lines.

    Bytes that are no UTF-8 and control characters become U+FFFD, colours go, of a line that was
    written over and over (progress bars) the last state stays, and secrets are blotted out.
    """

    def __init__(self, *, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""

    def feed(self, content: bytes, *, is_last: bool = False) -> str:
        """The lines that are complete now; at the end, or of a line without end, also parts."""
        self._pending += self._decoder.decode(content, final=is_last)
        cut = len(self._pending) if is_last else self._pending.rfind("\n") + 1
        whole, self._pending = self._pending[:cut], self._pending[cut:]
        return "\n".join(map(self._clean, whole.split("\n"))) + self._part_of_a_long_line()

    def _part_of_a_long_line(self) -> str:
        if len(self._pending) <= MAX_LINE:
            return ""
        # Well before the end, of which nobody knows yet whether it begins a secret.
        at = len(self._pending) - MAX_SECRET
        cut = safe_cut(self._pending, at, secrets=self._secrets)
        part, self._pending = self._pending[:cut], self._pending[cut:]
        return self._clean(part)

    def _clean(self, line: str) -> str:
        text = _ANSI.sub("", line).rstrip("\r").rpartition("\r")[2]
        return redact(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), secrets=self._secrets)

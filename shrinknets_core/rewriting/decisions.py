"""Where a forward pass turned a value into a plain one, and what it did that for."""

import ast
import dis
import functools
import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx

LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
UNPACKING = {"UNPACK_SEQUENCE", "CALL_FUNCTION_EX", "LIST_EXTEND", "LIST_TO_TUPLE"}
"""Instructions that take a fixed number of values, or hand them on to a call that does."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A number or truth value that the recorded run depends on.

    Attributes:
        node: computes it.
        value: what it was.
        guard: the node that checks that it is so again.
        depends: the nodes that say what it depends on.
        exact: the number itself mattered; otherwise only whether it is true.
        asserted: the module's own code raises an error where it is otherwise.
        place: the instruction that was running.
    """

    node: fx.Node
    value: Any
    guard: fx.Node
    depends: tuple[fx.Node, ...]
    exact: bool
    asserted: bool
    place: tuple[int, int]


def running_place() -> tuple[int, int]:
    """Return which instruction of the module's code is running: its frame and its number."""
    frame = user_frame()
    return (0, 0) if frame is None else (id(frame), frame.f_lasti)


def user_frame() -> FrameType | None:
    """Return the innermost running frame that belongs neither to torch nor to us."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    return frame


def is_unpacking() -> bool:
    """Tell whether the running code asks for a fixed number of values."""
    frame = user_frame()
    if frame is None:
        return False
    names = {i.offset: i.opname for i in dis.get_instructions(frame.f_code)}
    return names.get(frame.f_lasti) in UNPACKING


def is_asserting() -> bool:
    """Tell whether the running line is the test of an assertion, or of an `if` that raises."""
    frame = user_frame()
    if frame is None:
        return False
    return frame.f_lineno in _asserting_lines(frame.f_code.co_filename)


@functools.lru_cache(maxsize=256)
def _asserting_lines(filename: str) -> frozenset[int]:
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return frozenset()
    lines: set[int] = set()
    for node in ast.walk(tree):
        raises = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise)
        if raises or isinstance(node, ast.Assert):
            test = node.test  # type: ignore[attr-defined]
            lines.update(range(test.lineno, test.end_lineno + 1))
    return frozenset(lines)

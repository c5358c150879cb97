"""Blots out keys, tokens and passwords in text that other people will read."""

import re
from collections.abc import Iterable

from shrinknets.wire import KEY_PREFIX

HIDDEN = "***"
MAX_SECRET = 256
"""A secret is at most so long: who cuts text leaves that much for the next piece."""
_MIN_SECRET = 4
"""A shorter secret, replaced wherever it stands, would make every line unreadable."""

# What servers, drivers and clients are known to write when they log at their most talkative.
_PATTERNS = [
    (re.compile(r"""(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|lease-token|x-api-key)"""
                r"""(\\?['"]?\s*[:=,]\s*b?\\?['"]?)[^'"\\\r\n]+"""), rf"\1\2{HIDDEN}"),
    (re.compile(rf"\b{KEY_PREFIX}[\w-]{{8,}}"), f"{KEY_PREFIX}{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^\s:/@'\"]*):[^\s@'\"]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b(password\s*=\s*)('[^']*'|[^\s&'\"]+)"), rf"\1{HIDDEN}"),
]  # fmt: skip


def redact(text: str, *, secrets: Iterable[str] = ()) -> str:
    """The text without these secrets, and without what looks like a key or a password."""
    for secret in secrets:
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def safe_cut(text: str, at: int, *, secrets: Iterable[str] = ()) -> int:
    """The last place up to `at` where a text can be cut without cutting a secret in two.

    Where that is the very beginning, the text is one long match, and `at` itself is returned.
    """
    spans = [
        found.span()
        for pattern in [*(re.compile(re.escape(s)) for s in secrets), *(p for p, _ in _PATTERNS)]
        for found in pattern.finditer(text)
    ]
    cut = at
    for start, end in sorted(spans, reverse=True):
        if start < cut < end:
            cut = start
    return cut or at

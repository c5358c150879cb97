"""What processes write becomes lines that can be stored and shown."""

import random

import pytest

from worker.cleaning import MAX_LINE, Cleaner

TOKEN = "Zq7_token-of-an-attempt-0123456789"
KEY = "sn_" + "aB3" * 14 + "x"


def clean(*parts: bytes, secrets: tuple[str, ...] = (TOKEN,)) -> str:
    cleaner = Cleaner(secrets=secrets)
    return "".join(map(cleaner.feed, parts)) + cleaner.feed(b"", is_last=True)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"", ""),
        (b"one\ntwo\n", "one\ntwo\n"),
        (b"no end", "no end"),
        (b"windows\r\nlines\r\n", "windows\nlines\n"),
        (b"\r 10 %\r 50 %\r100 %\n", "100 %\n"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;a title\x07text\x1b[K\n", "red text\n"),
        (b"\x1b]8;;http://x.example\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        (b"nul \x00 bell \x07 tab \t\n", "nul \ufffd bell \ufffd tab \t\n"),
        (b"\xff\xfe \xc3\n\xc3\xa4\n", "\ufffd\ufffd \ufffd\nä\n"),
        ("a\u2028b\x0bc\n".encode(), "a\u2028b\ufffdc\n"),
        (f"token {TOKEN}, key {KEY}!\n".encode(), "token ***, key sn_***!\n"),
        (b"sent Bearer abcdefgh12345\n", "sent Bearer ***\n"),
        (b"postgresql://me:pass@host/db\n", "postgresql://me:***@host/db\n"),
    ],
)
def test_lines_are_cleaned(written: bytes, kept: str) -> None:
    assert clean(written) == kept
    assert clean(*(written[i : i + 1] for i in range(len(written)))) == kept


def test_a_line_is_given_out_once_it_is_complete() -> None:
    cleaner = Cleaner()
    assert cleaner.feed(b"one\ntw") == "one\n"
    assert cleaner.feed(b"o") == ""
    assert cleaner.feed(b"\n") == "two\n"


def test_a_line_without_end_comes_in_parts() -> None:
    cleaner = Cleaner()
    given = "".join(cleaner.feed(b"x" * 1000) for _ in range(100))
    assert len(given) > 100_000 - MAX_LINE - 1000
    assert len(given) + len(cleaner.feed(b"", is_last=True)) == 100_000


@pytest.mark.parametrize("seed", range(20))
def test_no_secret_shows_wherever_a_line_is_cut(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice(["x" * draw.randrange(200), " " + TOKEN, " " + KEY]) + " "
                   for _ in range(2000)).encode()  # fmt: skip
    parts, place = [], 0
    while place < len(text):
        step = draw.randrange(1, 9000)
        parts.append(text[place : place + step])
        place += step
    kept = clean(*parts)
    for secret in (TOKEN, KEY):
        assert secret not in kept
        assert secret[:20] not in kept
        assert secret[-20:] not in kept

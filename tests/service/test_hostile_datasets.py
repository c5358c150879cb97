"""Files that are made to break the service are refused in words, and leave nothing behind."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import Settings, create_app, read_settings
from service.errors import InvalidInputError
from service.npz import MIN_ROWS_PER_CLASS, inspect
from tests.service.actors import problem
from tests.service.arrays import archive, array_bytes, npz, rows, with_header
from tests.service.conftest import TestClient

LIMIT = 2**24
GOOD = rows(48)
X, Y = array_bytes(GOOD["x"]), array_bytes(GOOD["y"])
F4 = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"
Entries = list[tuple[str, bytes]]


def entries(**changes: bytes) -> Entries:
    return [(f"{name}.npy", content) for name, content in ({"x": X, "y": Y} | changes).items()]


def refused(content: bytes) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        inspect(io.BytesIO(content), len(content), max_unpacked_bytes=LIMIT)
    return caught.value


def patched(
    content: bytes, signature: bytes, offset: int, value: bytes, *, place: int = 0
) -> bytes:
    """The archive with some bytes of one of its records changed."""
    at = -1
    for _ in range(place + 1):
        at = content.index(signature, at + 1)
    at += offset
    return content[:at] + value + content[at + len(value) :]


LOCAL, DIRECTORY, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
FILE = archive(entries())


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        pytest.param(archive(entries()[:1]), "body", "x and y", id="no-y"),
        pytest.param(
            archive([*entries(), ("x_test.npy", X)]), "body", "both of x_test", id="half-a-test"
        ),
        pytest.param(archive([*entries(), ("z.npy", X)]), "body", "only the entries", id="third"),
        pytest.param(
            archive([*entries(), ("../../x.npy", X)]), "body", "only the entries", id="path"
        ),
        pytest.param(archive([("/x.npy", X)]), "body", "only the entries", id="absolute-path"),
        pytest.param(archive([("x.npy/", b"")]), "body", "only the entries", id="folder"),
        pytest.param(
            archive([("inner.zip", FILE)]), "body", "only the entries", id="nested-archive"
        ),
        pytest.param(
            archive([(f"{n}.npy", b"") for n in range(99)]), "body", "only the entries", id="many"
        ),
        pytest.param(FILE[:-1], "body", "numpy.savez", id="cut-off"),
        pytest.param(FILE + b"x", "body", "numpy.savez", id="something-after-the-end"),
        pytest.param(b"x" + FILE, "body", "numpy.savez", id="something-before-the-beginning"),
        pytest.param(patched(FILE, END, 20, b"\x05\x00"), "body", "numpy.savez", id="comment"),
        pytest.param(patched(FILE, END, 12, b"\xff\xff\xff\xff"), "body", "", id="endless-list"),
        pytest.param(patched(FILE, END, 16, b"\xff\xff\xff\xff"), "body", "", id="list-elsewhere"),
        pytest.param(patched(FILE, DIRECTORY, 8, b"\x01"), "body", "not encrypted", id="encrypted"),
        pytest.param(patched(FILE, DIRECTORY, 10, b"\x0c"), "body", "stored or def", id="bzip2"),
        pytest.param(
            patched(FILE, DIRECTORY, 42, b"\x00\x00\x00\x00", place=1),
            "body",
            "overlap",
            id="two-entries-in-one-place",
        ),
        pytest.param(
            patched(FILE, DIRECTORY, 42, b"\xff\xff\xff\xff", place=1),
            "body",
            "",
            id="entry-beyond-the-end",
        ),
        pytest.param(
            patched(FILE, DIRECTORY, 20, b"\xff\xff\x00\x00\xff\xff\x00\x00"),
            "body",
            "overlap",
            id="entry-longer-than-it-is",
        ),
        pytest.param(
            patched(FILE, DIRECTORY, 24, b"\x00\x01\x00\x00"), "body", "savez", id="shorter"
        ),
        pytest.param(patched(FILE, DIRECTORY, 16, b"0000"), "body", "savez", id="wrong-checksum"),
        pytest.param(patched(FILE, LOCAL, 30, b"z"), "body", "savez", id="two-names"),
        pytest.param(
            archive(entries(x=with_header(F4 % "(-48, 4)", X[128:]))), "x", "", id="negative-shape"
        ),
        pytest.param(
            archive(entries(x=with_header(F4 % f"({2**58}, {2**58})"))), "x", "bytes", id="huge"
        ),
        pytest.param(
            archive(entries(x=with_header(F4 % f"({'9' * 400},)"))), "x", "whole", id="huge-number"
        ),
        pytest.param(
            archive(entries(x=with_header(F4 % "(48, 4)" + " " * 4000, X[128:]))),
            "x",
            "header",
            id="huge-header",
        ),
        pytest.param(
            archive(entries(x=with_header(F4 % "(48, 4)", X[128:], version=(3, 0)))),
            "x",
            "format 1 or 2",
            id="unknown-version",
        ),
        pytest.param(
            archive(entries(x=with_header("__import__('os').system('true')"))), "x", "", id="code"
        ),
        pytest.param(archive(entries(x=with_header("{" * 900))), "x", "", id="nested-header"),
        pytest.param(archive(entries(x=b"")), "x", "format 1 or 2", id="empty-array"),
        pytest.param(
            archive(entries(x=array_bytes(np.array([{"a": 1}] * 48)))), "x", "dtype", id="pickle"
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.zeros(48, dtype=[("a", "<f4")])))),
            "x",
            "plain numbers",
            id="records",
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.full((48, 4), "a")))), "x", "float32", id="text"
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.zeros((48, 4), complex)))),
            "x",
            "float32",
            id="complex",
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.zeros((48, 4), np.int64)))),
            "x",
            "uint8",
            id="integers",
        ),
        pytest.param(
            archive(entries(y=array_bytes(np.zeros(48)))), "y", "int64", id="classes-with-a-point"
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.zeros((48, 4, 4), "f4")))), "x", "(n, inputs)", id="3d"
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.zeros((47, 4), "f4")))), "y", "(47,)", id="lengths"
        ),
        pytest.param(
            archive(entries(x=array_bytes(np.zeros((48, 0), "f4")))),
            "x",
            "1 to 1,000,000",
            id="no-x",
        ),
        pytest.param(
            npz(x=np.zeros((0, 4), "f4"), y=np.zeros(0, int)), "x", "1 to 100,000,000", id="no-rows"
        ),
        pytest.param(
            npz(**GOOD, x_test=np.zeros((1, 5), "f4"), y_test=[0]), "x_test", "as in x", id="wide"
        ),
        pytest.param(
            npz(**GOOD, x_test=np.zeros((1, 4), "f4"), y_test=[7]),
            "y_test",
            "0 to 2",
            id="new-class",
        ),
        pytest.param(npz(x=GOOD["x"], y=GOOD["y"] + 1), "y", "0 of class 0", id="classes-from-1"),
        pytest.param(
            npz(x=GOOD["x"], y=GOOD["y"] - 1), "y", "values -1, 0, 1", id="negative-class"
        ),
        pytest.param(
            npz(x=GOOD["x"], y=GOOD["y"] * 10**9),
            "y",
            "0, 1000000000, 2000000000",
            id="big-classes",
        ),
        pytest.param(npz(x=GOOD["x"], y=GOOD["y"] * 0), "y", "at least 2 classes", id="one-class"),
        pytest.param(
            npz(x=GOOD["x"], y=GOOD["y"].astype("u8") + np.uint64(2**63)), "y", "9223", id="uint64"
        ),
    ],
)
def test_each_lie_is_told(content: bytes, field: str, words: str) -> None:
    error = refused(content)
    assert error.error.field == field
    assert words in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e16])
@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_row_with_a_number_that_is_none_is_named(value: float, dtype: str, order: str) -> None:
    x = np.array(GOOD["x"], dtype=dtype, order=order)  # type: ignore[call-overload]
    x[17, 2] = value
    assert refused(npz(x=x, y=GOOD["y"])).error.field == "x[17]"


def test_a_class_with_too_few_rows_is_named() -> None:
    y = np.repeat([0, 1, 2], [30, 48 - 30 - MIN_ROWS_PER_CLASS + 1, MIN_ROWS_PER_CLASS - 1])
    assert "7 of class 2" in str(refused(npz(x=GOOD["x"], y=y)))


def bomb(num_bytes: int) -> bytes:
    """A well-formed archive that unpacks to a thousand times its size."""
    n = num_bytes // 4
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        with file.open("x.npy", "w") as entry:
            entry.write(with_header(F4 % f"({n // 1000}, 1000)"))
            for _ in range(num_bytes // 2**20):
                entry.write(bytes(2**20))
        file.writestr("y.npy", Y)
    return made.getvalue()


def test_an_archive_that_says_that_it_is_a_bomb_is_not_unpacked() -> None:
    content = bomb(2 * LIMIT)
    assert len(content) < 2 * LIMIT / 500
    assert "at most 16,777,216 bytes of unpacked" in str(refused(content))


def test_an_archive_that_hides_that_it_is_a_bomb_is_not_unpacked() -> None:
    content = patched(bomb(2 * LIMIT), DIRECTORY, 24, struct.pack("<L", len(X)))
    refused(content)


def test_sizes_that_only_zip64_can_say_are_no_way_around_the_limit() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        info = zipfile.ZipInfo("x.npy")
        info.extra = struct.pack("<HHQQ", 1, 16, 2**60, 2**60)
        file.writestr(info, X)
        file.writestr("y.npy", Y)
    content = patched(made.getvalue(), DIRECTORY, 20, b"\xff" * 8)
    refused(content)


def outcome(content: bytes) -> str:
    try:
        inspect(io.BytesIO(content), len(content), max_unpacked_bytes=LIMIT)
    except InvalidInputError as error:
        return error.error.field
    return "taken"


PACKED = archive(entries(), compression=zipfile.ZIP_DEFLATED)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([FILE, PACKED]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 5000),
)
def test_no_changed_or_shortened_archive_breaks_the_inspection(
    content: bytes, flips: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(content)
    for place, value in flips:
        # Most of what can be said wrongly stands at the end.
        changed[-1 - place % len(changed)] = value
    outcome(bytes(changed))
    outcome(bytes(changed[: max(len(changed) - cut, 0)]))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200), st.from_regex(r"\{'(descr|shape)': [^a]{0,40}", fullmatch=True)
    )
)
def test_no_header_breaks_the_inspection(text: str) -> None:
    header = text.encode("utf-8", "replace").decode("latin-1")
    assert outcome(archive(entries(x=with_header(header)))) != "taken"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, len(FILE) - 1), value=st.integers(0, 255), cut=st.integers(0, 3))
def test_no_file_is_answered_with_a_5xx_or_leaves_something(
    sqlite_client: tuple[TestClient, Settings], place: int, value: int, cut: int
) -> None:
    client, chosen = sqlite_client
    content = bytearray(FILE)
    content[place] = value
    answer = post(client, bytes(content[: len(content) - cut * 7]))
    assert answer.status_code in {200, 201, 409, 415, 422}
    if answer.is_success:
        assert client.delete("/api/v1/datasets/mine").status_code == 204
    assert [path for path in (chosen.data_dir / "artifacts").rglob("*") if path.is_file()] == []


def post(client: httpx.Client, content: Any) -> httpx.Response:
    headers = {"Content-Type": "application/zip"}
    return client.post(
        "/api/v1/datasets", params={"name": "mine"}, content=content, headers=headers
    )


@pytest.fixture
def sqlite_client(sqlite_template: Path, tmp_path: Path) -> Any:
    (tmp_path / "shrinknets.db").write_bytes(sqlite_template.read_bytes())
    chosen = read_settings(
        data_dir=tmp_path, allowed_hosts=("testserver",), max_dataset_unpacked_bytes=LIMIT
    )
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield client, chosen


def test_every_refusal_is_a_problem(sqlite_client: tuple[TestClient, Settings]) -> None:
    client, _ = sqlite_client
    answer = problem(post(client, npz(x=GOOD["x"], y=GOOD["y"] - 1)), 422)
    assert answer["errors"][0]["field"] == "y"
    assert "the classes 0 to" in answer["detail"]

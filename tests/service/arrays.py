"""Files of data sets, as users would make them and as they should not."""

import io
import zipfile
from typing import Any

import numpy as np


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def rows(n: int = 60, *, inputs: int = 4, classes: int = 3, seed: int = 0) -> dict[str, Any]:
    """Rows whose class shows in their first input."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.normal(size=(n, inputs)).astype(np.float32)
    x[:, 0] += 4 * y
    return {"x": x, "y": y}


def images(n: int = 60, *, classes: int = 3) -> dict[str, Any]:
    random = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = random.integers(0, 50, size=(n, 1, 6, 6), dtype=np.uint8)
    x[np.arange(n), 0, y] += 150
    return {"x": x, "y": y.astype(np.uint8)}


def array_bytes(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=True)
    return file.getvalue()


def with_header(header: str, data: bytes = b"", *, version: tuple[int, int] = (1, 0)) -> bytes:
    """An array whose header says what it likes."""
    text = header.encode("latin-1") + b"\n"
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + data


def archive(entries: list[tuple[str, bytes]], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content in entries:
            made.writestr(name, content)
    return file.getvalue()

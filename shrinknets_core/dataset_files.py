"""Data sets in `.npz` files, the rows as users have them."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from shrinknets_core.data import Split, split_rows
from shrinknets_core.errors import OptionError


def load_dataset_file(file: str | os.PathLike[str] | IO[bytes], *, name: str, seed: int) -> Split:
    """Load a `.npz` file, and split and standardise its rows as `split_rows` does.

    The file, given by its path or open for reading, has the arrays `x`, (n, inputs) or (n,
    channels, height, width), and `y`, (n,) whole numbers from 0, and may have `x_test` and
    `y_test`. Nothing in it is ever run.

    Raises:
        OptionError: the file has no such arrays, or they are not as said.
        FileNotFoundError: there is no such file.
    """
    try:
        # NumPy would leave a file open that is no archive.
        with _opened(file) as opened, np.load(opened, allow_pickle=False) as arrays:
            found = {key: _tensor(key, arrays[key]) for key in arrays.files}
    except (BadZipFile, EOFError, ValueError, TypeError) as error:
        expected = "a .npz file of plain arrays"
        raise OptionError("file", expected=expected, got=str(error)) from error
    if missing := {"x", "y"} - found.keys():
        raise OptionError("file", expected="the arrays x and y", got=f"no {missing}")
    test = None
    if "x_test" in found and "y_test" in found:
        test = found["x_test"], found["y_test"]
    return split_rows(name, found["x"], found["y"], seed=seed, test=test)


def _opened(file: str | os.PathLike[str] | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return Path(file).open("rb") if isinstance(file, str | os.PathLike) else nullcontext(file)


def _tensor(key: str, array: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    """The array in this machine's byte order; classes as int64, inputs as they are but no wider."""
    if key.startswith("y"):
        if array.dtype.kind not in "iu":
            raise OptionError(key, expected="whole numbers from 0", got=str(array.dtype))
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    wanted = np.uint8 if array.dtype == np.uint8 else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=wanted))

"""Rows of users' files are split and standardised as all others are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shrinknets_core import OptionError, load_dataset_file, split_rows
from tests.service.arrays import images, rows


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


def test_a_file_gives_the_split_of_its_rows(tmp_path: Path) -> None:
    arrays = rows(90)
    from_file = load_dataset_file(saved(tmp_path, **arrays), name="own", seed=4)
    from_rows = split_rows("own", torch.tensor(arrays["x"]), torch.tensor(arrays["y"]), seed=4)
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(from_file, part).x, getattr(from_rows, part).x)
        assert torch.equal(getattr(from_file, part).y, getattr(from_rows, part).y)


@pytest.mark.parametrize(
    "change",
    [lambda x: x.astype(">f8"), np.asfortranarray, lambda x: x.astype(np.float64)],
    ids=["big-endian", "fortran", "double"],
)
def test_how_the_numbers_are_stored_changes_nothing(tmp_path: Path, change: Any) -> None:
    arrays = rows(90)
    plain = load_dataset_file(saved(tmp_path, **arrays), name="own", seed=0)
    path = saved(tmp_path, x=change(arrays["x"]), y=arrays["y"].astype(">u2"))
    stored = load_dataset_file(path, name="own", seed=0)
    assert torch.equal(plain.train.x, stored.train.x)
    assert torch.equal(plain.train.y, stored.train.y)


def test_images_keep_their_shape(tmp_path: Path) -> None:
    split = load_dataset_file(saved(tmp_path, **images(90)), name="own", seed=0)
    assert split.input_shape == (1, 6, 6)
    assert split.mean.shape == (1, 1, 1)
    assert split.train.x.mean().abs() < 1e-5


def test_test_rows_of_its_own_are_the_test(tmp_path: Path) -> None:
    arrays, test = rows(90), rows(30, seed=1)
    path = saved(tmp_path, **arrays, x_test=test["x"], y_test=test["y"])
    with path.open("rb") as file:
        split = load_dataset_file(file, name="own", seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (72, 18, 30)
    raw = split.test.x * split.std + split.mean
    assert torch.allclose(raw, torch.tensor(test["x"]), atol=1e-5)
    assert torch.allclose(split.train.x.mean(0), torch.zeros(4), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_eight_rows_of_each_class_are_enough(tmp_path: Path, classes: int) -> None:
    path = saved(tmp_path, **rows(8 * classes, classes=classes))
    for seed in range(3):
        split = load_dataset_file(path, name="own", seed=seed)
        for part in (split.train, split.validation, split.test):
            assert part.y.unique().tolist() == list(range(classes))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": rows()["x"]}, "the arrays x and y"),
        ({**rows(), "y": rows()["y"] / 2}, "whole numbers"),
        ({**rows(), "x_test": np.zeros((1, 5)), "y_test": [0]}, "rows of shape"),
        ({**rows(), "x_test": np.zeros((1, 4)), "y_test": [9]}, "classes from 0 to 2"),
        ({"x": np.array([None]), "y": [0]}, "plain arrays"),
    ],
)
def test_a_file_with_other_arrays_is_told(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        load_dataset_file(saved(tmp_path, **arrays), name="own", seed=0)


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(OptionError, match="plain arrays"):
        load_dataset_file(tmp_path / "own.npz", name="own", seed=0)

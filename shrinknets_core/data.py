"""Data sets as tensors, split into training, validation and test rows by a seed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import Tensor

from shrinknets_core.errors import OptionError, UnknownDatasetError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
"""Of the rows that are not for the test."""
LOADERS: dict[str, Callable[[], Any]] = {
    "digits": datasets.load_digits,
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Examples.

    Attributes:
        x: (n, inputs) or (n, channels, height, width) float32, standardised.
        y: (n,) int64, the classes.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device | str) -> "Rows":
        """Return the same rows on a device."""
        return Rows(x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True, kw_only=True)
class Split:
    """A data set, ready for training.

    Attributes:
        train, validation, test: the rows, disjoint.
        mean, std: (inputs,), or (channels, 1, 1) for images, of the training rows; the rows hold
            (raw − mean) / std.
        num_classes: classes are 0 … num_classes − 1.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    mean: Tensor
    std: Tensor
    num_classes: int

    @property
    def inputs(self) -> int:
        """Numbers in one example."""
        return math.prod(self.input_shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.train.x.shape[1:])

    def to(self, device: torch.device | str) -> "Split":
        """Return the same split on a device."""
        return Split(
            name=self.name,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
            mean=self.mean.to(device),
            std=self.std.to(device),
            num_classes=self.num_classes,
        )


def dataset_names() -> tuple[str, ...]:
    """Return the names that `load_dataset` knows."""
    return tuple(LOADERS)


def load_dataset(name: str, *, seed: int) -> Split:
    """Load a data set that comes with scikit-learn and split it; needs no network.

    The split depends on the seed alone, keeps the share of each class, and puts 20 % of the rows
    into the test set and 20 % of the others into the validation set.

    Raises:
        UnknownDatasetError: there is no data set of this name.
    """
    if name not in LOADERS:
        raise UnknownDatasetError(name, dataset_names())
    data, target = _read(name)
    x = torch.as_tensor(data, dtype=torch.float32)
    y = torch.as_tensor(target, dtype=torch.int64)
    return split_rows(name, x, y, seed=seed)


def preload() -> None:
    """Do what `load_dataset` does at its first calls, so that forks of this process need not."""
    for name in LOADERS:
        _read(name)
    # The first split looks through all installed packages for kinds of tables.
    train_test_split([0, 1], test_size=1)


@cache
def _read(name: str) -> tuple[Any, Any]:
    """The rows and classes as arrays, never to be changed; parsing digits takes 40 ms."""
    bunch = LOADERS[name]()
    return bunch.data, bunch.target


def split_rows(
    name: str, x: Tensor, y: Tensor, *, seed: int, test: tuple[Tensor, Tensor] | None = None
) -> Split:
    """Split raw rows x and y (n,) int64, classes from 0, and standardise them.

    x is (n, inputs), or (n, channels, height, width) for images. Mean and deviation come from the
    training rows alone, one for each column or channel; what never changes there keeps the
    deviation 1. The rows become float32. The test rows are `test`, x and y of the same kinds, where
    it is given, and are otherwise taken from the rows.

    Raises:
        OptionError: shapes or classes are not as said, or a class has too few rows to be split.
    """
    _check_rows(x, y)
    x = x.float()
    if test is not None:
        _check_test(test, x, y)
    train, validation, of_test = _draw(y, seed=seed, has_test=test is not None)
    across = 0 if x.dim() == 2 else (0, 2, 3)
    mean, std = x[train].mean(across), x[train].std(across)
    if x.dim() == 4:
        mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    std = torch.where(std > 0, std, 1.0)
    held_out = (x[of_test], y[of_test]) if test is None else (test[0].float(), test[1])
    pairs = [(x[train], y[train]), (x[validation], y[validation]), held_out]
    parts = [Rows(x=(rows - mean) / std, y=classes) for rows, classes in pairs]
    return Split(
        name=name,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        mean=mean,
        std=std,
        num_classes=int(y.max()) + 1,
    )


def _draw(y: Tensor, *, seed: int, has_test: bool) -> tuple[list[int], list[int], list[int]]:
    """The places of the rows for training, for validation, and for the test if it has none."""
    rest: list[int] = list(range(len(y)))
    test: list[int] = []
    try:
        if not has_test:
            rest, test = train_test_split(rest, test_size=TEST_SHARE, stratify=y, random_state=seed)
        train, validation = train_test_split(
            rest, test_size=VALIDATION_SHARE, stratify=y[rest], random_state=seed
        )
    except ValueError as error:
        expected = "classes with enough rows for each of training, validation and test"
        raise OptionError("y", expected=expected, got=str(error)) from error
    return train, validation, test


def _check_test(test: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> None:
    _check_rows(*test)
    if test[0].shape[1:] != x.shape[1:]:
        expected = f"rows of shape {tuple(x.shape[1:])}, as those of x"
        raise OptionError("test", expected=expected, got=str(tuple(test[0].shape[1:])))
    if int(test[1].max()) > int(y.max()):
        expected = f"classes from 0 to {int(y.max())}, as those of y"
        raise OptionError("test", expected=expected, got=str(int(test[1].max())))


def _check_rows(x: Tensor, y: Tensor) -> None:
    if x.dim() not in {2, 4} or y.shape != x.shape[:1] or len(y) == 0:
        expected = "of shapes (n, inputs) or (n, channels, height, width), and (n,)"
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise OptionError("x and y", expected=expected, got=shapes)
    if y.is_floating_point() or int(y.min()) < 0:
        raise OptionError("y", expected="whole numbers from 0, one per class", got=y.tolist()[:10])

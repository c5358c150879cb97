"""Data sets: those that every worker has, and those that users hand in."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from shrinknets.wire._base import Wire

DATASET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""1 to 63 letters, digits, dots, lines and underscores, the first a letter or a digit."""

DatasetName = Annotated[str, Field(pattern=DATASET_PATTERN)]


class BuiltInDataset(StrEnum):
    """The data sets that every worker has."""

    DIGITS = "digits"
    BREAST_CANCER = "breast_cancer"
    WINE = "wine"


class DatasetSource(StrEnum):
    """Where a data set comes from."""

    BUILT_IN = "built_in"
    UPLOADED = "uploaded"


class Dataset(Wire):
    """A data set of classified rows; what it holds never changes under one name."""

    name: str
    source: DatasetSource
    rows: int
    """Those of `x`, from which a job takes its validation rows, and test rows if there are none."""
    test_rows: int | None
    """Those of `x_test`; None where a job takes them from the others."""
    input_shape: list[int]
    """Of one row: the number of inputs, or channels, height and width."""
    num_classes: int
    dtype: str
    """Of the inputs as they are stored, such as `float32` or `uint8`."""
    size_bytes: int | None
    """Of the file; None for one that every worker has."""
    sha256: str | None
    """Of the file; None for one that every worker has."""
    owner: str
    """Who handed it in; empty for one that every worker has."""
    created_at: datetime


class DatasetDetails(Dataset):
    """A data set with what takes longer to find out."""

    class_counts: list[int]
    """Rows of `x` of each class, from class 0."""
    num_jobs: int
    """Jobs that use it; while there are some it cannot be deleted."""
    jobs: list[str]
    """The ids of the newest of them."""


class DatasetFile(Wire):
    """Which file a trial fetches for its data set."""

    sha256: str
    size_bytes: int

"""Looks into `.npz` files of data sets without trusting a word of them, and in constant memory."""

from service.npz.archive import BEGINNING
from service.npz.contents import (
    MAX_CLASSES,
    MAX_INPUTS,
    MAX_ROWS,
    MIN_ROWS_PER_CLASS,
    Contents,
    inspect,
)

__all__ = [
    "BEGINNING",
    "MAX_CLASSES",
    "MAX_INPUTS",
    "MAX_ROWS",
    "MIN_ROWS_PER_CLASS",
    "Contents",
    "inspect",
]

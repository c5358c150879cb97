"""Data sets that come with scikit-learn."""

import pytest
import torch

from shrinknets_core import dataset_names, load_dataset
from shrinknets_core.data import preload


@pytest.mark.parametrize("name", dataset_names())
def test_what_is_kept_of_a_data_set_cannot_be_changed_through_a_split(name: str) -> None:
    preload()
    first = load_dataset(name, seed=0)
    expected = [part.clone() for rows in (first.train, first.test) for part in (rows.x, rows.y)]
    for rows in (first.train, first.validation, first.test):
        rows.x.fill_(7)
        rows.y.fill_(0)
    again = load_dataset(name, seed=0)
    found = [part for rows in (again.train, again.test) for part in (rows.x, rows.y)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))

"""How many rows of a data set a job chooses by."""

import math

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
"""Of the rows that are not for the test."""


def validation_rows(rows: int, *, has_test_rows: bool) -> int:
    """Return how many rows a trial validates on.

    Args:
        rows: of the data set, those of its own for the test left out.
        has_test_rows: whether it has such; otherwise they are taken from the others first.
    """
    rest = rows if has_test_rows else rows - math.ceil(TEST_SHARE * rows)
    return math.ceil(VALIDATION_SHARE * rest)

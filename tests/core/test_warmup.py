"""For how long gates are held."""

import pytest

from shrinknets_core import Split, TrainOptions
from shrinknets_core.shrinking import warmup_epochs


@pytest.mark.parametrize(
    ("lr", "expected"),
    [
        pytest.param(1e-3, 6, id="weights that are fast enough: a tenth"),
        pytest.param(3e-4, 8, id="slow weights: until they could have moved by 0.012"),
        pytest.param(1e-6, 15, id="weights that hardly move: a quarter and no more"),
    ],
)
def test_the_warm_up_waits_for_slow_weights(digits: Split, lr: float, expected: int) -> None:
    steps = TrainOptions(batch_size=len(digits.train) // 5 + 1).steps_per_epoch(digits)
    assert steps == 5
    options = TrainOptions(epochs=60, batch_size=len(digits.train) // 5 + 1, lr=lr)
    assert warmup_epochs(digits, options) == expected


def test_a_short_training_has_a_short_warm_up(digits: Split) -> None:
    options = TrainOptions(epochs=2, batch_size=10_000, lr=1e-5)
    assert warmup_epochs(digits, options) == 0

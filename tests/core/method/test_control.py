"""How fast a size is asked to fall."""

import math

import pytest

from shrinknets_core.method.control import LambdaControl


def control(size: float, *, least: float) -> LambdaControl:
    return LambdaControl(size, first_lam=1e-3, rate=0.02, slow_below=40, least=least)


def aims(size: float, *, least: float, times: int) -> list[float]:
    steering = control(size, least=least)
    result = []
    for _ in range(times):
        steering.aim(size)
        result.append(steering.state_dict()["aim"])
    return result


def test_a_large_size_falls_by_its_rate_whatever_the_least_loss() -> None:
    assert aims(1000, least=0.2, times=3) == pytest.approx(
        [1000 * math.exp(-0.02 * n) for n in (1, 2, 3)]
    )


def test_a_small_size_falls_by_no_less_than_the_least_loss() -> None:
    assert aims(10, least=0.2, times=3) == pytest.approx([9.8, 9.6, 9.4])
    assert aims(10, least=0.0, times=1)[0] > 9.9


def test_the_aim_stays_positive_so_that_lam_still_rises_at_the_last_feature() -> None:
    steering = control(1, least=0.2)
    for _ in range(20):
        steering.aim(1)
        before = steering.lam
        steering.correct(1)
        assert steering.lam > before
    steering.correct(0)
    assert 0 < steering.lam < before * math.exp(0.15)

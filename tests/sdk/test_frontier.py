"""The frontier is what its definition says, and the best network is on it."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shrinknets.frontier import best, frontier


@dataclass(frozen=True)
class Point:
    parameters: int
    validation_accuracy: float


points = st.lists(st.builds(Point, st.integers(1, 8), st.sampled_from([0.1, 0.5, 0.7, 0.9])))


def beats(one: Point, other: Point) -> bool:
    no_worse = (
        one.parameters <= other.parameters and one.validation_accuracy >= other.validation_accuracy
    )
    return no_worse and one != other


@given(points)
def test_the_frontier_is_what_nothing_beats_each_once(networks: list[Point]) -> None:
    expected = {n for n in networks if not any(beats(other, n) for other in networks)}
    found = frontier(networks)
    assert found == sorted(expected, key=lambda n: n.parameters)


@given(points, st.sampled_from([0.0, 0.2, 0.4]))
def test_what_is_given_up_for_size_is_no_more_than_was_allowed(
    networks: list[Point], within: float
) -> None:
    found = best(networks, within=within)
    if found is None:
        assert networks == []
        return
    top = max(n.validation_accuracy for n in networks)
    good = [n for n in networks if n.validation_accuracy >= top - within - 1e-6]
    assert found in good
    assert found.parameters == min(n.parameters for n in good)


@given(points, st.integers(1, 8))
def test_the_best_fits_and_is_the_end_of_the_frontier_of_what_fits(
    networks: list[Point], limit: int
) -> None:
    fitting = [n for n in networks if n.parameters <= limit]
    found = best(networks, max_parameters=limit)
    assert found == (frontier(fitting)[-1] if fitting else None)

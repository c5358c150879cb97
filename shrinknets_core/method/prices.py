"""What a feature of each group is charged by: alike, or by parameters, MACs or measured time."""

from collections.abc import Callable, Mapping

from shrinknets_core.feature_groups import Group
from shrinknets_core.method.counting import macs_per_feature
from shrinknets_core.method.layout import Layout
from shrinknets_core.method.options import Price

LEAST_SHARE = 1e-3
"""Of the dearest group's cost; so much at least is charged, as time is measured with noise."""


def group_prices(
    layout: Layout,
    uses: Mapping[str, float],
    price: Price,
    *,
    exponent: float,
    latency: Callable[[Group], float],
) -> dict[Group, float]:
    """Return what a feature of each group is charged, relative to the mean of all groups.

    Args:
        layout: where features are, all of them there.
        uses: how often each entry of a weight is multiplied per example.
        price: the measure.
        exponent: of that measure.
        latency: returns the seconds that one feature of a group takes.
    """
    costs = {}
    for group in layout.groups:
        match price:
            case Price.UNIT:
                costs[group] = 1.0
            case Price.PARAMETERS:
                costs[group] = float(group.cost)
            case Price.MACS:
                costs[group] = macs_per_feature(layout, uses, group)
            case Price.LATENCY:
                costs[group] = latency(group)
    if not costs:
        return {}
    least = LEAST_SHARE * max(costs.values()) or 1.0
    powers = {group: max(least, cost) ** exponent for group, cost in costs.items()}
    mean = sum(powers.values()) / len(powers)
    return {group: power / mean for group, power in powers.items()}

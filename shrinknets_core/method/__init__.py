"""The method: how gates are trained, priced and given up, and how λ is steered."""

from shrinknets_core.method.control import LambdaControl, TargetControl
from shrinknets_core.method.coordinator import Coordinator
from shrinknets_core.method.counting import Count, Counter
from shrinknets_core.method.options import Price, Removal, Rule, ShrinkOptions, Target
from shrinknets_core.method.rules import Proximal, Subgradient
from shrinknets_core.method.stepping import Stepping

__all__ = [
    "Coordinator",
    "Count",
    "Counter",
    "LambdaControl",
    "Price",
    "Proximal",
    "Removal",
    "Rule",
    "ShrinkOptions",
    "Stepping",
    "Subgradient",
    "Target",
    "TargetControl",
]

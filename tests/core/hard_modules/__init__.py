"""Small modules that are hard to shrink, each with example inputs, by theme.

Widths differ within a module, so that a mix-up shows as a wrong shape. Factories seed themselves:
two calls give equal modules, with float64 weights and random biases and running statistics.
"""

from tests.core.hard_modules import (  # noqa: F401, I001 - they register, in the catalogue's order
    activations,
    convolutions,
    flattening,
    norms,
    pooling_and_dropout,
    sharing,
    raw_weights,
    rearranging,
    blocks,
    transformer_parts,
    masks,
    attention,
    recurrent,
    parametrizations,
    over_features,
    control_flow,
    training,
    signatures,
    indexing,
    module_state,
)
from tests.core.hard_modules.catalogue import CATALOGUE, HardModule

__all__ = ["CATALOGUE", "HardModule"]

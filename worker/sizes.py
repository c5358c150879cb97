"""Which sizes the search proposes for networks whose size stays as it is."""

from collections.abc import Sequence

from shrinknets.wire import MLP, FamilyOffer, FixedSearch, JobSpec, NetworkBounds, Params
from worker.spaces import Asking

LEAST_WIDTH = 4


class LayeredNetwork(NetworkBounds):
    """Bounds that know their family's layers; only a search makes them, nobody sends them."""

    offer: FamilyOffer


def with_layers(spec: JobSpec, offer: FamilyOffer | None) -> JobSpec:
    """The job whose network knows its layers, for `suggest_sizes`; needs settled bounds."""
    if offer is None:
        return spec
    network = LayeredNetwork(family=offer.name, widths=spec.network.widths, offer=offer)
    return spec.model_copy(update={"network": network})


def suggest_sizes(asking: Asking, spec: JobSpec, search: FixedSearch) -> Params:
    """Depth and widths: `width_3` is that of the fourth layer, and a layer without is left out.

    The depth counts the layers that a network can do without: all of a perceptron's, the branches
    of a residual network. Where there are none, nothing is asked for it. Of branches those that
    stay are spread evenly.
    """
    bounds = spec.network.widths
    assert bounds is not None, "settled before the search"
    optional = _optional(spec.network, bounds)
    sizes: Params = {}
    left = set(range(len(bounds)))
    if optional:
        low, high = (search.depth.low, search.depth.high) if search.depth else (1, len(optional))
        sizes["depth"] = depth = asking.whole("depth", low, high)
        left -= set(optional) - set(_kept(spec.network, optional, depth))
    for layer, bound in enumerate(bounds):
        if layer not in left or bound == 0:
            continue
        low, high = min(LEAST_WIDTH, bound), bound
        if search.width is not None:
            low, high = search.width.low, search.width.high
        sizes[f"width_{layer}"] = asking.whole(f"width_{layer}", low, high, log=True)
    return sizes


def _optional(network: NetworkBounds, bounds: Sequence[int]) -> tuple[int, ...]:
    if isinstance(network, LayeredNetwork):
        return network.offer.optional(bounds)
    assert network.family == MLP, "a search knows its family's layers"
    return tuple(range(len(bounds)))


def _kept(network: NetworkBounds, optional: Sequence[int], depth: int) -> list[int]:
    """The layers that stay: of a stack the first ones, of branches every so many."""
    if not isinstance(network, LayeredNetwork) or _is_stack(network.offer):
        return list(optional[:depth])
    steps = [place * depth // len(optional) for place in range(len(optional) + 1)]
    return [layer for place, layer in enumerate(optional) if steps[place + 1] > steps[place]]


def _is_stack(offer: FamilyOffer) -> bool:
    return offer.repeated is not None and offer.repeated.least > 0

"""The network families that workers can build, and whether a job asks for what one has."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shrinknets.wire._base import Storable, Wire, WrongFieldError
from shrinknets.wire.network import Bound, FamilyName, NetworkBounds
from shrinknets.wire.spec import JobSpec

MAX_LAYERS = 1_000


class FamilyLayer(Wire):
    """A layer whose width is one of the numbers that shape a network."""

    name: Annotated[str, Field(min_length=1, max_length=200), Storable]
    full: Bound
    """The upper bound by default."""
    least: Bound = 1
    """0 where the network can do without the layer."""


class FamilyOffer(Wire):
    """A family that a worker can build."""

    name: FamilyName
    layers: Annotated[tuple[FamilyLayer, ...], Field(max_length=MAX_LAYERS)]
    """Those that every network of the family has, input side first."""
    repeated: FamilyLayer | None = None
    """One that may come any number of times after them, `{}` in its name for the number."""
    repeats: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = 1
    """How often it comes by default."""
    image_side: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """The least height and width of images that it takes; None where it takes rows too."""

    def layers_of(self, num_widths: int | None = None) -> tuple[FamilyLayer, ...]:
        """The layer of each width; by default of as many as the family's own bounds have."""
        if self.repeated is None:
            return self.layers
        wanted = self.repeats if num_widths is None else num_widths - len(self.layers)
        return (*self.layers, *(_numbered(self.repeated, n + 1) for n in range(max(1, wanted))))

    def width_names(self, num_widths: int | None = None) -> tuple[str, ...]:
        """What the family calls the layer of each width."""
        return tuple(layer.name for layer in self.layers_of(num_widths))

    def optional(self, widths: Sequence[int]) -> tuple[int, ...]:
        """The places of those widths whose layers a network can do without."""
        layers = self.layers_of(len(widths))
        return tuple(
            place
            for place, (layer, width) in enumerate(zip(layers, widths, strict=True))
            if width > 0 and (layer.least == 0 or place >= len(self.layers))
        )


def settled(
    spec: JobSpec, offer: FamilyOffer, *, input_shape: Sequence[int] | None = None
) -> JobSpec:
    """The job with its family's own bounds filled in, where it leaves them open.

    Raises WrongFieldError where the family has no such network for inputs of this shape, or a
    search asks for a depth that it cannot have.
    """
    side = offer.image_side
    if input_shape is not None and side is not None:
        is_image = len(input_shape) == 3
        if not is_image or min(input_shape[1:]) < side:
            shown = " × ".join(str(axis) for axis in input_shape)
            raise WrongFieldError(
                field="dataset",
                given=f"{spec.dataset}, of shape {shown}",
                allowed=f"images (channels, height, width) of at least {side} × {side} pixels for "
                f"the family {offer.name!r}",
            )
    widths = spec.network.widths
    if widths is None:
        widths = tuple(layer.full for layer in offer.layers_of())
    _check_widths(widths, offer)
    network = NetworkBounds(family=offer.name, widths=widths)
    _check_searches(spec, widths, offer)
    return spec.model_copy(update={"network": network})


def _check_widths(widths: Sequence[int], offer: FamilyOffer) -> None:
    layers = offer.layers_of(len(widths))
    if len(layers) != len(widths):
        names = ", ".join(layer.name for layer in offer.layers_of())
        more = ", …" if offer.repeated is not None else ""
        least = f"{len(layers)} or more" if offer.repeated is not None else str(len(layers))
        raise WrongFieldError(
            field="network.widths",
            given=list(widths),
            allowed=f"{least} numbers for the family {offer.name!r}: {names}{more}",
        )
    for place, (layer, width) in enumerate(zip(layers, widths, strict=True)):
        if width < layer.least:
            raise WrongFieldError(
                field=f"network.widths.{place}",
                given=width,
                allowed=f"at least {layer.least} for {layer.name}",
            )


def _check_searches(spec: JobSpec, widths: Sequence[int], offer: FamilyOffer) -> None:
    num_optional = len(offer.optional(widths))
    narrowest = min((width for width in widths if width > 0), default=0)
    for method, search in (("fixed", spec.methods.fixed), ("fixed_l2", spec.methods.fixed_l2)):
        if search is None:
            continue
        if search.depth is not None and search.depth.high > num_optional:
            raise WrongFieldError(
                field=f"methods.{method}.depth.high",
                given=search.depth.high,
                allowed=f"at most {num_optional}, the layers of these bounds that a network of the "
                f"family {offer.name!r} can do without",
            )
        if search.width is not None and search.width.high > narrowest:
            raise WrongFieldError(
                field=f"methods.{method}.width.high",
                given=search.width.high,
                allowed=f"at most {narrowest}, the least of network.widths",
            )


def _numbered(layer: FamilyLayer, number: int) -> FamilyLayer:
    return FamilyLayer(
        name=layer.name.replace("{}", str(number)), full=layer.full, least=layer.least
    )

"""What a network family is: a name, the numbers that shape it, and how it is built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import nn

from shrinknets_core.errors import OptionError
from shrinknets_core.sizes import Size, size_on_meta

Make = Callable[[tuple[int, ...], tuple[int, ...], int], nn.Module]
"""Builds a module from the shape of one example, the widths and the number of classes."""
Count = Callable[[tuple[int, ...], tuple[int, ...], int], Size]
"""Counts what `Make` would build from the same arguments."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer whose width is one of the numbers that shape a network.

    Attributes:
        name: what people read, such as `conv1`.
        path: the module in the network whose output features are counted; empty where it is the
            name.
        full: the upper bound by default.
        least: 0 where the network can do without the layer, 1 elsewhere.
    """

    name: str
    path: str = ""
    full: int
    least: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.full:
            bounds = (self.least, self.full)
            raise OptionError(f"bounds of {self.name}", expected="0 ≤ least ≤ full", got=bounds)
        if not self.path:
            object.__setattr__(self, "path", self.name)

    def numbered(self, number: int) -> "Layer":
        """Return a copy with the number in place of `{}` in name and path."""
        return replace(self, name=self.name.format(number), path=self.path.format(number))


@dataclass(frozen=True, kw_only=True)
class Family:
    """A way to build plain modules from widths, the same for bounds that shrink and fixed sizes.

    All shapes are those of one example, without the batch; a module takes a batch and gives logits
    (batch, num_classes).

    Attributes:
        name: what a job calls it.
        make: builds the module with weights from torch's global generator; gets checked values.
        layers: those that each network of the family has, input side first.
        repeated: a layer that may come any number of times after them, `{}` in its name and path
            for the number from 1; None where there is no such layer.
        repeats: how often it comes by default.
        image_side: the least height and width of the images (channels, height, width) that it
            takes; None where it takes any shape.
        count: a formula for the size; None to count what `make` builds on the meta device, where
            no tensor has values.
    """

    name: str
    make: Make
    layers: tuple[Layer, ...] = ()
    repeated: Layer | None = None
    repeats: int = 1
    image_side: int | None = None
    count: Count | None = None

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise OptionError("repeats", expected="at least 1", got=self.repeats)
        layers = list(self.layers)
        if self.repeated is not None:
            layers += [self.repeated.numbered(1), self.repeated.numbered(2)]
        names = [layer.name for layer in layers]
        if not names or len(set(names)) < len(names):
            raise OptionError(
                f"layers of the family {self.name!r}",
                expected="at least one, each with a name of its own ({} numbers a repeated one)",
                got=names,
            )

    @property
    def full_widths(self) -> tuple[int, ...]:
        """The upper bounds of a network when nobody gives any."""
        return tuple(layer.full for layer in self.layers_of())

    def layers_of(self, num_widths: int | None = None) -> tuple[Layer, ...]:
        """Return the layer of each width, input side first; as many as `full_widths` by default.

        Raises:
            OptionError: no network of the family has so many widths.
        """
        layers = self.layers
        if self.repeated is not None:
            wanted = self.repeats if num_widths is None else num_widths - len(layers)
            numbers = range(1, max(1, wanted) + 1)
            layers = (*layers, *(self.repeated.numbered(number) for number in numbers))
        if num_widths not in (None, len(layers)):
            raise OptionError("widths", expected=self._expected_widths(), got=num_widths)
        return layers

    def width_names(self, num_widths: int | None = None) -> tuple[str, ...]:
        """Return the name of each width; as many as `full_widths` by default.

        Raises:
            OptionError: no network of the family has so many widths.
        """
        return tuple(layer.name for layer in self.layers_of(num_widths))

    def check(self, input_shape: Sequence[int], widths: Sequence[int], num_classes: int) -> None:
        """Refuse what can't be built, without building it.

        Raises:
            OptionError: a shape, a width or the number of classes is not as the family needs it.
        """
        self._check_input(input_shape)
        for layer, got in zip(self.layers_of(len(widths)), widths, strict=True):
            _check_whole(f"width of {layer.name}", got, least=layer.least)
        _check_whole("num_classes", num_classes, least=1)

    def build(
        self, input_shape: Sequence[int], widths: Sequence[int], num_classes: int
    ) -> nn.Module:
        """Build the module on torch's default device, weights drawn from its global generator.

        Raises:
            OptionError: see `check`.
        """
        self.check(input_shape, widths, num_classes)
        return self.make(tuple(input_shape), tuple(widths), num_classes)

    def size(self, input_shape: Sequence[int], widths: Sequence[int], num_classes: int) -> Size:
        """Count parameters and MACs of what `build` would build, without its weights.

        Raises:
            OptionError: see `check`.
        """
        self.check(input_shape, widths, num_classes)
        count = self._counted if self.count is None else self.count
        return count(tuple(input_shape), tuple(widths), num_classes)

    def _counted(self, input_shape: tuple[int, ...], widths: tuple[int, ...], classes: int) -> Size:
        return _count_on_meta(self.make, input_shape, widths, classes)

    def _check_input(self, input_shape: Sequence[int]) -> None:
        for got in input_shape:
            _check_whole("each axis of input_shape", got, least=1)
        if self.image_side is None:
            if not input_shape:
                raise OptionError("input_shape", expected="of one axis or more", got=input_shape)
        elif len(input_shape) != 3 or min(input_shape[1:]) < self.image_side:
            raise OptionError(
                "input_shape",
                expected=f"(channels, height, width) for the family {self.name!r}, height and "
                f"width at least {self.image_side}",
                got=tuple(input_shape),
            )

    def _expected_widths(self) -> str:
        names = [layer.name for layer in self.layers]
        if self.repeated is None:
            return f"{len(names)} numbers for the family {self.name!r}: {', '.join(names)}"
        names += [self.repeated.numbered(1).name, self.repeated.numbered(2).name, "…"]
        least = len(self.layers) + 1
        return f"{least} or more numbers for the family {self.name!r}: {', '.join(names)}"


@lru_cache(maxsize=4096)
def _count_on_meta(
    make: Make, input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int
) -> Size:
    return size_on_meta(lambda: make(input_shape, widths, num_classes), input_shape)


def _check_whole(option: str, got: object, *, least: int) -> None:
    if not isinstance(got, int) or isinstance(got, bool) or got < least:
        raise OptionError(option, expected=f"a whole number of at least {least}", got=got)

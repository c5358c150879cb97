"""Which network a job sizes: its family and the most features that each layer may have."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from shrinknets.wire._base import Wire, WrongFieldError

FAMILY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""1 to 63 letters, digits, dots, lines and underscores, the first a letter or a digit."""
MLP = "mlp"
MLP_WIDTHS = (256, 256)
MAX_MLP_LAYERS = 16
MAX_LAYERS = 256
MAX_WIDTH = 100_000

FamilyName = Annotated[str, Field(pattern=FAMILY_PATTERN)]
Bound = Annotated[int, Field(strict=True, ge=0, le=MAX_WIDTH)]


class NetworkBounds(Wire):
    """A network of a family, as wide as it may be."""

    family: FamilyName = MLP
    """`mlp`, `residual_mlp`, `lenet5`, `vgg11` to `vgg19`, `resnet20` to `resnet56`, or one that a
    package adds on the workers; `GET /api/v1/families` lists what there is."""
    widths: Annotated[tuple[Bound, ...], Field(min_length=1, max_length=MAX_LAYERS)] | None = None
    """Upper bound per layer, input side first; by default the family's own. 0 leaves a layer out
    where the family can do without it."""

    @model_validator(mode="before")
    @classmethod
    def _with_the_widths_of_a_perceptron(cls, given: Any) -> Any:
        is_mlp = isinstance(given, dict) and given.get("family", MLP) == MLP
        return {**given, "widths": MLP_WIDTHS} if is_mlp and given.get("widths") is None else given

    @model_validator(mode="after")
    def _as_perceptrons_need_them(self) -> Self:
        if self.family != MLP or self.widths is None:
            return self
        for layer, width in enumerate(self.widths):
            if width < 1:
                allowed = "a number of at least 1"
                raise WrongFieldError(field=f"network.widths.{layer}", given=width, allowed=allowed)
        if len(self.widths) > MAX_MLP_LAYERS:
            raise WrongFieldError(
                field="network.widths",
                given=self.widths,
                allowed=f"at most {MAX_MLP_LAYERS} items for the family 'mlp'",
            )
        return self

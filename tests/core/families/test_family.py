"""What holds for every family: counts, forward passes, exports, and errors before building."""

import math
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shrinknets_core import families
from shrinknets_core.errors import OptionError
from shrinknets_core.families import Family, Layer, get_family
from shrinknets_core.sizes import Size
from tests.core.families.conftest import Case, make_case, measured


def test_the_public_names_are_all_there() -> None:
    assert sorted(families.__all__) == families.__all__
    assert all(hasattr(families, name) for name in families.__all__)


def test_the_size_is_that_of_the_module_built(case: Case) -> None:
    assert case.size() == measured(case.build(), case.batch(2))


def test_the_default_bounds_can_be_counted_and_are_named(case: Case) -> None:
    family = case.family
    assert len(family.width_names()) == len(family.full_widths)
    assert family.size(case.input_shape, family.full_widths, 10).parameters > 0


def test_each_width_is_the_number_of_features_of_the_layer_it_names(case: Case) -> None:
    module = case.build()
    for layer, width in zip(case.family.layers_of(len(case.widths)), case.widths, strict=True):
        made = module.get_submodule(layer.path)
        features = made.out_channels if isinstance(made, nn.Conv2d) else made.out_features
        assert features == width, layer


def test_it_trains_and_evaluates(case: Case) -> None:
    module = case.build()
    x = case.batch(4)
    logits = module.train()(x)
    assert logits.shape == (4, case.num_classes)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    with torch.no_grad():
        outputs = module.eval()(x)
        torch.testing.assert_close(outputs[:1], module(x[:1]))
    assert outputs.isfinite().all()


def test_it_is_made_of_plain_layers_that_leave_their_input_alone(case: Case) -> None:
    module, x = case.build().eval(), case.batch(2)
    before = x.clone()
    module(x)
    assert torch.equal(x, before)
    assert not any(getattr(layer, "inplace", False) for layer in module.modules())
    assert all(p.dtype == torch.float32 and p.requires_grad for p in module.parameters())


def test_the_same_seed_gives_the_same_weights(case: Case) -> None:
    pairs = zip(case.build().parameters(), case.build().parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["mlp", "residual_mlp", "lenet5", "vgg11", "resnet20"])
def test_it_can_be_exported_for_any_batch(name: str) -> None:
    case = make_case(name)
    module = case.build().eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(
        module, (case.batch(3),), dynamic_shapes=({0: batch},), strict=False
    )
    x = case.batch(5)
    torch.testing.assert_close(program.module()(x), module(x))


def test_a_width_of_zero_is_refused_by_name_where_the_layer_is_needed(case: Case) -> None:
    for position, layer in enumerate(case.family.layers_of(len(case.widths))):
        widths = [*case.widths]
        widths[position] = layer.least - 1
        with pytest.raises(OptionError, match=f"width of {layer.name} must be .* least") as caught:
            case.family.build(case.input_shape, widths, 3)
        assert caught.value.got == layer.least - 1


@pytest.mark.parametrize("width", [2.0, "8", True, None])
def test_a_width_must_be_a_whole_number(case: Case, width: object) -> None:
    with pytest.raises(OptionError, match="whole number of at least"):
        case.family.check(case.input_shape, [width, *case.widths[1:]], 3)


def test_missing_widths_are_refused_with_the_names_of_all(case: Case) -> None:
    with pytest.raises(OptionError, match=case.family.width_names()[0]):
        case.family.size(case.input_shape, (), 3)


@pytest.mark.parametrize("num_classes", [0, -1, 2.5])
def test_classes_must_be_a_positive_whole_number(case: Case, num_classes: int) -> None:
    with pytest.raises(OptionError, match="num_classes"):
        case.family.check(case.input_shape, case.widths, num_classes)


@pytest.mark.parametrize("axis", [0, -3, 1.5])
def test_an_axis_of_the_input_must_be_a_positive_whole_number(case: Case, axis: int) -> None:
    with pytest.raises(OptionError, match="each axis of input_shape"):
        case.family.check((*case.input_shape[:-1], axis), case.widths, 3)


def test_images_that_are_too_small_or_no_images_are_refused(case: Case) -> None:
    side = case.family.image_side
    if side is None:
        case.family.check((2, 3, 4, 5), case.widths, 3)
        with pytest.raises(OptionError, match="one axis or more"):
            case.family.check((), case.widths, 3)
        return
    module = case.family.build((1, side, side), case.widths, 3)
    assert module.eval()(torch.zeros(1, 1, side, side)).shape == (1, 3)
    for shape in [(1, side - 1, side), (1, side, side - 1), (side, side), (side * side,), ()]:
        with pytest.raises(OptionError, match=f"height and width at least {side}"):
            case.family.check(shape, case.widths, 3)


def test_a_size_comes_fast_enough_for_every_epoch(case: Case) -> None:
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        case.size()
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 1e-3


def make_wide(
    input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int
) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), widths[0]),
        nn.BatchNorm1d(widths[0]),
        nn.Linear(widths[0], num_classes),
    )


def test_a_family_without_a_formula_is_counted_without_its_weights() -> None:
    family = Family(name="wide", make=make_wide, layers=(Layer(name="hidden", full=10),))
    rng = torch.get_rng_state()
    million = 10**6
    assert family.size((million,), (million,), 10) == Size(
        parameters=million * million + 3 * million + 10 * million + 10,
        macs=million * million + 10 * million,
    )
    assert torch.equal(rng, torch.get_rng_state())


@pytest.mark.parametrize("name", ["mlp", "residual_mlp", "lenet5", "resnet20", "vgg11"])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_formula_and_module_agree_for_any_shape_and_widths(name: str, data: st.DataObject) -> None:
    family = get_family(name)
    if family.image_side is None:
        input_shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    else:
        side = st.integers(family.image_side, family.image_side + 9)
        input_shape = data.draw(st.tuples(st.integers(1, 3), side, side))
    repeats = 0 if family.repeated is None else data.draw(st.integers(1, 5))
    layers = family.layers_of(len(family.layers) + repeats)
    widths = data.draw(st.tuples(*(st.integers(layer.least, 6) for layer in layers)))
    num_classes = data.draw(st.integers(1, 4))
    module = family.build(input_shape, widths, num_classes)
    assert family.size(input_shape, widths, num_classes) == measured(
        module, torch.randn(2, *input_shape)
    )


def test_bounds_of_a_layer_must_be_in_order() -> None:
    with pytest.raises(OptionError, match="bounds of fc"):
        Layer(name="fc", full=3, least=4)


@pytest.mark.parametrize(
    "layers",
    [
        {},
        {"layers": (Layer(name="fc", full=3), Layer(name="fc", full=4))},
        {"repeated": Layer(name="fc", full=3)},
    ],
)
def test_a_family_needs_layers_with_names_of_their_own(layers: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="a name of its own"):
        Family(name="odd", make=make_wide, **layers)


def test_a_repeated_layer_must_come_once_at_least() -> None:
    with pytest.raises(OptionError, match="repeats"):
        Family(name="odd", make=make_wide, repeated=Layer(name="fc{}", full=3), repeats=0)

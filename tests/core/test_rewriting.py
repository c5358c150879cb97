"""Forward passes written anew: modules whose own code would not follow a collection."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shrinknets_core import Shrinker
from shrinknets_core.rewriting import rewriter
from shrinknets_core.rewriting.attention import replace, undo
from shrinknets_core.rewriting.forwards import Forward


class LiteralFlatten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(72, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x)).view(-1, 8 * 3 * 3))


class Attention(nn.Module):
    """Heads by attributes, merged into the batch as older code does, and a scale from the size."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head_dim, self.drop = 3, 4, 0.0
        self.qkv, self.out = nn.Linear(6, 36), nn.Linear(12, 5)

    def split(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        x = x.view(batch, tokens, self.heads, self.head_dim).transpose(1, 2)
        return x.reshape(batch * self.heads, tokens, self.head_dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = map(self.split, self.qkv(x).chunk(3, dim=-1))
        scores = query @ key.mT / query.size(-1) ** 0.5
        if mask is not None:
            scores = scores + mask
        weights = functional.dropout(scores.softmax(-1), self.drop, self.training)
        x = (weights @ value).view(len(x), self.heads, x.shape[1], self.head_dim)
        return self.out(x.transpose(1, 2).flatten(2))


class Modes(nn.Module):
    """Different code in both modes, each with sizes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if self.training:
            first, second = x.split([5, 7], dim=1)
            x = torch.cat([first, second * 2], dim=1)
        return self.last(x.view(-1, 12))


class Ends(nn.Module):
    """Positions counted from the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(torch.cat([x[:, -4:] * 2, x[:, :-4]], dim=1))


class Keeps(LiteralFlatten):
    """Keeps something from one call to the next, which no graph would."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.shape[0]
        return super().forward(x)


class Marks(nn.Module):
    """Tells a part of it a size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.last.rows = x.shape[0]
        return self.last(self.first(x).relu().view(-1, 12))


class Cubed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Differentiates(nn.Module):
    """Uses a function with a gradient of its own, which operations alone would lose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(Cubed.apply(self.first(x)).view(-1, 12))


class Asks(nn.Module):
    """Decides by the number of examples."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu().view(-1, 12)
        return self.last(x if x.shape[0] > 1 else -x)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images() -> Tensor:
    return torch.randn(5, 3, 5, 5, dtype=torch.float64)


def tokens() -> Tensor:
    return torch.randn(2, 7, 6, dtype=torch.float64)


def rows() -> Tensor:
    return torch.randn(5, 6, dtype=torch.float64)


def shrunken(module: nn.Module, x: Tensor, *, times: int = 1) -> tuple[nn.Module, Shrinker]:
    """Kill a feature of each group and collect, some times over; outputs must stay."""
    model = nn.Sequential(module).double()
    shrinker = Shrinker(model, x)
    assert shrinker.groups
    for time in range(times):
        for group in shrinker.groups:
            if group.size > 1:
                group.kill([time % group.size])
        before = outputs(model, x)
        assert shrinker.collect().total
        assert_same(before, outputs(model, x))
    return model, shrinker


def outputs(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [model.train(training)(x) for training in (False, True)]


def assert_same(first: list[Tensor], second: list[Tensor]) -> None:
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [(LiteralFlatten, images), (Attention, tokens), (Modes, rows), (Ends, rows)],
)
def test_sizes_are_told_again_with_each_collection(
    make: Callable[[], nn.Module], inputs: Callable[[], Tensor]
) -> None:
    x = inputs()
    model, shrinker = shrunken(make(), x, times=3)
    before = outputs(model, x)
    network = shrinker.finish()
    assert_same(before, outputs(network, x))
    assert isinstance(network[0].forward, Forward)
    assert "shrinknets" not in network[0].forward.source


def test_other_batch_sizes_and_lengths_go_through() -> None:
    model, _ = shrunken(Attention(), tokens())
    x = torch.randn(3, 4, 6, dtype=torch.float64)
    single = torch.cat([model.eval()(part) for part in x.split(1)])
    torch.testing.assert_close(model(x), single)


def test_a_copy_has_parameters_and_code_of_its_own() -> None:
    x = images()
    model, shrinker = shrunken(LiteralFlatten(), x)
    shrinker.finish()
    before = outputs(model, x)
    twin = copy.deepcopy(model)
    assert twin[0].forward.module is twin[0]
    with torch.no_grad():
        twin[0].head.bias.add_(1.0)
    assert_same(before, outputs(model, x))
    assert_same([value + 1 for value in before], outputs(twin, x))


def test_pickling_keeps_the_new_code() -> None:
    x = images()
    _, shrinker = shrunken(LiteralFlatten(), x)
    network = shrinker.finish()
    loaded = pickle.loads(pickle.dumps(network))
    assert loaded[0].forward.module is loaded[0]
    assert_same(outputs(network, x), outputs(loaded, x))


@pytest.mark.slow
@pytest.mark.parametrize("make", [Attention, Modes])
def test_new_code_compiles_and_exports(make: Callable[[], nn.Module]) -> None:
    x = tokens() if make is Attention else rows()
    _, shrinker = shrunken(make(), x)
    network = shrinker.finish().eval()
    expected = network(x)
    torch.testing.assert_close(torch.compile(network, backend="eager")(x), expected)
    batch = {0: torch.export.Dim("batch", min=2)}
    for strict in (False, True):
        program = torch.export.export(network, (x,), dynamic_shapes=(batch,), strict=strict)
        more = torch.cat([x, x])
        torch.testing.assert_close(program.module()(more), network(more))


def test_a_number_that_came_from_a_size_stays_what_it_was() -> None:
    model, _ = shrunken(Attention(), tokens())
    source = model[0].forward.source
    assert "/ 2.0" in source
    assert model[0].qkv.weight.shape[0] < 36


def test_modes_are_chosen_when_the_module_runs() -> None:
    model, _ = shrunken(Modes(), rows())
    x = rows()
    assert not torch.equal(*outputs(model, x))


def test_numbers_in_attributes_are_read_when_the_module_runs() -> None:
    model, _ = shrunken(Attention(), tokens())
    x = tokens()
    first = model.train()(x)
    model[0].drop = 0.9
    assert not torch.allclose(first, model(x))


def test_device_and_type_are_read_when_the_module_runs() -> None:
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            rest = torch.zeros(x.shape[0], 12, dtype=x.dtype, device=x.device)
            return self.last(self.first(x).relu() + rest)

    model, _ = shrunken(Padded(), rows())
    assert model[0].last.weight.shape[1] < 12
    assert model.float()(rows().float()).dtype == torch.float32
    assert model.to("meta")(rows().float().to("meta")).device.type == "meta"


def test_other_arguments_than_recorded_are_refused() -> None:
    model, _ = shrunken(Attention(), tokens())
    with pytest.raises(AssertionError, match="rewritten for None"):
        model[0](tokens(), torch.zeros(7, 7))


@pytest.mark.parametrize(
    ("make", "inputs"), [(Keeps, images), (Marks, rows), (Asks, rows), (Differentiates, rows)]
)
def test_what_cannot_be_rewritten_keeps_its_code_and_its_features(
    make: Callable[[], nn.Module], inputs: Callable[[], Tensor]
) -> None:
    module = make().double()
    shrinker = Shrinker(nn.Sequential(module), inputs())
    assert shrinker.groups == []
    assert "forward" not in vars(module)


def test_new_code_that_does_something_else_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriter, "find_difference", lambda before, _: list(before.graph.nodes)[-2])
    module = LiteralFlatten().double()
    shrinker = Shrinker(module, images())
    assert "forward" not in vars(module)
    assert shrinker.groups == []


def test_what_nothing_shrinks_in_keeps_its_code() -> None:
    class Around(nn.Module):
        """Its own size is that of its input, while features inside a child are free."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 6))

        def forward(self, x: Tensor) -> Tensor:
            return x.view(-1, 6) + self.inner(x).view(-1, 6)

    module = Around()
    shrunken(module, rows())
    assert "forward" not in vars(module)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("kind", ["self", "cross"])
def test_attention_is_equal_to_that_of_torch(kind: str, need_weights: bool) -> None:
    sizes = {"kdim": 7, "vdim": 5, "add_bias_kv": True} if kind == "cross" else {}
    layer = nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64, **sizes)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    query = torch.randn(2, 4, 12, dtype=torch.float64)
    key, value = (torch.randn(2, 5, n, dtype=torch.float64) for n in (7, 5))
    inputs = (query, key, value) if kind == "cross" else (query, query, query)
    mask = torch.ones(4, inputs[1].shape[1], dtype=torch.bool).triu(1)
    padding = torch.zeros(inputs[1].shape[:2], dtype=torch.bool)
    padding[0, -1] = True
    options = {"attn_mask": mask, "key_padding_mask": padding, "need_weights": need_weights}
    expected, weights = layer(*inputs, **options)
    before = replace(layer, layer)
    found, own = layer(*inputs, **options)
    undo(before)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(own, weights)
    assert "forward" not in vars(layer)


def test_heads_of_an_encoder_layer_can_go() -> None:
    x = tokens()
    layer = nn.TransformerEncoderLayer(6, 2, 9, dropout=0.0, batch_first=True)
    model, shrinker = shrunken(layer, x)
    trained = model.eval()(x)
    network = shrinker.finish()
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x), trained.detach())
    assert layer.self_attn.in_proj_weight.shape[0] < 18
    assert layer.activation_relu_or_gelu == 0


def test_attention_by_one_call_keeps_its_scale() -> None:
    class Fused(Attention):
        def forward(self, x: Tensor) -> Tensor:
            parts = self.qkv(x).unflatten(-1, (3, self.heads, 4)).permute(2, 0, 3, 1, 4)
            x = functional.scaled_dot_product_attention(*parts.unbind(0))
            return self.out(x.transpose(1, 2).flatten(2))

    model, _ = shrunken(Fused(), tokens(), times=2)
    assert "scale = 0.5" in model[0].forward.source
    assert model[0].qkv.weight.shape[0] < 36

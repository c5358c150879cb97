"""Values in a module's forward pass, each with the node of the graph that computes it."""

import functools
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from shrinknets_core.rewriting.decisions import is_unpacking

if TYPE_CHECKING:
    from shrinknets_core.rewriting.recorder import Recorder

BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
          "lshift", "rshift")  # fmt: skip
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
UNARY = ("neg", "pos", "invert", "abs")
ATTRIBUTES = (torch.dtype, torch.device, torch.layout, torch.memory_format)
"""What tensors tell about themselves, and a module may hand on."""


class RewritingError(Exception):
    """A forward pass that can't be written anew; the message says why."""


class Tracked:
    """A tensor, number, data type or device that stands for what a node computes.

    It looks like its value, also to `isinstance`; whatever is done with it becomes a node.

    Args:
        recorder: keeps the graph.
        node: computes the value.
        value: what it is in this run.
        measures: a tensor's sizes in this run.
    """

    def __init__(
        self, recorder: "Recorder", node: fx.Node, value: Any, measures: tuple[int, ...] = ()
    ) -> None:
        self.recorder = recorder
        self.node = node
        self.value = value
        self.measures = measures

    @property
    def __class__(self) -> type:
        value = object.__getattribute__(self, "value")
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter
        return Tensor if isinstance(value, Tensor) else type(value)

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise AttributeError("the class of a value")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.recorder.attribute(self, name)

    def __repr__(self) -> str:
        return f"Tracked({object.__getattribute__(self, 'node')})"

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return self.recorder.decide(self)

    def __index__(self) -> int:
        return int(self.recorder.settle(self, int))

    def __int__(self) -> int:
        return int(self.recorder.settle(self, (int, float)))

    def __float__(self) -> float:
        return float(self.recorder.settle(self, (int, float)))

    def __len__(self) -> int:
        if isinstance(self.value, Tensor):
            return int(self.recorder.settle(self.recorder.size(self, 0), int))
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.value, Tensor):
            return iter(self.recorder.call("call_method", "unbind", (self, 0), {}))
        return iter([self[i] for i in range(len(self.value))])

    def __contains__(self, item: Any) -> bool:
        if isinstance(self.value, Tensor):
            raise RewritingError("looks for a number in a tensor")
        return item in self.value

    def __getitem__(self, index: Any) -> Any:
        return self.recorder.call("call_function", operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        self.recorder.call("call_function", operator.setitem, (self, index, value), {})

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise RewritingError("calls something that it was given")

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], _: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        found = next(iter(find_tracked((args, kwargs))))
        return found.recorder.torch_call(function, args, kwargs)


class Sizes(tuple[Any, ...]):
    """The shape of a tensor, each size a tracked number."""

    __slots__ = ()

    def numel(self) -> Any:
        """Return the product of all sizes."""
        return functools.reduce(operator.mul, self) if self else 1


class Pieces(tuple[Any, ...]):
    """The parts that a tensor was cut into: how many there are may depend on its size."""

    recorder: "Recorder"
    node: fx.Node
    measured: fx.Node
    """The size that was cut up."""

    def __iter__(self) -> Iterator[Any]:
        if not is_unpacking():
            self.recorder.settle_pieces(self)
        return super().__iter__()

    def __len__(self) -> int:
        self.recorder.settle_pieces(self)
        return super().__len__()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) or index < 0:
            self.recorder.settle_pieces(self)
        return super().__getitem__(index)


def plain(tree: Any) -> Any:  # noqa: PLR0911  (one for each kind)
    """Replace tracked values in nested containers by what they are in this run."""
    if type(tree) is Tracked:
        return tree.value
    if type(tree) is list:
        return [plain(part) for part in tree]
    if type(tree) in (tuple, Sizes, Pieces):
        return tuple(plain(part) for part in tuple.__iter__(tree))
    if type(tree) is dict:
        return {key: plain(part) for key, part in tree.items()}
    if type(tree) is slice:
        return slice(plain(tree.start), plain(tree.stop), plain(tree.step))
    if is_dataclass(tree) and not isinstance(tree, type):
        parts = {f.name: plain(getattr(tree, f.name)) for f in fields(tree)}
        return replace(tree, **parts)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(plain(part) for part in tree))
    return tree


def find_tracked(tree: Any) -> Iterator[Tracked]:
    """Return all tracked values in nested containers."""
    if type(tree) is Tracked:
        yield tree
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from find_tracked(part)
    elif isinstance(tree, (tuple, list)):
        for part in tuple.__iter__(tree) if isinstance(tree, tuple) else tree:
            yield from find_tracked(part)
    elif isinstance(tree, slice):
        yield from find_tracked((tree.start, tree.stop, tree.step))


def _install(name: str, function: Callable[..., Any]) -> None:
    method = f"__{name.rstrip('_')}__"

    def forwards(self: Tracked, *others: Any) -> Any:
        return self.recorder.call("call_function", function, (self, *others), {})

    def backwards(self: Tracked, other: Any) -> Any:
        return self.recorder.call("call_function", function, (other, self), {})

    setattr(Tracked, method, forwards)
    if name not in BINARY:
        return
    setattr(Tracked, f"__r{name}__", backwards)
    in_place = getattr(operator, f"i{name}")

    def change(self: Tracked, other: Any) -> Any:
        chosen = in_place if isinstance(self.value, Tensor) else function
        return self.recorder.call("call_function", chosen, (self, other), {})

    setattr(Tracked, f"__i{name}__", change)


for _name in ("ceil", "floor", "trunc"):
    _install(_name, getattr(math, _name))
for _name in (*BINARY, *COMPARISONS, *UNARY):
    _install(_name, getattr(operator, f"{_name}_" if _name in {"and", "or"} else _name))

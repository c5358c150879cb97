"""Runs a module's own forward pass and records it, as calls like those in its code."""

import functools
import inspect
import operator
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import is_tensor_method_or_property

from shrinknets_core.rewriting.decisions import Decision, is_asserting, running_place
from shrinknets_core.rewriting.recording import Recording
from shrinknets_core.rewriting.tracked import (
    Pieces,
    RewritingError,
    Sizes,
    Tracked,
    find_tracked,
    plain,
)
from shrinknets_core.rewriting.watching import watching

CUTTING = {"split", "split_with_sizes", "chunk", "unbind", "tensor_split", "unsafe_chunk"}
MODES = {"_set_grad_enabled", "_enter_autocast", "_exit_autocast"}
UNSEEN = {"item", "tolist", "numpy", "data_ptr", "storage", "untyped_storage", "register_hook"}


class Recorder(Recording):
    """Runs one forward pass on tracked values.

    The run is a part of a trace of the whole model, to which its operations are added as they
    would be without it; each operation's node notes to which recorded node it belongs.
    """

    def __init__(self, module: nn.Module, number: int) -> None:
        super().__init__(module, number)
        self.decisions: list[Decision] = []
        self.parameters: list[inspect.Parameter] = []
        self._modules = {id(m): n for n, m in module.named_modules() if n}

    def record(self, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run the forward pass, and return what it returns.

        Raises:
            RewritingError: it does something that a graph can't do again.
            Exception: whatever else tracked values lead to.
        """
        bound = inspect.signature(forward).bind(*args, **kwargs)
        bound.apply_defaults()
        values = self._places(bound)
        nodes = {name: self.graph.placeholder(name) for name in values}
        tracked = {name: self._given(nodes[name], value) for name, value in values.items()}
        positional = [tracked.pop(p.name) for p in self.parameters if p.kind is p.POSITIONAL_ONLY]
        floats = {n: v for n, v in vars(self.module).items() if type(v) is float}
        try:
            for name, value in floats.items():
                vars(self.module)[name] = self.track(self.add("get_attr", name, ()), value)
            with watching(self, self.module):
                result = forward(*positional, **tracked)
        finally:
            vars(self.module).update(floats)
        self.graph.output(self.lower(result))
        return plain(result)

    def _places(self, bound: inspect.BoundArguments) -> dict[str, Any]:
        """Return the arguments by the names that they have in the new forward pass."""
        values: dict[str, Any] = {}
        for name, parameter in bound.signature.parameters.items():
            value = bound.arguments[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                if value:
                    raise RewritingError("takes any number of arguments")
            elif parameter.kind is parameter.VAR_KEYWORD:
                values.update(value)
                self.parameters += [inspect.Parameter(k, parameter.KEYWORD_ONLY) for k in value]
            else:
                values[name] = value
                self.parameters.append(parameter.replace(annotation=parameter.empty))
        return values

    def _given(self, node: fx.Node, value: Any) -> Any:
        """Track an argument; what is no tensor or number must be the same in every call."""
        if isinstance(value, Tensor) or type(value) in (int, float):
            return self.track(node, value)
        if value is None:
            self._demand(self.add("call_function", operator.is_, (node, None)), "None")
            return None
        if type(value) in (bool, str):
            same = self.add("call_function", operator.eq, (node, value))
            self._demand(same, repr(value))
            return value
        if type(value) in (list, tuple):
            count = self.add("call_function", len, (node,))
            same = self.add("call_function", operator.eq, (count, len(value)))
            self._demand(same, f"{len(value)} items")
            return type(value)(self._given(self.item(node, i), v) for i, v in enumerate(value))
        if type(value) is dict:
            return {key: self._given(self.item(node, key), v) for key, v in value.items()}
        if isinstance(value, tuple) or is_dataclass(value):
            return self.track(node, value)
        raise RewritingError(f"takes a {type(value).__name__}")

    def call(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """Add a call, and do it."""
        node = self.add(kind, target, self.lower(args), self.lower(kwargs))
        values, options = plain(args), plain(kwargs)
        with self.doing(node):
            if kind == "call_method":
                value = getattr(values[0], target)(*values[1:], **options)
            else:
                value = target(*values, **options)
        result = self.wrap(node, value)
        name = getattr(target, "__name__", target)
        if name in CUTTING and isinstance(result, (tuple, list)) and type(args[0]) is Tracked:
            return self._pieces(node, name, result, args, kwargs)
        return result

    def _pieces(self, node: fx.Node, name: str, parts: Any, args: Any, kwargs: Any) -> Pieces:
        place = 1 if name == "unbind" else 2
        dim = kwargs.get("dim", args[place] if len(args) > place else 0)
        pieces = Pieces(parts)
        pieces.recorder, pieces.node = self, node
        pieces.measured = self.size(args[0], int(dim)).node
        return pieces

    def attribute(self, tracked: Tracked, name: str) -> Any:
        """Read an attribute of a tracked value, or find a method of it."""
        owner = Tensor if isinstance(tracked.value, Tensor) else tracked.value
        if owner is Tensor and name == "shape":
            return self.sizes(tracked)
        if owner is Tensor and name == "ndim":
            return self._rank(tracked)
        if owner is Tensor and name in UNSEEN:
            raise RewritingError(f"uses a tensor's {name}")
        if callable(getattr(owner, name)):
            return functools.partial(self._method, tracked, name)
        return self.call("call_function", getattr, (tracked, name), {})

    def _method(self, tracked: Tracked, name: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(tracked.value, Tensor):
            if name in {"dim", "ndimension"}:
                return self._rank(tracked)
            if name == "size":
                dim = args[0] if args else kwargs.get("dim")
                return self.sizes(tracked) if dim is None else self.size(tracked, int(dim))
            if name in {"numel", "nelement"}:
                return self.sizes(tracked).numel()
        return self.call("call_method", name, (tracked, *args), kwargs)

    def sizes(self, tracked: Tracked) -> Sizes:
        """Return a tensor's shape."""
        return Sizes(self.size(tracked, d) for d in range(len(tracked.measures)))

    def size(self, tracked: Tracked, dim: int) -> Tracked:
        """Return one of a tensor's sizes."""
        dim = range(len(tracked.measures))[dim]
        node = self.add("call_method", "size", (tracked.node, dim))
        self.mark_source(tracked.value, node)
        return self.track(node, tracked.measures[dim])

    def _rank(self, tracked: Tracked) -> int:
        node = self.add("call_method", "dim", (tracked.node,))
        rank = self.track(node, len(tracked.measures))
        return int(self.settle(rank, int, asserted=True))

    def decide(self, tracked: Tracked, *, asserted: bool = False) -> bool:
        """Turn a value into a truth value that further runs must agree to."""
        if isinstance(tracked.value, Tensor):
            raise RewritingError("decides by the data")
        result, node = bool(tracked.value), tracked.node
        if not isinstance(tracked.value, bool):
            node = self.add("call_function", operator.truth, (node,))
        test = node if result else self.add("call_function", operator.not_, (node,))
        self._note(node, result, test, (tracked.node,), exact=False, asserted=asserted)
        return result

    def settle(self, tracked: Tracked, kinds: Any, *, asserted: bool = False) -> Any:
        """Turn a number into a plain one that further runs must agree to."""
        if not isinstance(tracked.value, kinds):
            raise RewritingError(
                f"needs a plain number instead of a {type(tracked.value).__name__}"
            )
        test = self.add("call_function", operator.eq, (tracked.node, tracked.value))
        self._note(tracked.node, tracked.value, test, (tracked.node,), asserted=asserted)
        return tracked.value

    def settle_pieces(self, pieces: Pieces) -> None:
        """Fix the number of parts that a tensor is cut into."""
        count = tuple.__len__(pieces)
        node = self.add("call_function", len, (pieces.node,))
        self.numbers[node] = count
        test = self.add("call_function", operator.eq, (node, count))
        self._note(node, count, test, (pieces.measured,))

    def _note(
        self, node: fx.Node, value: Any, test: fx.Node, depends: tuple[fx.Node, ...], *,
        exact: bool = True, asserted: bool = False,
    ) -> None:  # fmt: skip
        guard = self._demand(test, f"{node.name} = {value}")
        asserted = asserted or is_asserting()
        self.decisions.append(
            Decision(
                node=node,
                value=value,
                guard=guard,
                depends=depends,
                exact=exact,
                asserted=asserted,
                place=running_place(),
            )
        )

    def _take_back(self, arguments: Any) -> None:
        """Forget that torch itself asked for plain numbers, to see whether they are some."""
        given, place = {t.node for t in find_tracked(arguments)}, running_place()
        for decision in list(self.decisions):
            if decision.exact and decision.node in given and decision.place == place:
                self.decisions.remove(decision)
                self.pure.add(decision.guard)

    def _demand(self, test: fx.Node, what: str) -> fx.Node:
        """Add a check that the new forward pass makes each time."""
        message = f"this forward pass was rewritten for {what}"
        return self.graph.call_function(torch._assert, (test, message))

    def torch_call(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Add a call of one of torch's functions."""
        name = getattr(function, "__name__", "")
        if name in MODES:
            raise RewritingError("switches a mode of torch")
        if name == "__get__":
            return self.attribute(self.lift(args[0]), function.__self__.__name__)
        if function is torch.device:
            return function(*args, **kwargs)
        if function is torch._assert:
            condition = args[0]
            if type(condition) is Tracked:
                condition = self.decide(condition, asserted=True)
            if not condition:
                raise RewritingError("fails an assertion")
            return None
        self._take_back((args, kwargs))
        if not is_tensor_method_or_property(function):
            return self.call("call_function", function, args, kwargs)
        owner, bare = self.lift(args[0]), name.strip("_")
        if name.startswith("__") and hasattr(operator, bare):
            function = getattr(operator, bare)
            return self.call("call_function", function, (owner, *args[1:]), kwargs)
        return self._method(owner, name, *args[1:], **kwargs)

    def module_call(self, module: nn.Module, call: Any, args: Any, kwargs: Any) -> Any:
        """Add a call of another module."""
        base = getattr(module, "get_base", None)
        path = self._modules.get(id(module if base is None else base()))
        if path is None:
            raise RewritingError("calls a module that is not a part of it")
        node = self.add("call_module", path, self.lower(args), self.lower(kwargs))
        with self.doing(node):
            value = call(module, *plain(args), **plain(kwargs))
        return self.wrap(node, value)

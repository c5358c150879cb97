"""Forward passes as generated code, in which some sizes can be told anew."""

import copy
import inspect
import itertools
import linecache
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

TOKENS = re.compile(r"__size_(\d+)__")
_numbers = itertools.count()


class Size(int):
    """Stands for a size in code that is written with a token in its place."""

    number: int

    def __new__(cls, value: int, number: int) -> "Size":
        size = super().__new__(cls, value)
        size.number = number
        return size

    def __repr__(self) -> str:
        return f"__size_{self.number}__"


class Forward:
    """Stands in for a module's forward: plain code, generated for the sizes that are left.

    Args:
        module: whose forward pass it is.
        text: its code, with a token in place of each size.
        sizes: what to put there.
        same_as: for each size the number of the first one that is the same; by default itself.
        filename: under which tracebacks show the code.
    """

    def __init__(
        self,
        module: nn.Module,
        text: str,
        sizes: Sequence[int],
        *,
        same_as: Sequence[int] | None = None,
        filename: str | None = None,
    ) -> None:
        self.module = module
        self.text = text
        self.sizes = tuple(sizes)
        self.same_as = tuple(range(len(sizes)) if same_as is None else same_as)
        self.filename = filename or f"<rewritten {type(module).__name__} {next(_numbers)}>"
        self._compile()

    @property
    def source(self) -> str:
        """The code as it is now."""
        return TOKENS.sub(lambda match: str(self.sizes[int(match[1])]), self.text)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self.module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("module", "text", "sizes", "same_as", "filename")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._compile()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Forward":
        copied = Forward.__new__(Forward)
        memo[id(self)] = copied
        copied.__dict__.update(self.__dict__, module=copy.deepcopy(self.module, memo))
        return copied

    def restated(self, sizes: Mapping[int, int]) -> "Forward":
        """Return the same code with other sizes, by their number."""
        new = [sizes.get(i, n) for i, n in zip(self.same_as, self.sizes, strict=True)]
        return Forward(self.module, self.text, new, same_as=self.same_as, filename=self.filename)

    def _compile(self) -> None:
        source = self.source
        lines = source.splitlines(keepends=True)
        linecache.cache[self.filename] = (len(source), None, lines, self.filename)
        scope: dict[str, Any] = {}
        exec(compile(source, self.filename, "exec"), scope)  # noqa: S102  (code of our own making)
        self.function = scope["forward"]
        signature = inspect.signature(self.function)
        self.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])


def restate_forwards(
    model: nn.Module, counts: Mapping[str, int]
) -> list[tuple[nn.Module, str, Any]]:
    """Tell rewritten forward passes their sizes, in place.

    counts: by the module's name and the size's number, such as `blocks.0:3`, what is left.

    Returns the forward passes before, as values of attributes.
    """
    sizes: dict[str, dict[int, int]] = {}
    for name, count in counts.items():
        path, colon, number = name.rpartition(":")
        if colon:
            sizes.setdefault(path, {})[int(number)] = count
    before: list[tuple[nn.Module, str, Any]] = []
    modules = dict(model.named_modules(remove_duplicate=False))
    for path, new in sizes.items():
        module = modules.get(path)
        if module is None:  # It belonged to a branch that is gone.
            continue
        forward = vars(module)["forward"]
        before.append((module, "forward", forward))
        module.__dict__["forward"] = forward.restated(new)
    return before

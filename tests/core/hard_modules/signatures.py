"""Inputs and outputs of other forms than one tensor."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.core.exactness import Inputs
from tests.core.hard_modules.catalogue import ROWS, chain, each, hard, head, integers, named, normal


@hard(named(image=normal(3, 3, 6, 6), scale=normal(3, 1)))
class KeywordOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up, self.last = nn.Conv2d(3, 12, 3), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, *, image: Tensor, scale: Tensor, mask: Tensor | None = None) -> Tensor:
        x = torch.relu(self.conv(image)).mean((2, 3)) * scale
        x = self.up(x if mask is None else x * mask)
        return self.last(torch.relu(x))


@hard(ROWS)
class DefaultNone(nn.Module):
    """An input that is left out is replaced by a learnt one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(5, 12), nn.Linear(12, 3)
        self.missing = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = self.missing.expand(len(x), -1) if context is None else context
        return self.last(torch.relu(self.first(x)) * torch.sigmoid(self.second(context)))


def nested_inputs() -> Inputs:
    """A dict of a list and a tensor, then a number."""
    parts = [torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)]
    return {"parts": parts, "where": {"mask": torch.tensor([1.0, 0.0, 1.0, 1.0])}}, 0.5


@hard(nested_inputs)
class NestedInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(5, 9), nn.Linear(6, 9), nn.Linear(9, 3)

    def forward(self, batch: dict[str, Any], scale: float) -> Tensor:
        left, right = batch["parts"]
        x = torch.relu(self.left(left)) + scale * torch.relu(self.right(right))
        return self.last(x * batch["where"]["mask"].unsqueeze(-1).to(x.dtype))


@hard(each(normal(3, 3, 6, 6), integers(11, 3, 5)))
class ImageAndText(nn.Module):
    """Two towers of other widths, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.image = chain(nn.Conv2d(3, 9, 3), nn.ReLU(), head(9, 13))
        self.text, self.up, self.last = nn.Embedding(11, 10), nn.Linear(23, 12), nn.Linear(12, 3)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        both = torch.cat([self.image(image), self.text(tokens).sum(1)], dim=-1)
        return self.last(torch.relu(self.up(both)))


class Point(NamedTuple):
    """Where and how sure."""

    place: Tensor
    score: Tensor


@dataclass
class Detections:
    """What a detector returns, with its scales in a list."""

    points: list[Point]
    embedding: Tensor
    note: str = ""


@hard(normal(3, 3, 8, 8))
class OutputsDataclass(nn.Module):
    """Named tuples in a list in a dataclass; the embedding's features are themselves returned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 9, 3), nn.Conv2d(9, 11, 3, stride=2)
        self.places = nn.ModuleList([nn.Conv2d(9, 2, 1), nn.Conv2d(11, 2, 1)])
        self.scores = nn.ModuleList([nn.Conv2d(9, 1, 1), nn.Conv2d(11, 1, 1)])
        self.embed = nn.Linear(11, 8)

    def forward(self, x: Tensor) -> Detections:
        near = torch.relu(self.stem(x))
        far = torch.relu(self.deep(near))
        points = [
            Point(place(level), torch.sigmoid(score(level)))
            for place, score, level in zip(self.places, self.scores, (near, far), strict=True)
        ]
        return Detections(points, self.embed(far.amax((2, 3))))


@hard(ROWS)
class OutputsDict(nn.Module):
    """A dict whose entries share features; one entry is hidden features, so they must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 14), nn.Linear(14, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        x = torch.relu(self.first(x))
        hidden = torch.relu(self.second(x))
        logits = self.last(hidden)
        return {"logits": logits, "more": {"hidden": hidden, "best": logits.argmax(-1)}}


@hard(ROWS)
class OutputsNamedTuple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.place, self.score = nn.Linear(6, 14), nn.Linear(14, 2), nn.Linear(14, 1)

    def forward(self, x: Tensor) -> Point:
        x = torch.relu(self.first(x))
        return Point(place=self.place(x), score=self.score(x).squeeze(-1))


@hard(ROWS, prunable=False)
class OnlyOutputs(nn.Linear):
    """A single layer: what it computes is the output."""

    def __init__(self) -> None:
        super().__init__(6, 9)

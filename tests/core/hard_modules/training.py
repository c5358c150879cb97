"""What differs in training, and what does not learn."""

import torch
from torch import Tensor, nn

from tests.core.hard_modules.catalogue import ROWS, hard, head, normal


@hard(normal(3, 3, 6, 6))
class AuxiliaryHeadInTraining(nn.Module):
    """In training the features have a reader that is not there in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 9, 3)
        self.norm, self.auxiliary, self.head = nn.BatchNorm2d(12), head(12), head(9)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = torch.relu(self.norm(self.first(x)))
        y = self.head(torch.relu(self.second(x)))
        return (y, self.auxiliary(x)) if self.training else y


@hard(ROWS)
class NormOnlyInTraining(nn.Module):
    """In training, and only there, the features are made zero-mean over the features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        if self.training:
            x = x - x.mean(dim=1, keepdim=True)
        return self.last(torch.relu(self.second(x)))


@hard(ROWS)
class HalfFrozen(nn.Module):
    """Frozen layers among learning ones; one bias learns alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[nn.Linear(6, 14), nn.ReLU(), nn.Linear(14, 11), nn.ReLU()],
            *[nn.Linear(11, 9), nn.Sigmoid(), nn.Linear(9, 3)],
        )
        for layer in (0, 4):
            self.layers[layer].requires_grad_(requires_grad=False)
        self.layers[2].weight.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@hard(ROWS)
class NoGradTrunk(nn.Module):
    """The trunk runs without gradients, its result is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.up, self.last = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = torch.relu(self.trunk(x))
        return self.last(torch.relu(self.up(x.detach())))

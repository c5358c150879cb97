"""Embeddings, weights and modules in several places, and parts that nobody reads."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import chain, each, hard, integers, normal


@hard(integers(11, 4, 7))
class EmbeddingMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.first = nn.Embedding(11, 12, padding_idx=0), nn.Linear(12, 9)
        self.last = nn.Linear(9, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(self.embedding(tokens).mean(1))))


@hard(each(integers(11, 13), lambda: torch.tensor([0, 3, 7])))
class EmbeddingBags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean, self.sum = nn.EmbeddingBag(11, 12), nn.EmbeddingBag(11, 12, mode="sum")
        self.most, self.last = nn.EmbeddingBag(11, 9, mode="max"), nn.Linear(21, 3)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        both = self.mean(tokens, offsets) * torch.tanh(self.sum(tokens, offsets))
        return self.last(torch.cat([both, self.most(tokens, offsets)], dim=1))


@hard(integers(11, 4, 7))
class EmbeddingBagOfRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag, self.last = nn.EmbeddingBag(11, 12, mode="mean"), nn.Linear(12, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(torch.tanh(self.bag(tokens)))


@hard(integers(11, 4, 7))
class TiedEmbedding(nn.Module):
    """The output layer is the embedding: its features are removable, its rows are not."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.up, self.down = (
            nn.Embedding(11, 12),
            nn.Linear(12, 17),
            nn.Linear(17, 12),
        )
        self.out = nn.Linear(12, 11, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        return self.out(x + self.down(torch.relu(self.up(x))))


@hard(normal(5, 7))
class TiedAutoencoder(nn.Module):
    """Encoder and decoder share two weights, the decoder transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Parameter(torch.randn(13, 7) / 3)
        self.inner = nn.Parameter(torch.randn(9, 13) / 3)
        self.biases = nn.ParameterList([torch.zeros(13), torch.zeros(9), torch.zeros(13)])

    def forward(self, x: Tensor) -> Tensor:
        code = torch.relu(functional.linear(x, self.outer, self.biases[0]))
        code = torch.tanh(functional.linear(code, self.inner, self.biases[1]))
        code = torch.relu(functional.linear(code, self.inner.t(), self.biases[2]))
        return code @ self.outer


@hard(normal(5, 6))
class CalledTwice(nn.Module):
    """One module in two places: its features live or die in both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.again = chain(nn.Linear(12, 12), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(self.again(self.again(x)))


@hard(each(normal(4, 6), normal(4, 6)))
class Siamese(nn.Module):
    """One encoder for two inputs, then a distance over its features."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = chain(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU())

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (self.encoder(left) - self.encoder(right)).abs().sum(-1)


@hard(normal(5, 6))
class OneModuleTwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.alias, self.norm = self.first, nn.BatchNorm1d(12)
        self.stages = nn.ModuleDict({"first": self.first, "last": nn.Linear(12, 3)})

    def forward(self, x: Tensor) -> Tensor:
        return self.stages["last"](torch.relu(self.norm(self.alias(x))))


@hard(normal(5, 6))
class UnusedParts(nn.Module):
    """A layer that is never called, and features that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused, self.last = nn.Linear(6, 15), nn.Linear(15, 9), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x))[:, :10])

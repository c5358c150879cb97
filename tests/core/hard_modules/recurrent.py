"""Recurrent layers, cells in loops, and recurrences by hand."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import hard, integers, normal, register


class Recurrent(nn.Module):
    """Embeds, runs a recurrent layer, classifies the last step."""

    def __init__(self, layer: Callable[..., nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 9)
        self.layer = layer(9, 12, batch_first=True, **options)
        self.up = nn.Linear(24 if options.get("bidirectional") else 12, 14)
        self.last = nn.Linear(14, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        steps, _ = self.layer(self.embedding(tokens))
        return self.last(torch.relu(self.up(steps[:, -1])))


WORDS = integers(11, 4, 6)
register("Lstm", lambda: Recurrent(nn.LSTM), WORDS)
register("LstmTwoLayers", lambda: Recurrent(nn.LSTM, num_layers=2, dropout=0.2), WORDS)
register("GruBidirectional", lambda: Recurrent(nn.GRU, bidirectional=True), WORDS)
register("GruWithoutBias", lambda: Recurrent(nn.GRU, bias=False), WORDS)
register("RnnRelu", lambda: Recurrent(nn.RNN, nonlinearity="relu", num_layers=2), WORDS)


@hard(WORDS)
class LstmStates(nn.Module):
    """The states, not the steps, are read; the first ones are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(11, 9), nn.LSTM(9, 10)
        self.start, self.last = nn.Parameter(torch.randn(2, 1, 1, 10)), nn.Linear(20, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, cell = self.start.expand(-1, -1, len(tokens), -1).contiguous()
        _, (hidden, cell) = self.lstm(self.embedding(tokens).transpose(0, 1), (hidden, cell))
        return self.last(torch.cat([hidden[-1], cell[-1]], dim=1))


@hard(normal(4, 5, 6))
class LstmCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.last = nn.Linear(6, 9), nn.LSTMCell(9, 11), nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(x.shape[0], 11)
        for step in torch.relu(self.stem(x)).unbind(1):
            hidden, cell = self.cell(step, (hidden, cell))
        return self.last(hidden)


@hard(normal(4, 5, 6))
class HandwrittenRecurrence(nn.Module):
    """A state goes round through one linear layer over input and state."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.gru, self.last = nn.Linear(17, 11), nn.GRUCell(11, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, outer = torch.zeros(len(x), 11).to(x), torch.zeros(len(x), 8).to(x)
        for i in range(x.shape[1]):
            state = torch.tanh(self.step(torch.cat([x[:, i], state], dim=1)))
            outer = self.gru(state, outer)
        return self.last(outer)


@hard(normal(4, 6, 7))
class StateSpaceScan(nn.Module):
    """A diagonal recurrence with a decay per feature, gated, as in recent sequence models."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.decay, self.last = (
            nn.Linear(7, 22),
            nn.Parameter(torch.randn(11)),
            nn.Linear(11, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).split(11, dim=-1)
        state, steps = torch.zeros_like(value[:, 0]), []
        for i in range(6):
            state = state * torch.sigmoid(self.decay) + value[:, i]
            steps.append(state * functional.silu(gate[:, i]))
        return self.last(torch.stack(steps, dim=1))

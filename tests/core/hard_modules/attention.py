"""Attention: PyTorch's own and by hand, over tokens and over channels."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import chain, each, hard, normal, register

TOKENS = normal(3, 7, 6)


class Attention(nn.Module):
    """A stem, one attention with a residual connection, a classifier; subclasses attend."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem, self.last = nn.Linear(6, width), nn.Linear(width, 3)

    def attend(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return self.last((x + self.attend(x)).mean(1))


@hard(TOKENS)
class MultiheadSelfAttention(Attention):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, dropout=0.1, batch_first=True)

    def attend(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


@hard(each(normal(7, 3, 10), normal(5, 3, 9)))
class MultiheadCrossAttention(nn.Module):
    """Sequence first, keys and values of another width, weights returned."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(10, 2, kdim=8, vdim=8, add_bias_kv=True)
        self.memory, self.up, self.down = nn.Linear(9, 8), nn.Linear(10, 14), nn.Linear(14, 3)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        memory = torch.relu(self.memory(memory))
        x, weights = self.attention(x, memory, memory)
        return self.down(torch.relu(self.up(x))), weights


def encoder_layer(*, norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(
        12, 3, dim_feedforward=17, dropout=0.1, batch_first=True, norm_first=norm_first
    )


register(
    "EncoderLayerNormLast",
    lambda: chain(nn.Linear(6, 12), encoder_layer(norm_first=False), nn.Linear(12, 3)),
    TOKENS,
)
register(
    "EncoderLayerNormFirst",
    lambda: chain(nn.Linear(6, 12), encoder_layer(norm_first=True), nn.Linear(12, 3)),
    TOKENS,
)


@hard(each(normal(3, 7, 12), normal(3, 5, 12)))
class EncoderAndDecoder(nn.Module):
    """Two layers each from PyTorch's own stacks, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        encoder = nn.TransformerEncoderLayer(12, 2, 17, 0.0, "gelu", batch_first=True)
        decoder = nn.TransformerDecoderLayer(12, 2, 19, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(encoder, 2)
        self.decoder = nn.TransformerDecoder(decoder, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=y.dtype)
        return self.decoder(y, self.encoder(x), tgt_mask=mask)


@hard(TOKENS)
class HandwrittenQkv(Attention):
    """One linear layer, viewed as (3, heads, features), as in timm."""

    def __init__(self) -> None:
        super().__init__(width=15)
        self.num_heads, self.scale = 3, 5**-0.5
        self.qkv, self.out = nn.Linear(15, 45), nn.Linear(15, 15)

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, width))


@hard(TOKENS)
class ThreeLinearAttention(Attention):
    """Heads by literal view; queries and keys have another width than values."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(12, 10), nn.Linear(12, 10, bias=False)
        self.value, self.out = nn.Linear(12, 14), nn.Linear(14, 12)

    def attend(self, x: Tensor) -> Tensor:
        query = self.query(x).view(3, 7, 2, 5).transpose(1, 2)
        key = self.key(x).view(3, 7, 2, 5).transpose(1, 2)
        value = self.value(x).view(3, 7, 2, 7).transpose(1, 2)
        weights = torch.softmax(torch.matmul(query, key.mT) / 5**0.5, dim=-1)
        return self.out(torch.matmul(weights, value).transpose(1, 2).reshape(3, 7, 14))


@hard(TOKENS)
class ScaleFromWidth(Attention):
    """Scaled by the width that the queries happen to have: fewer features, another scale."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(12, 10), nn.Linear(12, 10)
        self.value = nn.Linear(12, 12)

    def attend(self, x: Tensor) -> Tensor:
        query, key = self.query(x), self.key(x)
        weights = (query @ key.mT / math.sqrt(query.size(-1))).softmax(-1)
        return weights @ self.value(x)


@hard(TOKENS)
class FusedAttention(Attention):
    """scaled_dot_product_attention takes its scale from the width, too; causal."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 42), nn.Linear(14, 12)

    def attend(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(-1, (3, 2, 7)).permute(2, 0, 3, 1, 4).unbind(0)
        x = functional.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out(x.transpose(1, 2).flatten(2))


@hard(TOKENS)
class MultiQueryAttention(Attention):
    """Four heads of queries share one head of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.pair, self.out = nn.Linear(12, 20), nn.Linear(12, 10), nn.Linear(20, 12)

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        query = self.query(x).view(batch, tokens, 4, 5).permute(0, 2, 1, 3)
        key, value = self.pair(x).unsqueeze(1).chunk(2, dim=-1)
        weights = (query @ key.transpose(2, 3) * 5**-0.5).softmax(-1)
        return self.out((weights @ value).permute(0, 2, 1, 3).reshape(batch, tokens, -1))


@hard(TOKENS)
class GroupedQueryAttention(Attention):
    """Two heads of keys and values, each repeated for two heads of queries."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(12, 20), nn.Linear(12, 10)
        self.value, self.out = nn.Linear(12, 10), nn.Linear(20, 12)

    def attend(self, x: Tensor) -> Tensor:
        query = self.query(x).view(3, 7, 4, 5).transpose(1, 2)
        key = self.key(x).view(3, 7, 2, 5).transpose(1, 2).repeat_interleave(2, dim=1)
        value = self.value(x).view(3, 7, 2, 5).transpose(1, 2).repeat_interleave(2, dim=1)
        weights = (query @ key.mT * 5**-0.5).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(3, 7, 20))


@hard(TOKENS)
class RotaryAttention(Attention):
    """Feature i turns together with feature i + 4: only both can go."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(12, 12)
        angles = torch.outer(torch.arange(7.0), 0.3 ** torch.arange(4.0)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def turn(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin

    def attend(self, x: Tensor) -> Tensor:
        query, key = self.turn(self.query(x)), self.turn(self.key(x))
        return (query @ key.mT * 8**-0.5).softmax(-1) @ self.value(x)


@hard(TOKENS)
class LinearAttention(Attention):
    """elu + 1 is 1 where a feature is dead; keys meet values before queries do."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(12, 9), nn.Linear(12, 9), nn.Linear(12, 12)

    def attend(self, x: Tensor) -> Tensor:
        query = functional.elu(self.query(x)) + 1
        key = functional.elu(self.key(x)) + 1
        context = torch.einsum("bnd,bne->bde", key, self.value(x))
        scale = torch.einsum("bnd,bd->bn", query, key.sum(1))
        return torch.einsum("bnd,bde->bne", query, context) / scale.unsqueeze(-1)


@hard(each(normal(3, 7, 6), normal(3, 5, 9)))
class CrossAttention(nn.Module):
    """Queries from one input, keys and values from the other by one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.pair, self.out = nn.Linear(6, 8), nn.Linear(9, 24), nn.Linear(16, 3)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        key, value = self.pair(memory).split([8, 16], dim=-1)
        query = self.query(x).view(3, 7, 2, 4).transpose(1, 2)
        key = key.view(3, 5, 2, 4).permute(0, 2, 3, 1)
        value = value.view(3, 5, 2, 8).transpose(1, 2)
        x = (query @ key * 0.5).softmax(-1) @ value
        return self.out(x.transpose(1, 2).reshape(3, 7, 16))


@hard(normal(3, 6, 4, 5))
class ChannelAttention(nn.Module):
    """XCiT: the attention matrix is features by features, of normalised queries and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.up, self.last = nn.Conv2d(6, 24, 1), nn.Conv2d(8, 13, 1), nn.Conv2d(13, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).flatten(2).chunk(3, dim=1)
        query, key = functional.normalize(query, dim=-1), functional.normalize(key, dim=-1)
        x = (query @ key.transpose(1, 2)).softmax(dim=-1) @ value
        return self.last(torch.relu(self.up(x.view(-1, 8, 4, 5))))

"""The equilibrium block: a transformer layer whose output is the root of a force.

    F(z) = -(z - x) + Attention(LN z) + FeedForward(LN z) - c z,    x = token + position embedding

with causal attention, normalised queries and keys, and no biases except the offsets that an imported block
may have. Its Jacobian is J = J_nc - (1 + c) I, where J_nc belongs to the learned, non-conservative part.
Every operation is written out by hand as a holomorphic function, so that the force can be differentiated
twice and evaluated at complex states.

Shapes: B sample, T position, C channel, H head, P = H·B pair of head and sample, D channel of a head,
E expanded channel, V symbol.
"""

import math
from functools import cache

import torch
from torch import Tensor, nn

from specseq.equilibrium.config import BlockShape


def matrices(shape: BlockShape, vocabulary: int) -> dict[str, tuple[int, int, float]]:
    """Rows, columns and initial scale of each parameter of a block, in the order in which they are drawn."""
    width, expanded = shape.width, shape.expansion * shape.width
    unit, gain = 1 / math.sqrt(width), shape.residual_gain
    return {
        "query": (width, width, unit),
        "key": (width, width, unit),
        "value": (width, width, unit),
        "output": (width, width, gain * unit),
        "expand": (width, expanded, unit),
        "contract": (expanded, width, gain / math.sqrt(expanded)),
        "token": (vocabulary, width, 1.0),
        "position": (shape.length, width, 0.3),
        "readout": (width, vocabulary, unit),
    }


def offsets(shape: BlockShape) -> dict[str, int]:
    """Length of each offset that a block with ``offsets`` has."""
    expanded = shape.expansion * shape.width
    return {"query_offset": shape.width, "key_offset": shape.width, "expand_offset": expanded}


LAYER_NORM_EPS = 1e-5
# With at least this many positions, attention without gradients uses the fused operator.
_FUSED_FROM = 128


class EquilibriumBlock(nn.Module):
    """Embedding, force and read-out. Parameters are matrices applied from the right, ``x @ W``."""

    query: nn.Parameter
    key: nn.Parameter
    value: nn.Parameter
    output: nn.Parameter
    expand: nn.Parameter
    contract: nn.Parameter
    token: nn.Parameter
    position: nn.Parameter
    readout: nn.Parameter
    query_offset: nn.Parameter | None
    key_offset: nn.Parameter | None
    expand_offset: nn.Parameter | None

    def __init__(
        self,
        shape: BlockShape,
        vocabulary: int,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            shape: sizes and constants.
            vocabulary: symbols V.
            generator: draws the initial weights, in float64 whatever ``dtype`` is.
            dtype: of the parameters.
        """
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary

        for name, (rows, columns, scale) in matrices(shape, vocabulary).items():
            drawn = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
            self.register_parameter(name, nn.Parameter((drawn * scale).to(dtype)))
        for name, size in offsets(shape).items():
            offset = nn.Parameter(torch.zeros(size, dtype=dtype)) if shape.offsets else None
            self.register_parameter(name, offset)

    @property
    def leak(self) -> float:
        """1 + c: J = J_nc - leak · I."""
        return 1 + self.shape.damping

    def operator_names(self) -> tuple[str, ...]:
        """Names of the parameters that shape the Jacobian."""
        return ("query", "key", "value", "output", "expand", "contract")

    def embed(self, tokens_BT: Tensor) -> Tensor:
        """The input x, ``[B, T, C]``."""
        return self.token[tokens_BT] + self.position[: tokens_BT.shape[1]]

    def nonconservative(self, z_BTC: Tensor) -> Tensor:
        """Attention(LN z) + FeedForward(LN z), real or complex."""
        n_BTC = layer_norm(z_BTC)
        return self._attention(n_BTC) + self._feed_forward(n_BTC)

    def transformed(self, x_BTC: Tensor) -> Tensor:
        """One pass through these weights as a plain transformer: attention, feed-forward part, norm."""
        z_BTC = x_BTC + self._attention(layer_norm(x_BTC))
        return layer_norm(z_BTC + self._feed_forward(layer_norm(z_BTC)))

    def force(self, z_BTC: Tensor, x_BTC: Tensor) -> Tensor:
        """F(z) for the input x."""
        return torch.sub(x_BTC, z_BTC, alpha=self.leak) + self.nonconservative(z_BTC)

    forward = force

    def local_force(self, z_BTC: Tensor, context_BTC: Tensor, x_BTC: Tensor) -> Tensor:
        """F(z) with every position's past frozen at ``context``: output [b, t] depends only on z[b, t]."""
        n_BTC = layer_norm(z_BTC)
        q, k, v = self.attended(self.projected(n_BTC))
        _, past_keys, past_values = self.attended(self.projected(layer_norm(context_BTC)))
        past_PTT = q @ past_keys.transpose(-1, -2)
        own_PT1 = (q * k).sum(-1, keepdim=True)
        length = z_BTC.shape[1]
        mask = nn.functional.pad(attention_mask(past_PTT, -1), (0, 1))
        w = softmax(torch.cat([past_PTT, own_PT1], -1), mask)
        mixed = w[..., :length] @ past_values + w[..., length:] * v
        return x_BTC - self.leak * z_BTC + self._merge(mixed) + self._feed_forward(n_BTC)

    def logits(self, z_BTC: Tensor) -> Tensor:
        """Read-out, ``[B, T, V]``."""
        return z_BTC @ self.readout.to(z_BTC.dtype)

    def cost(self, z_BTC: Tensor, targets_BT: Tensor) -> Tensor:
        """Cross-entropy summed over tokens, in nats: the nudge acts on each token with full strength."""
        return nn.functional.cross_entropy(
            self.logits(z_BTC).flatten(0, 1), targets_BT.flatten(), reduction="sum"
        )

    def cost_gradient(self, z_BTC: Tensor, targets_BT: Tensor) -> Tensor:
        """∂cost/∂z in closed form, holomorphic in z."""
        p_BTV = softmax(self.logits(z_BTC), None)
        index = targets_BT.unsqueeze(-1)
        less = -torch.ones_like(index, dtype=p_BTV.dtype)
        # In place if no graph needs the probabilities: with many symbols a copy costs as much as a product.
        scatter = p_BTV.scatter_add if torch.is_grad_enabled() else p_BTV.scatter_add_
        return scatter(-1, index, less) @ self.readout.to(z_BTC.dtype).T

    def _attention(self, n_BTC: Tensor) -> Tensor:
        return self._merge(self.mixed(self.projected(n_BTC)))

    def _merge(self, x_PTD: Tensor) -> Tensor:
        return side_by_side(x_PTD, self.shape.heads) @ self.output.to(x_PTD.dtype)

    def projected(self, n_BTC: Tensor) -> Tensor:
        """Queries, keys and values of all heads, ``[B, T, 3C]``, from one product."""
        weight = torch.cat([self.query, self.key, self.value], 1).to(n_BTC.dtype)
        joint = n_BTC @ weight
        if self.query_offset is not None and self.key_offset is not None:
            moved = torch.cat([self.query_offset, self.key_offset, torch.zeros_like(self.query_offset)])
            joint = joint + moved.to(joint.dtype)
        return joint

    def entering(self, dtype: torch.dtype) -> Tensor:
        """Weights of everything that reads the normalised state, side by side: ``[C, 3C + E]``."""
        return torch.cat([self.query, self.key, self.value, self.expand], 1).to(dtype)

    def mixed(self, joint_BTC: Tensor) -> Tensor:
        """Values mixed by attention, ``[P, T, D]``, from projections ``[B, T, 3C]``."""
        q, k, v = self.attended(joint_BTC)
        # Fused attention keeps no scores and has no second derivative.
        if q.shape[-2] >= _FUSED_FROM and not (torch.is_grad_enabled() or q.is_complex()):
            attend = nn.functional.scaled_dot_product_attention
            return attend(q[None], k[None], v[None], is_causal=True, scale=1.0)[0]
        logits_PTT = torch.bmm(q, k.mT)
        return torch.bmm(softmax(logits_PTT, attention_mask(logits_PTT)), v)

    def attended(self, joint_BTC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (scaled), keys and values, each ``[P, T, D]``, from projections ``[B, T, 3C]``."""
        qk, v = self.split(joint_BTC)
        if self.shape.normalise_queries:
            qk = qk * self.scale_of(qk)
        q, k = qk.chunk(2)
        return q / math.sqrt(q.shape[-1]), k, v

    def split(self, joint_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, ``[2P, T, D]``, before normalisation, and values, from projections."""
        pairs = self.shape.heads * len(joint_BTC)
        qk, v = by_head(joint_BTC, 3 * self.shape.heads).split([2 * pairs, pairs])
        return qk, v

    @staticmethod
    def scale_of(qk_PTD: Tensor) -> Tensor:
        """What normalised queries and keys are multiplied by."""
        if torch.is_grad_enabled() or qk_PTD.is_complex():
            square = (qk_PTD * qk_PTD).mean(-1, keepdim=True)
        else:
            # Without a copy of the squares; a norm has no second derivative at zero and is not holomorphic.
            square = torch.linalg.vector_norm(qk_PTD, dim=-1, keepdim=True).square_().div_(qk_PTD.shape[-1])
        return torch.rsqrt(square + 1e-6)

    def expanded(self, n_BTC: Tensor) -> Tensor:
        """What enters the feed-forward part's nonlinearity, ``[B, T, E]``."""
        inner = n_BTC @ self.expand.to(n_BTC.dtype)
        return inner if self.expand_offset is None else inner + self.expand_offset.to(inner.dtype)

    def _feed_forward(self, n_BTC: Tensor) -> Tensor:
        return gelu(self.expanded(n_BTC)) @ self.contract.to(n_BTC.dtype)


def by_head(joint_BTC: Tensor, heads: int) -> Tensor:
    """``[B, T, heads · D]`` as ``[heads · B, T, D]``: one copy now saves one per factor of a product."""
    return joint_BTC.unflatten(-1, (heads, -1)).permute(2, 0, 1, 3).flatten(0, 1)


def side_by_side(x_PTD: Tensor, heads: int) -> Tensor:
    """Undo :func:`by_head`."""
    return x_PTD.unflatten(0, (heads, -1)).permute(1, 2, 0, 3).flatten(2)


def layer_norm(x: Tensor) -> Tensor:
    """Layer normalisation without gain and offset; at complex x its holomorphic continuation."""
    if not x.is_complex():
        return nn.functional.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)
    centred = x - x.mean(-1, keepdim=True)
    # No modulus in the variance: a conjugate would not be holomorphic.
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + LAYER_NORM_EPS)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form, also at complex x."""
    if not x.is_complex():
        return nn.functional.gelu(x, approximate="tanh")
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def softmax(x: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis, also at complex x; ``mask`` is added, 0 or -∞."""
    if not x.is_complex():
        return torch.softmax(x if mask is None else x + mask, -1)
    real = x.real if mask is None else x.real + mask
    e = torch.exp(x - real.amax(-1, keepdim=True))
    e = e if mask is None else e * (mask == 0)
    return e / e.sum(-1, keepdim=True)


def attention_mask(logits: Tensor, diagonal: int = 0) -> Tensor:
    """What to add to logits ``[..., T, T]``: -∞ for keys more than ``diagonal`` positions after the query."""
    return _mask(logits.shape[-1], diagonal, logits.device, logits.real.dtype)


@cache
def _mask(length: int, diagonal: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.full((length, length), -torch.inf, device=device, dtype=dtype).triu(diagonal + 1)

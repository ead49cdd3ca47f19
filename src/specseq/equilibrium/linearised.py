"""Products with the Jacobian of a block's learned part at a frozen state, written out by hand.

The derivatives of layer normalisation, of softmax and of normalised queries and keys are symmetric, so the
operators that torch has for their backward pass serve both directions. J v and Jᵀ w together take half of
the operators that automatic differentiation takes, and keep no graph.

Shapes: B sample, T position, C channel, H head, D channel of a head, E expanded channel.
"""

import math

import torch
from torch import Tensor

from specseq.equilibrium.block import LAYER_NORM_EPS, EquilibriumBlock, attention_mask, softmax

aten = torch.ops.aten


class Linearised:
    """J_nc v and J_ncᵀ w at one real state; what does not depend on the vectors is computed once."""

    @torch.no_grad()
    def __init__(self, block: EquilibriumBlock, state_BTC: Tensor) -> None:
        """
        Args:
            block: the block; later changes of its weights are not seen.
            state_BTC: the state to linearise at; products are computed in its precision.
        """
        self.z_BTC, self.normed, dtype = state_BTC, state_BTC.shape[-1:], state_BTC.dtype
        n_BTC, self.mean, self.rstd = torch.native_layer_norm(
            state_BTC, self.normed, None, None, LAYER_NORM_EPS
        )
        attention = torch.cat([block.query, block.key, block.value], 1)
        self.width, self.heads = attention.shape[1], block.shape.heads
        self.enter = torch.cat([attention, block.expand], 1).to(dtype)
        self.leave = torch.cat([block.output, block.contract], 0).to(dtype)
        raw_qk, self.v = block.projected(n_BTC)
        self.qk, self.scale = raw_qk, None
        if block.shape.normalise_queries:
            self.scale = block.scale_of(raw_qk)
            self.qk = raw_qk * self.scale
        q, self.k = self.qk.chunk(2, 1)
        self.root_d = 1 / math.sqrt(q.shape[-1])
        self.q = q * self.root_d
        logits = self.q @ self.k.transpose(-1, -2)
        self.w_BHTT = softmax(logits, attention_mask(logits))
        inner = block.expanded(n_BTC)
        self.slope_BTE = aten.gelu_backward(torch.ones_like(inner), inner, approximate="tanh")

    @torch.no_grad()
    def matvec(self, v_BTC: Tensor) -> Tensor:
        """``J_nc v``, ``[B, T, C]``."""
        joint = self._normalised(v_BTC) @ self.enter
        dqkv = self._by_head(joint[..., : self.width])
        dqk, dv = dqkv.split([2 * self.heads, self.heads], 1)
        dq, dk = self._rescaled(dqk).chunk(2, 1)
        dlogits = torch.cat([dq * self.root_d, self.q], -1) @ torch.cat([self.k, dk], -1).transpose(-1, -2)
        dw = aten._softmax_backward_data(dlogits, self.w_BHTT, -1, self.w_BHTT.dtype)
        mixed = (dw @ self.v + self.w_BHTT @ dv).transpose(1, 2).flatten(2)
        inner = joint[..., self.width :] * self.slope_BTE
        return _sum_of_products(mixed, inner, self.leave)

    @torch.no_grad()
    def rmatvec(self, w_BTC: Tensor) -> Tensor:
        """``J_ncᵀ w``, ``[B, T, C]``."""
        joint = w_BTC @ self.leave.T
        channels = w_BTC.shape[-1]
        mixed = self._by_head(joint[..., :channels])
        dw = mixed @ self.v.transpose(-1, -2)
        dlogits = aten._softmax_backward_data(dw, self.w_BHTT, -1, self.w_BHTT.dtype)
        dqk = torch.cat([(dlogits @ self.k) * self.root_d, dlogits.transpose(-1, -2) @ self.q], 1)
        dqkv = torch.cat([self._rescaled(dqk), self.w_BHTT.transpose(-1, -2) @ mixed], 1)
        inner = joint[..., channels:] * self.slope_BTE
        return self._normalised(_sum_of_products(dqkv.transpose(1, 2).flatten(2), inner, self.enter.T))

    def _normalised(self, v_BTC: Tensor) -> Tensor:
        """The derivative of layer normalisation, applied to ``v``."""
        masks = [True, False, False]
        return aten.native_layer_norm_backward(
            v_BTC, self.z_BTC, self.normed, self.mean, self.rstd, None, None, masks
        )[0]

    def _rescaled(self, dqk_BHTD: Tensor) -> Tensor:
        """The derivative of the normalisation of queries and keys, applied to ``dqk``."""
        if self.scale is None:
            return dqk_BHTD
        along = torch.linalg.vecdot(self.qk, dqk_BHTD).unsqueeze(-1)
        return self.scale * torch.addcmul(dqk_BHTD, self.qk, along, value=-1 / self.qk.shape[-1])

    def _by_head(self, joint_BTC: Tensor) -> Tensor:
        """``[B, T, heads · D]`` as ``[B, heads, T, D]``."""
        return joint_BTC.unflatten(-1, (-1, self.q.shape[-1])).transpose(1, 2)


def _sum_of_products(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """``cat([one, other], -1) @ weight`` without the copy."""
    size = one.shape[-1]
    flat = torch.addmm(one.flatten(0, 1) @ weight[:size], other.flatten(0, 1), weight[size:])
    return flat.unflatten(0, one.shape[:2])

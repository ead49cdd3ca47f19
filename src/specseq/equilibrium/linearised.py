"""Products with the Jacobian of a block's learned part at a frozen state, written out by hand.

The derivatives of layer normalisation, of softmax and of normalised queries and keys are symmetric, so the
operators that torch has for their backward pass serve both directions. J v and Jᵀ w together take half of
the operators that automatic differentiation takes, and keep no graph.

Shapes: B sample, T position, N = B·T row, C channel, P pair of head and sample, D channel
of a head, E expanded channel, J joint channel.
"""

import math

import torch
from torch import Tensor

from specseq.equilibrium.block import (
    LAYER_NORM_EPS,
    EquilibriumBlock,
    attention_mask,
    by_head,
    side_by_side,
    softmax,
)

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
        self.width, self.heads = 3 * block.shape.width, block.shape.heads
        self.enter = block.entering(dtype)
        self.leave = torch.cat([block.output, block.contract], 0).to(dtype)
        raw_qk, self.v = block.split(block.projected(n_BTC))
        self.qk, self.scale = raw_qk, None
        if block.shape.normalise_queries:
            self.scale = block.scale_of(raw_qk)
            self.qk = raw_qk * self.scale
        q, self.k = self.qk.chunk(2)
        self.root_d = 1 / math.sqrt(q.shape[-1])
        self.q = q * self.root_d
        logits = torch.bmm(self.q, self.k.mT)
        self.w_PTT = softmax(logits, attention_mask(logits))
        inner = block.expanded(n_BTC)
        slope = aten.gelu_backward(torch.ones_like(inner), inner, approximate="tanh")
        self.slope_NE = slope.flatten(0, 1)

    @torch.no_grad()
    def matvec(self, v_BTC: Tensor) -> Tensor:
        """``J_nc v``, ``[B, T, C]``."""
        joint_NJ = self._normalised(v_BTC).flatten(0, 1) @ self.enter
        dqkv = by_head(joint_NJ[:, : self.width].unflatten(0, v_BTC.shape[:2]), 3 * self.heads)
        dqk, dv = dqkv.split([len(self.qk), len(self.v)])
        dq, dk = self._rescaled(dqk).chunk(2)
        dlogits = torch.bmm(torch.cat([dq * self.root_d, self.q], -1), torch.cat([self.k, dk], -1).mT)
        dw = aten._softmax_backward_data(dlogits, self.w_PTT, -1, self.w_PTT.dtype)
        mixed = side_by_side(torch.bmm(dw, self.v).add_(torch.bmm(self.w_PTT, dv)), self.heads)
        inner_NE = joint_NJ[:, self.width :] * self.slope_NE
        return _sum_of_products(mixed, inner_NE, self.leave)

    @torch.no_grad()
    def rmatvec(self, w_BTC: Tensor) -> Tensor:
        """``J_ncᵀ w``, ``[B, T, C]``."""
        joint_NJ = w_BTC.flatten(0, 1) @ self.leave.T
        channels = w_BTC.shape[-1]
        mixed = by_head(joint_NJ[:, :channels].unflatten(0, w_BTC.shape[:2]), self.heads)
        dw = torch.bmm(mixed, self.v.mT)
        dlogits = aten._softmax_backward_data(dw, self.w_PTT, -1, self.w_PTT.dtype)
        dqk = torch.cat([torch.bmm(dlogits, self.k).mul_(self.root_d), torch.bmm(dlogits.mT, self.q)])
        dqkv = torch.cat([self._rescaled(dqk), torch.bmm(self.w_PTT.mT, mixed)])
        inner_NE = joint_NJ[:, channels:] * self.slope_NE
        return self._normalised(_sum_of_products(side_by_side(dqkv, 3 * self.heads), inner_NE, self.enter.T))

    def _normalised(self, v_BTC: Tensor) -> Tensor:
        """The derivative of layer normalisation, applied to ``v``."""
        masks = [True, False, False]
        return aten.native_layer_norm_backward(
            v_BTC, self.z_BTC, self.normed, self.mean, self.rstd, None, None, masks
        )[0]

    def _rescaled(self, dqk_PTD: Tensor) -> Tensor:
        """The derivative of the normalisation of queries and keys, applied to ``dqk``."""
        if self.scale is None:
            return dqk_PTD
        along = torch.linalg.vecdot(self.qk, dqk_PTD).unsqueeze(-1)
        return torch.addcmul(dqk_PTD, self.qk, along, value=-1 / self.qk.shape[-1]).mul_(self.scale)


def _sum_of_products(one_BTX: Tensor, other_NY: Tensor, weight: Tensor) -> Tensor:
    """``[one, other] @ weight``, ``[B, T, C]``, without their copy."""
    size = one_BTX.shape[-1]
    flat = (one_BTX.flatten(0, 1) @ weight[:size]).addmm_(other_NY, weight[size:])
    return flat.unflatten(0, one_BTX.shape[:2])

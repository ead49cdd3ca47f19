"""The force of a block whose weights stand still, as solvers evaluate it hundreds of times in a row.

With ``products: tf32`` the projections act on the difference from a base state, whose force is known in full
precision. TF32 keeps 11 bits of each factor, so the error of the force is some 2⁻¹¹ of that difference: it
vanishes as a phase settles, where TF32 in all products would leave a fixed share of the force itself.

Shapes: B sample, T position, N = B·T row, C channel, E expanded channel, J = 3C + E joint channel.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock, gelu, layer_norm, side_by_side
from specseq.equilibrium.config import Products
from specseq.equilibrium.precision import tf32

# Evaluations of a free phase with one base. In ten, Euler with a step of 0.1 comes nearer to the root by a
# factor of three.
RENEWAL = 10


class _Parts(NamedTuple):
    """Inputs and results of the projections, on the way to the learned part of the force."""

    normed_NC: Tensor
    joint_NJ: Tensor
    mixed_NC: Tensor
    expanded_NE: Tensor
    learned_NC: Tensor


class FrozenForce:
    """F(z) of real states without a graph; later changes of the block's weights are not seen."""

    def __init__(
        self,
        block: EquilibriumBlock,
        x_BTC: Tensor,
        products: Products = "float32",
        base_BTC: Tensor | None = None,
    ) -> None:
        """
        Args:
            block: the block.
            x_BTC: the input.
            products: precision of the projections; ``float32`` stands for that of the weights.
            base_BTC: state from which differences are taken; None: the first one evaluated, and again the one
                at hand whenever :data:`RENEWAL` evaluations have passed.
        """
        self.block, self.x_BTC = block, x_BTC
        self.near = products != "float32"
        self.attention = 3 * block.shape.width
        self.enter = block.entering(x_BTC.dtype).detach()
        self.offset: Tensor | None = None
        if (
            block.query_offset is not None
            and block.key_offset is not None
            and block.expand_offset is not None
        ):
            none = torch.zeros_like(block.query_offset)
            offsets = [block.query_offset, block.key_offset, none, block.expand_offset]
            self.offset = torch.cat(offsets).detach().to(x_BTC.dtype)
        self.output, self.contract = (w.detach().to(x_BTC.dtype) for w in (block.output, block.contract))
        self.base: _Parts | None = None
        self.left = math.inf  # evaluations until the next base
        if self.near and base_BTC is not None:
            self.base = self._parts(base_BTC.flatten(0, 1))

    @torch.no_grad()
    def __call__(self, z_BTC: Tensor) -> Tensor:
        """F(z), ``[B, T, C]``."""
        z_NC = z_BTC.flatten(0, 1)
        if self.base is not None and self.left > 0:
            self.left -= 1
            learned_NC = self._learned_near(z_NC, self.base)
        else:
            parts = self._parts(z_NC)
            learned_NC = parts.learned_NC
            if self.near:
                self.base, self.left = self._without_lost(parts), RENEWAL - 1
        return torch.sub(self.x_BTC, z_BTC, alpha=self.block.leak).add_(learned_NC.view_as(z_BTC))

    @torch.no_grad()
    def _parts(self, z_NC: Tensor) -> _Parts:
        n_NC = layer_norm(z_NC)
        joint_NJ = n_NC @ self.enter
        if self.offset is not None:
            joint_NJ = joint_NJ + self.offset
        mixed_NC, expanded_NE = self._nonlinear(joint_NJ)
        learned_NC = (mixed_NC @ self.output).add_(expanded_NE @ self.contract)
        return _Parts(n_NC, joint_NJ, mixed_NC, expanded_NE, learned_NC)

    def _learned_near(self, z_NC: Tensor, base: _Parts) -> Tensor:
        with tf32(True):
            joint_NJ = torch.addmm(base.joint_NJ, layer_norm(z_NC).sub_(base.normed_NC), self.enter)
        mixed_NC, expanded_NE = self._nonlinear(joint_NJ)
        with tf32(True):
            learned_NC = torch.addmm(base.learned_NC, mixed_NC.sub_(base.mixed_NC), self.output)
            return learned_NC.addmm_(expanded_NE.sub_(base.expanded_NE), self.contract)

    def _nonlinear(self, joint_NJ: Tensor) -> tuple[Tensor, Tensor]:
        """Attention's heads side by side, and the expanded channels, from the joint projection."""
        attention_BTC = joint_NJ[:, : self.attention].unflatten(0, self.x_BTC.shape[:2])
        mixed_NC = side_by_side(self.block.mixed(attention_BTC), self.block.shape.heads).flatten(0, 1)
        return mixed_NC, gelu(joint_NJ[:, self.attention :])

    def _without_lost(self, parts: _Parts) -> _Parts:
        """The parts, with those of samples that overflowed set to zero, from which differences are finite."""
        sound_B = torch.isfinite(parts.learned_NC).view(len(self.x_BTC), -1).all(1)
        sound_N1 = sound_B.repeat_interleave(self.x_BTC.shape[1]).unsqueeze(1)
        return _Parts(*(torch.where(sound_N1, part, 0.0) for part in parts))

"""The nudged phase of equilibrium propagation for forces that are not a gradient.

    z' = F(z) - β ∂cost/∂z - (J - Jᵀ)(z - z*),    J at the free equilibrium z*

The last term makes the linear response obey Jᵀ, so that -dz/dβ at β = 0 is the exact adjoint even though J is
not symmetric (Scurria, Vanden Abeele, Mognetti & Massar, arXiv:2602.03670). The nudged flow has the
spectrum of the free flow, so a solver that settles one settles the other, and one that fails on one fails
on both.

Shapes: B sample, T position, C channel, N nudge point, K = N·B sample of the stacked batch.
"""

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import Products
from specseq.equilibrium.fields import counted
from specseq.equilibrium.frozen import FrozenForce
from specseq.equilibrium.linearised import Linearised
from specseq.equilibrium.precision import tf32
from specseq.spectra.operators import Jacobian, Map


class NudgedPhase:
    """All nudge points at once, stacked on the batch axis; a field for any solver.

    An evaluation costs a force and, with the correction, a product with J and one with Jᵀ.
    """

    def __init__(
        self,
        block: EquilibriumBlock,
        x_BTC: Tensor,
        root_BTC: Tensor,
        targets_BT: Tensor,
        betas_N: Tensor,
        corrected: bool = True,
        drift_cancelled: bool = False,
        products: Products = "float32",
    ) -> None:
        """
        Args:
            block: gives force and cost.
            x_BTC: input.
            root_BTC: free equilibrium z*, or what the free phase left.
            targets_BT: symbols to predict.
            betas_N: nudges, real or complex; each acts on every token with full strength.
            corrected: whether to include the last term; without it the response obeys J, not Jᵀ.
            drift_cancelled: use F(z) - F(z*) for F(z), which makes z* an exact rest point at β = 0 even if
                the free phase had not converged.
            products: precision of the products that act on the difference from z*, see
                :mod:`specseq.equilibrium.frozen`. It is small, so rounding it costs an equally small part of
                the adjoint. A complex force has the precision of the weights.
        """
        points = betas_N.shape[0]
        self.block, self.leak, self.evaluations = block, block.leak, 0
        self.root_KTC = root_BTC.repeat(points, 1, 1)
        self.start = self.root_KTC.to(betas_N.dtype) if betas_N.is_complex() else self.root_KTC
        self.x_KTC = x_BTC.repeat(points, 1, 1).to(self.start.dtype)
        self.targets_KT = targets_BT.repeat(points, 1)
        self.betas_K = betas_N.to(self.start.dtype).repeat_interleave(root_BTC.shape[0]).view(-1, 1, 1)
        self.corrected = corrected
        self.drift = None if not drift_cancelled else block.force(self.root_KTC, self.x_KTC.real).detach()
        frozen = torch.cat([self.root_KTC, self.root_KTC]) if self.start.is_complex() else self.root_KTC
        self.force: Map
        if self.start.is_complex():
            self.force = lambda z: block.force(z, self.x_KTC)
        else:
            self.force = FrozenForce(block, self.x_KTC, products, self.root_KTC)
        # The leak is symmetric and cancels in J - Jᵀ, so the learned part is enough.
        self.products = products
        self.jacobian = Linearised(block, frozen.bfloat16() if products == "bfloat16" else frozen)

    @torch.no_grad()
    def __call__(self, state: Tensor) -> Tensor:
        self.evaluations += 1
        force = self._nudge(self.force(state), state)
        if self.corrected:
            force = force - self._asymmetry(state - self.root_KTC)
        return force

    def linearise(self, state: Tensor) -> Map:
        """The exact Jacobian at a real state; at a complex one, that at z* and β = 0 (chord iteration)."""
        if state.is_complex():
            product = self._pulled if self.corrected else self._pushed
            return counted(self, lambda v: self._on_parts(product, v) - self.leak * v)
        local = Jacobian(lambda z: self._nudge(self.block.force(z, self.x_KTC), z), state)

        def exact(v: Tensor) -> Tensor:
            image = local.matvec(v)
            return image - self._asymmetry(v) if self.corrected else image

        return counted(self, exact)

    def _nudge(self, force: Tensor, state: Tensor) -> Tensor:
        """The force with the pull of the cost, and without the drift if that is cancelled."""
        if self.drift is not None:
            force = force - self.drift
        with tf32(self.products != "float32"):
            return force - self.betas_K * self.block.cost_gradient(state, self.targets_KT)

    def _asymmetry(self, v: Tensor) -> Tensor:
        return self._on_parts(lambda w: self._pushed(w) - self._pulled(w), v)

    def _pushed(self, w: Tensor) -> Tensor:
        with tf32(self.products == "tf32"):
            return self.jacobian.matvec(w.to(self.jacobian.z_BTC.dtype)).to(w.dtype)

    def _pulled(self, w: Tensor) -> Tensor:
        with tf32(self.products == "tf32"):
            return self.jacobian.rmatvec(w.to(self.jacobian.z_BTC.dtype)).to(w.dtype)

    def _on_parts(self, product: Map, v: Tensor) -> Tensor:
        if not v.is_complex():
            return product(v)
        real, imaginary = product(torch.cat([v.real, v.imag])).chunk(2)
        return torch.complex(real, imaginary)

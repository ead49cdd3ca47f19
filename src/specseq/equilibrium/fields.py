"""Vector fields as solvers see them: counted evaluations and exact linearisations.

The free phase, the nudged phases and the adjoint flow are all fields, so each can be solved by any solver.
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import Products
from specseq.equilibrium.frozen import FrozenForce
from specseq.spectra.operators import Jacobian, Map


class Field(Protocol):
    """A force on states ``[B, ...]`` whose samples do not interact.

    Attributes:
        evaluations: forces and Jacobian products so far; one covers the whole batch.
        leak: coefficient of -leak·z, the linear, diagonal part of the force.
    """

    evaluations: int
    leak: float

    def __call__(self, state: Tensor) -> Tensor:
        """The force; counts as one evaluation."""

    def linearise(self, state: Tensor) -> Map:
        """``v -> J v`` at the state; each product counts as one evaluation."""


class FreePhase:
    """z' = F(z) for fixed weights and input."""

    def __init__(self, block: EquilibriumBlock, x_BTC: Tensor, products: Products = "float32") -> None:
        """
        Args:
            block: the block.
            x_BTC: its input.
            products: precision of the projections, see :mod:`specseq.equilibrium.frozen`.
        """
        self.block, self.x_BTC, self.leak, self.evaluations = block, x_BTC, block.leak, 0
        self.force = FrozenForce(block, x_BTC, products)

    def __call__(self, state: Tensor) -> Tensor:
        self.evaluations += 1
        return self.force(state)

    def linearise(self, state: Tensor) -> Map:
        return counted(self, Jacobian(lambda z: self.block.force(z, self.x_BTC), state).matvec)


class AdjointFlow:
    """a' = Jᵀ a + ∂cost/∂z at a frozen state; it rests at the exact adjoint (Almeida 1987, Pineda 1987)."""

    def __init__(self, jacobian: Jacobian, source: Tensor, leak: float) -> None:
        self.jacobian, self.source, self.leak, self.evaluations = jacobian, source, leak, 0

    def __call__(self, state: Tensor) -> Tensor:
        self.evaluations += 1
        return self.jacobian.rmatvec(state) + self.source

    def linearise(self, state: Tensor) -> Map:
        return counted(self, self.jacobian.rmatvec)


def counted(field: Field, product: Callable[[Tensor], Tensor]) -> Map:
    """A product that adds to its field's evaluations."""

    def call(v: Tensor) -> Tensor:
        field.evaluations += 1
        return product(v)

    return call

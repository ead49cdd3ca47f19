"""The Jacobian of a vector field at a frozen state, as exact products with vectors."""

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


class Jacobian:
    """Exact ``J v`` and ``Jᵀ w`` of a field at one state; the graphs are built once and kept.

    ``J v`` is obtained by differentiating the vector-Jacobian product in its cotangent. The field therefore
    needs only reverse-mode derivatives, but of second order: no fused kernels without a second derivative.
    States carry samples on the first axis; when samples do not interact, one product serves all of them.
    """

    def __init__(self, field: Map, state: Tensor) -> None:
        self.state = state.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            self._force = field(self.state)
        self._cotangent: Tensor | None = None
        self._pullback: Tensor | None = None

    def rmatvec(self, w: Tensor) -> Tensor:
        """``Jᵀ w``, of the state's shape."""
        (product,) = torch.autograd.grad(self._force, self.state, w, retain_graph=True)
        return product

    def matvec(self, v: Tensor) -> Tensor:
        """``J v``, of the state's shape."""
        if self._pullback is None or self._cotangent is None:
            self._cotangent = torch.zeros_like(self._force, requires_grad=True)
            (self._pullback,) = torch.autograd.grad(
                self._force, self.state, self._cotangent, create_graph=True
            )
        (product,) = torch.autograd.grad(self._pullback, self._cotangent, v, retain_graph=True)
        return product


def dense_jacobian(field: Map, state: Tensor) -> Tensor:
    """The Jacobian of every sample as a matrix, by one vector-Jacobian product per row.

    It needs memory for n² entries per sample, so it is a reference for small n.

    Args:
        field: a field whose samples (first axis) do not interact.
        state: ``[B, ...]`` with n entries per sample.

    Returns:
        ``[B, n, n]``, rows are outputs.
    """
    jacobian = Jacobian(field, state)
    samples, size = state.shape[0], state[0].numel()
    rows = torch.empty(samples, size, size, dtype=state.dtype, device=state.device)
    for row in range(size):
        w = torch.zeros(samples, size, dtype=state.dtype, device=state.device)
        w[:, row] = 1
        rows[:, row] = jacobian.rmatvec(w.view_as(state)).reshape(samples, size)
    return rows

"""Baseline predictors: constant, independent Wigner, linear autoregression.

Each maps past spacings to a predictive density and is fitted to the training split only.

Shapes: W windows, N spacings, C context, H horizon, p order.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.spacings.gue import wigner_density
from specseq.spacings.sets import SpacingSet

Array = NDArray[np.float64]


def wigner_nll(s: Array) -> Array:
    """-ln p(s) of Wigner's surmise for β = 2, a reference that sees no past; infinite at s ≤ 0."""
    with np.errstate(divide="ignore"):
        return -np.log(wigner_density(s))


def lag_products(rows: Array, order: int) -> tuple[Array, Array, int]:
    """Normal equations of an autoregression: exact least squares, not an estimate of a Toeplitz matrix.

    G[i, j] = Σ_t x_{t-1-i} x_{t-1-j} and b[i] = Σ_t x_t x_{t-1-i} over t ≥ order in each row. Neighbours
    on a diagonal of G differ by two products only, so the cost is linear in the data times the order.

    Args:
        rows: (R, N) centred sequences, N > order.

    Returns:
        G (p, p), b (p,) and the number of terms in each sum.
    """
    count = rows.shape[1] - order
    full = np.zeros((order + 1, order + 1))
    for x in rows:
        newest = x[order:]
        first = np.array([newest @ x[order - j : len(x) - j] for j in range(order + 1)])
        block = np.empty((order + 1, order + 1))
        block[0] = first
        for i in range(order):
            # In G[i+1, j+1] both factors are one step older: one product enters and one leaves.
            enters = x[order - 1 - i] * x[order - 1 - np.arange(i, order)]
            leaves = x[len(x) - 1 - i] * x[len(x) - 1 - np.arange(i, order)]
            block[i + 1, i + 1 :] = block[i, i:-1] + enters - leaves
        full += np.triu(block) + np.triu(block, 1).T
    return full[1:, 1:], full[0, 1:], count * len(rows)


@dataclass(frozen=True)
class Autoregression:
    """s_n = mean + Σ_i a_i (s_{n-i} - mean) + noise; ``coefficients`` (p,), newest first."""

    coefficients: Array
    mean: float
    scale: float

    @property
    def order(self) -> int:
        return len(self.coefficients)

    def predict(self, s_WN: Array) -> Array:
        """(W, N - p) predictions of s_p, s_{p+1}, ... from the p spacings before each."""
        x = s_WN - self.mean
        windows = np.lib.stride_tricks.sliding_window_view(x[:, :-1], self.order, axis=1)
        return np.asarray(windows @ self.coefficients[::-1] + self.mean)

    def nll(self, error: Array) -> Array:
        """NLL of prediction errors under the normal noise fitted in training."""
        return 0.5 * math.log(2 * math.pi) + math.log(self.scale) + 0.5 * (error / self.scale) ** 2

    def rollout(self, context_WC: Array, horizon: int, rng: np.random.Generator | None = None) -> Array:
        """(W, H) continuation by the mean, or by draws from ``rng``.

        Raises:
            InputError: the context is shorter than the order.
        """
        if context_WC.shape[1] < self.order:
            fault = f"{context_WC.shape[1]} spacings"
            raise InputError("context", fault, f"AR({self.order}) needs {self.order}")
        x = np.pad(context_WC[:, -self.order :] - self.mean, ((0, 0), (0, horizon)))
        reverse = self.coefficients[::-1]
        for h in range(horizon):
            x[:, self.order + h] = x[:, h : h + self.order] @ reverse
            if rng is not None:
                x[:, self.order + h] += self.scale * rng.standard_normal(len(x))
        return np.asarray(x[:, self.order :] + self.mean)


def fit_autoregressions(train: SpacingSet, orders: list[int]) -> list[Autoregression]:
    """Least-squares autoregressions of several orders from one pass over the training split.

    A set of one segment is read in sixteen rows, to save memory.

    Raises:
        InputError: a segment is too short for an order, or the spacings repeat exactly and leave no noise.
    """
    largest = max(orders)
    segments = len(train) // train.segment
    length = train.segment if segments > 1 else len(train) // 16
    if length <= 2 * largest:
        raise InputError(train.name, f"rows of {length} spacings can't fit AR({largest})", "lower the order")
    starts = train.starts(length)
    mean = float(np.mean(train.spacings, dtype=np.float64))
    gram, cross, terms, energy = np.zeros((largest, largest)), np.zeros(largest), 0, 0.0
    for start in starts:
        x = train.windows(np.array([start]), length).astype(np.float64) - mean
        part_gram, part_cross, part = lag_products(x, largest)
        gram, cross, terms = gram + part_gram, cross + part_cross, terms + part
        energy += float((x[:, largest:] ** 2).sum())
    fitted = []
    for order in orders:
        try:
            a = np.linalg.solve(gram[:order, :order], cross[:order])
        except np.linalg.LinAlgError:
            a = np.full(order, np.nan)
        residual = energy - 2 * a @ cross[:order] + a @ gram[:order, :order] @ a
        # What rounding leaves of the energy is not noise.
        if not residual > 1e-12 * energy:
            fault = f"AR({order}) leaves no noise: the spacings are constant or repeat exactly"
            raise InputError(train.name, fault, "give spacings that vary, or lower the order")
        fitted.append(Autoregression(np.asarray(a, dtype=np.float64), mean, math.sqrt(residual / terms)))
    return fitted

"""One-step scores of a model on windows: likelihood, errors, calibration and dependence on its input.

Shapes: W windows, L spacings per window, K components.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.spacings.mixture import Mixture
from specseq.spacings.model import SpacingModel

Array = NDArray[np.float64]

# Rounding of float64 outputs stays far below this, whichever kernels are used.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Scores:
    """(W, L-1) arrays: entry l scores the prediction of spacing l+1 from those up to l.

    ``predictive_entropy`` is (W,): at the last prediction of each window.
    """

    nll: Array
    absolute_error: Array
    crps: Array
    pit: Array
    weight_entropy: Array
    predictive_entropy: Array


@torch.no_grad()
def teacher_forced(model: SpacingModel, s_WL: Tensor, height_W: Tensor) -> Scores:
    """Scores at all positions of complete windows, as in the published evaluation.

    With memory under ``attention_mask: published``, these predictions have seen the answers.
    """
    chunks: list[list[Tensor]] = []
    for s, height in zip(s_WL.split(128), height_W.split(128), strict=True):
        mixture, truth = model(s, height)[:, :-1].double(), s[:, 1:].double()
        chunks.append(
            [
                -mixture.log_prob(truth),
                (mixture.expectation() - truth).abs(),
                mixture.crps(truth),
                mixture.cdf(truth),
                mixture.weight_entropy(),
                mixture[:, -1].predictive_entropy(),
            ]
        )
    return Scores(*(torch.cat(parts).numpy() for parts in zip(*chunks, strict=True)))


@torch.no_grad()
def truncated(
    model: SpacingModel,
    s_WL: Tensor,
    height_W: Tensor,
    context: int,
    keep_slots: Tensor | None = None,
) -> tuple[Array, Array]:
    """NLL and absolute error (W,) at spacing ``context`` when the model is given only the spacings before it.

    Args:
        keep_slots: (M,) boolean; memory slots set False are zeroed.
    """
    nll, error = [], []
    for s, height in zip(s_WL.split(256), height_W.split(256), strict=True):
        mixture: Mixture = model(s[:, :context], height, keep_slots)[:, -1].double()
        truth = s[:, context].double()
        nll.append(-mixture.log_prob(truth))
        error.append((mixture.expectation() - truth).abs())
    return torch.cat(nll).numpy(), torch.cat(error).numpy()


@torch.no_grad()
def causality_violation(model: SpacingModel, s_WL: Tensor, height_W: Tensor) -> float:
    """Largest change of an output in the window's first half when the spacings of the second are changed.

    The model is evaluated in float64, where rounding and a leak differ by orders of magnitude. Changes at the
    level of rounding count as 0.0, so that a causal model gives exactly 0.0 on every processor.
    """
    exact, s, height = deepcopy(model).double(), s_WL.double(), height_W.double()
    middle = s.shape[1] // 2
    changed = s.clone()
    changed[:, middle:] = changed[:, middle:].flip(1) + 0.5
    before, after = (exact(window, height)[:, :middle] for window in (s, changed))
    change = max(float((a - b).abs().max()) for a, b in zip(tuple(before), tuple(after), strict=True))
    return change if change > _ROUNDING else 0.0


def kernel(model: SpacingModel, s_WL: Tensor, height_W: Tensor) -> Array:
    """(L,) mean response E ∂E[s_{n+1}]/∂s_{n+1-d} of the last prediction to the spacing d = 1..L back."""
    s = s_WL.clone().requires_grad_(True)
    expectation = model(s, height_W)[:, -1].expectation().sum()
    (gradient,) = torch.autograd.grad(expectation, s)
    return gradient.double().mean(0).flip(0).numpy()


def fit_kernel(mu: Array) -> tuple[float, float]:
    """Fit |μ(d)| = A d exp(-g √d); return g and R² of the fit to |μ|, the form published for the kernel.

    The fit is least squares in |μ| itself, over a grid of g with A solved for each. A kernel that is zero or
    has a single value has no decay: both are then NaN.
    """
    if len(mu) < 2 or not mu.any():
        return float("nan"), float("nan")
    d = np.arange(1, len(mu) + 1, dtype=float)
    target = np.abs(mu)
    best = (float("nan"), float("inf"))
    for g in np.geomspace(0.05, 20, 400):
        shape = d * np.exp(-g * np.sqrt(d))
        amplitude = (shape @ target) / (shape @ shape)
        loss = float(((target - amplitude * shape) ** 2).sum())
        if loss < best[1]:
            best = (float(g), loss)
    total = float(((target - target.mean()) ** 2).sum())
    return best[0], 1 - best[1] / total if total > 0 else float("nan")


def memory_primes_p_value(memory_MD: Tensor, rng: np.random.Generator) -> float:
    """Permutation p-value of the largest correlation of the slots' principal coordinates with ln p."""
    slots = memory_MD.detach().double().numpy()
    primes = np.log([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53][: len(slots)])
    alike = not np.ptp(slots, axis=0).any()
    if len(slots) < 3 or len(primes) < len(slots) or alike or not np.isfinite(slots).all():
        return float("nan")
    centred = slots - slots.mean(0)
    left = np.linalg.svd(centred, full_matrices=False)[0][:, : min(3, len(slots) - 1)]
    unit = (primes - primes.mean()) / np.linalg.norm(primes - primes.mean())
    observed = np.abs(left.T @ unit).max()
    null = np.array([np.abs(left.T @ rng.permutation(unit)).max() for _ in range(2000)])
    return float((1 + (null >= observed - 1e-12).sum()) / (1 + len(null)))

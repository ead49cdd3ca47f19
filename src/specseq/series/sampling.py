"""The probability with which a training sample is drawn from each series.

========== ===================================================================================
unweighted every series is equally likely
weighted   sub-dataset k with probability ω_k ∝ min(share of points, 0.001), a series within it in
           proportion to its points (Woo et al. 2024, section 3.2.1)
custom     sub-dataset k with a given weight, a series within it in proportion to its points
========== ===================================================================================

Shapes: K sub-dataset.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.series.store import Store

UNWEIGHTED, WEIGHTED, CUSTOM = "unweighted", "weighted", "custom"
LARGEST_SHARE = 0.001


@dataclass(frozen=True)
class SeriesSampler:
    """Draws numbers of series by inverting a cumulative distribution: O(log N) per draw.

    Attributes:
        cumulative: ``float64 [N]``, non-decreasing, ends at 1.
    """

    cumulative: NDArray[np.float64]

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        """``count`` independent draws."""
        return np.searchsorted(self.cumulative, generator.random(count), side="right")


def clipped_shares(points_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """ω_k ∝ min(share of points, 0.001) of K sub-datasets; all 0 if none holds a point."""
    clipped = np.minimum(points_K / max(points_K.sum(), 1.0), LARGEST_SHARE)
    return clipped / (clipped.sum() or 1.0)


def _dataset_weights(
    store: Store, sampling: str, weights: Mapping[str, float], eligible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    size = len(store.datasets)
    points = np.bincount(store.dataset, store.length * store.variates * eligible, size).astype(np.float64)
    raw: NDArray[np.float64]
    if sampling == UNWEIGHTED:
        raw = np.bincount(store.dataset, eligible, size).astype(np.float64)
    elif sampling == WEIGHTED:
        raw = clipped_shares(points)
    elif sampling == CUSTOM:
        raw = _custom(store, weights) * (points > 0)
    else:
        raise InputError(
            "sampling", f"unknown kind {sampling!r}", f"use {UNWEIGHTED}, {WEIGHTED} or {CUSTOM}"
        )
    if not raw.sum() > 0:
        raise InputError("data.weights", "give no weight to any usable series", "weigh other sub-datasets")
    return raw / raw.sum()


def _custom(store: Store, weights: Mapping[str, float]) -> NDArray[np.float64]:
    for name, weight in weights.items():
        if name not in store.datasets:
            known = ", ".join(store.datasets)
            raise InputError("weights", f"no sub-dataset is called {name!r}", f"known: {known}")
        if not 0 <= weight < np.inf:
            raise InputError(f"weights.{name}", f"is {weight}", "give a finite weight of at least 0")
    return np.array([float(weights.get(name, 0.0)) for name in store.datasets])


def series_sampler(
    store: Store,
    sampling: str = UNWEIGHTED,
    weights: Mapping[str, float] | None = None,
    eligible: NDArray[np.bool_] | None = None,
    needed: str = "",
) -> SeriesSampler:
    """A sampler over the series of a store.

    Args:
        weights: sub-dataset -> weight, for ``custom``; others get 0.
        eligible: ``bool [N]``, series that may be drawn; the others are ignored throughout.
        needed: condition that makes a series eligible, for the message if none is.

    Raises:
        InputError: the kind of sampling is unknown, or custom weights name an unknown sub-dataset, are
            negative or leave nothing.
    """
    able = np.ones(len(store), np.bool_) if eligible is None else eligible
    if not able.any():
        fault = f"none of the {len(store)} series is long enough: the longest has {store.length.max()} steps"
        raise InputError(store.folder, f"{fault}, {needed}", "use longer series or smaller patches")
    dataset = _dataset_weights(store, sampling, weights or {}, able)
    size = able * (1.0 if sampling == UNWEIGHTED else store.length * store.variates)
    within = np.bincount(store.dataset, size, len(store.datasets))
    share = np.divide(dataset, within, out=np.zeros_like(dataset), where=within > 0)
    cumulative = np.cumsum(share[store.dataset] * size)
    return SeriesSampler(cumulative / cumulative[-1])

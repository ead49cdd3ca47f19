"""Checks of the STU study's claims: parameter counts layer by layer, operations, schedules."""

from typing import Any

import numpy as np

from specseq.report.claims.rounding import Range, over_rounding, point, rounded, rounded_list


def _whole(source: Any) -> int:
    return int(rounded(source).value)


def _attention(d: int, heads: int) -> int:
    """Query, key, value, output without bias; QK-norm over the head; binary variate bias."""
    return 4 * d * d + 2 * (d // heads) + 2 * heads


def _stu(d: int, filters: int) -> int:
    """Approximation mode with one shared filter: input projection and filter projection."""
    return d * d + filters * d


def moirai_parameters(
    d_model: Any,
    layers: Any,
    heads: Any,
    d_ff: Any = 1024,
    patch_sizes: Any = (8, 16, 32, 64, 128),
    distribution_outputs: Any = 12,
    stu_layers: Any = 0,
    filters: Any = 24,
) -> Range:
    """Parameters of MOIRAI (Woo et al. 2024, arXiv:2402.02592), some attention replaced by STU mixing."""
    d, n, h, k = _whole(d_model), _whole(layers), _whole(heads), _whole(filters)
    replaced, outputs = _whole(stu_layers), _whole(distribution_outputs)
    sizes = [_whole(size) for size in rounded_list(patch_sizes)]
    slot = max(sizes)
    embed = len(sizes) * (d * slot + d) + d  # per-size projections and the mask vector
    feed_forward = 3 * d * _whole(d_ff)
    mixing = (n - replaced) * _attention(d, h) + replaced * _stu(d, k)
    encoder = mixing + n * (feed_forward + 2 * d) + d
    heads_out = len(sizes) * outputs * slot * (d + 1)
    return point(embed + encoder + heads_out)


def stu_parameters(d_model: Any, filters: Any, full: bool = False, branches: Any = 2) -> Range:
    """Parameters of one STU layer: approximation mode, or full mode: a d×d matrix per filter and branch."""
    d, k = _whole(d_model), _whole(filters)
    return point(_whole(branches) * k * d * d if full else _stu(d, k))


def stu_reduction(d_model: Any, filters: Any, branches: Any = 2) -> Range:
    """Ratio of full mode's parameters to those of approximation mode."""
    d, k = _whole(d_model), _whole(filters)
    return point(_whole(branches) * k * d * d / _stu(d, k))


def mixing_operations(length: Any, d_model: Any) -> Range:
    """Multiplications of a spectral layer's mixing over those of an attention layer's, for one sequence.

    Attention: four projections, scores and weighted sum, 4Ld² + 2L²d. STU in approximation mode: one
    projection, and for each channel two real transforms of length 2L (½L·log₂(2L) complex multiplications
    each, of 3 real ones) and L + 1 products; the filters' transforms serve all sequences.
    """
    n, d = _whole(length), _whole(d_model)
    transforms = d * (2 * 3 * (n / 2) * np.log2(2 * n) + 3 * (n + 1))
    return point((n * d * d + transforms) / (4 * n * d * d + 2 * n * n * d))


def resolvable_filters(length: Any, cosine: Any = 0.99) -> Range:
    """Number of leading eigenvectors of the Hankel matrix 2/((i+j)³-(i+j)) that float64 determines.

    A vector counts if it comes out the same (|cos| at least ``cosine``) when the matrix is given in reversed
    order, which changes rounding and nothing else; counting ends at the first that does not.
    """
    from threadpoolctl import threadpool_limits

    n, least = _whole(length), rounded(cosine).value
    s = np.add.outer(np.arange(1, n + 1), np.arange(1, n + 1)).astype(float)
    hankel = 2 / (s**3 - s)
    found = []
    for order in (slice(None), slice(None, None, -1)):
        with threadpool_limits(1):  # threads make a matrix of this size slower, and the rounding differ
            values, vectors = np.linalg.eigh(hankel[order, order])
        found.append(vectors[order][:, np.argsort(-np.abs(values))])
    same = np.abs((found[0] * found[1]).sum(axis=0)) >= least
    return point(n if same.all() else int(np.argmin(same)))


def mixture_outputs(components: Any) -> Range:
    """Outputs of a mixture head: the parameters of every component and one weight logit each."""
    sizes = {"student_t": 3, "normal_fixed_scale": 1, "negative_binomial": 2, "log_normal": 2}
    return point(sum(sizes[name] for name in components) + len(components))


def shared_filter_weight(lag: Any) -> Range:
    """Weight of h at a lag where one filter serves the plus and the minus branch: 1 + (-1)^lag."""
    return point(1 + (-1) ** _whole(lag))


def live_mixture_weights(patch: Any, components: Any = 4, slot: Any = 128) -> Range:
    """Components whose logit depends on the input in the published head, at one patch size.

    The head keeps the first components·patch of components·slot outputs, which then are split by component.
    """
    p, n, width = _whole(patch), _whole(components), _whole(slot)
    return point(sum(place * width + p <= n * p for place in range(n)))


def steps_after_warmup(epochs: Any, batches: Any, warmup: Any) -> Range:
    """Training steps left once the warm-up is over, the only ones in which a schedule can decay."""
    return point(max(0, _whole(epochs) * _whole(batches) - _whole(warmup)))


def seconds_per_epoch(rate: Any, batches: Any) -> Range:
    """Seconds for this many batches at a rate of batches per second."""
    return over_rounding(lambda r, b: b / r, rounded(rate), rounded(batches))

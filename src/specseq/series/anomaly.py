"""The anomaly rule: a crop whose later part leaves the range of its first part by far is not learned from.

z-scores are taken with mean and standard deviation of the first 30 % of a crop's tokens, with the variance
floor of the models' scaler, so that z is what the loss would see. Mind what the rule does to trends: the end
of a straight line has z = (1 - 0.15)·√12/0.3 = 9.8, so at the published threshold of 8 every crop of a clean
line is rejected.
"""

import math

import numpy as np
from numpy.typing import NDArray

VARIANCE_FLOOR = 1e-5


def context_tokens(tokens: int) -> int:
    """How many tokens make the first 30 %: rounded down, at least 1."""
    return max(1, 3 * tokens // 10)


def largest_z_score(crop: NDArray[np.float32], context: int) -> float:
    """max |z| of the points after the context.

    Args:
        crop: ``[T]``, NaN where a value is missing.
        context: number of points that mean and standard deviation are taken from.

    Returns:
        The largest |z|, at least 0; infinity where fewer than two points of the context or none after it
        were observed: there is nothing to scale by or to learn from.
    """
    head = crop[:context].astype(np.float64)
    rest = crop[context:]
    total = head.sum()
    if math.isnan(total):
        head = head[~np.isnan(head)]
        total = head.sum()
    if len(head) < 2 or not len(rest):
        return math.inf
    low, high = np.fmin.reduce(rest), np.fmax.reduce(rest)
    if math.isnan(low):
        return math.inf
    mean = total / len(head)
    head -= mean
    scale = math.sqrt(head @ head / (len(head) - 1) + VARIANCE_FLOOR)
    return float(max(high - mean, mean - low, 0.0) / scale)

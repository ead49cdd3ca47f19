"""The smooth part of the zero-counting function, without S(t), and its inverse, in plain floats."""

import math
from typing import Any

TWO_PI = 2.0 * math.pi


def stirling_tail(t: Any) -> Any:
    """Terms of the expansion of θ(t) that decay with t (number or array), to 1e-16 for t ≥ 200."""
    return 1 / (48 * t) + 7 / (5760 * t**3) + 31 / (80640 * t**5)


def smooth_count(t: float) -> float:
    """θ(t)/π + 1: the number of zeros up to t minus S(t), in double precision."""
    return (0.5 * t * (math.log(t / TWO_PI) - 1) - math.pi / 8 + stirling_tail(t)) / math.pi + 1


def height_of_index(n: float) -> float:
    """The height where ``smooth_count`` is n (n ≥ 1); the n-th zero lies within a few spacings of it."""
    t = max(20.0, TWO_PI * n / max(math.log(n / 8), 1.0))
    for _ in range(60):
        step = (smooth_count(t) - n) / (0.5 * math.log(t / TWO_PI) / math.pi)
        t = max(t - step, 10.0)
        if abs(step) < 1e-12 * t:
            break
    return t

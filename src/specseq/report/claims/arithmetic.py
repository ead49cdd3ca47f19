"""Checks that any study may use: arithmetic on the figures that a note prints.

Every public function of this module and of a study's ``checks.py`` can be named in a claim. It takes keyword
arguments as YAML gives them (printed text or numbers) and returns a :class:`Range`.
"""

import math
from itertools import pairwise
from typing import Any

from specseq.errors import InputError
from specseq.report.claims.rounding import Range, Rounded, over_rounding, point, rounded, rounded_list


def value(of: Any) -> Range:
    """The figure itself."""
    number = rounded(of)
    return Range(number.value, number.low, number.high)


def percent_change(value: Any, base: Any) -> Range:
    """100·(value/base - 1)."""
    return over_rounding(lambda v, b: 100 * (v / b - 1), rounded(value), rounded(base))


def ratio(a: Any, b: Any) -> Range:
    """a/b."""
    return over_rounding(lambda x, y: x / y, rounded(a), rounded(b))


def difference(a: Any, b: Any) -> Range:
    """a - b."""
    return over_rounding(lambda x, y: x - y, rounded(a), rounded(b))


def absolute_difference(a: Any, b: Any) -> Range:
    """|a - b|, for two figures printed for different things."""
    return over_rounding(lambda x, y: abs(x - y), rounded(a), rounded(b))


def product(of: Any) -> Range:
    """The product of positive figures."""
    return over_rounding(lambda *x: math.prod(x), *rounded_list(of))


def total(of: Any) -> Range:
    """The sum of figures."""
    return over_rounding(lambda *x: math.fsum(x), *rounded_list(of))


def whole_quotient(a: Any, b: Any) -> Range:
    """⌊a/b⌋."""
    return point(rounded(a).value // rounded(b).value)


def minimum(of: Any) -> Range:
    """The least of the figures."""
    listed = rounded_list(of)
    return Range(min(x.value for x in listed), min(x.low for x in listed), min(x.high for x in listed))


def maximum(of: Any) -> Range:
    """The largest of the figures."""
    listed = rounded_list(of)
    return Range(max(x.value for x in listed), max(x.low for x in listed), max(x.high for x in listed))


def norm(of: Any) -> Range:
    """Euclidean norm; its range over the rounding of every entry."""
    listed = rounded_list(of)
    least = [max(0.0, abs(x.value) - x.half) for x in listed]
    most = [abs(x.value) + x.half for x in listed]
    return Range(
        math.hypot(*(x.value for x in listed)), math.hypot(*least), math.hypot(*most)
    )  # fmt: skip


def largest_magnitude(of: Any) -> Range:
    """max |entry|."""
    return maximum([Rounded(abs(x.value), x.half) for x in rounded_list(of)])


def largest_difference(a: Any, b: Any) -> Range:
    """max |a_i - b_i| of two lists; the shorter is padded with zeros."""
    first, second = rounded_list(a), rounded_list(b)
    length = max(len(first), len(second))
    first += [Rounded(0.0)] * (length - len(first))
    second += [Rounded(0.0)] * (length - len(second))
    gaps = [over_rounding(lambda x, y: abs(x - y), x, y) for x, y in zip(first, second, strict=True)]
    return Range(max(g.value for g in gaps), max(g.low for g in gaps), max(g.high for g in gaps))


def largest_step(of: Any) -> Range:
    """The largest step from a figure to the next: below 0 where all fall."""
    listed = rounded_list(of)
    steps = [over_rounding(lambda a, b: b - a, *pair) for pair in pairwise(listed)]
    return Range(*(max(getattr(step, end) for step in steps) for end in ("value", "low", "high")))


def rank_correlation(x: Any, y: Any) -> Range:
    """Spearman's rank correlation of two printed columns: 1 where y rises with x throughout."""
    first, second = ([n.value for n in rounded_list(column)] for column in (x, y))
    if len(first) != len(second) or len(first) < 4:
        raise InputError(
            "claims", "rank_correlation needs two lists of the same length, 4 or more", "check the table"
        )
    from scipy.stats import spearmanr

    return point(float(spearmanr(first, second).statistic))


def percent_of_log(value: Any, categories: Any) -> Range:
    """Entropy in nats as a percentage of its maximum ln k."""
    return over_rounding(lambda v, k: 100 * v / math.log(k), rounded(value), rounded(categories))


def log(of: Any) -> Range:
    """Natural logarithm."""
    return over_rounding(math.log, rounded(of))


def share_of_step(fraction: Any, factor: Any) -> Range:
    """Amdahl: speed-up of the whole when a fraction of its time becomes ``factor`` times faster."""
    return over_rounding(lambda f, k: 1 / (1 - f + f / k), rounded(fraction), rounded(factor))

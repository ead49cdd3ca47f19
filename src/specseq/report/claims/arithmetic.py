"""The registry of arithmetic checks: named functions of the figures a note prints.

A function takes keyword arguments as YAML gives them (printed text or numbers) and returns :class:`Exact`.
Functions of one field live beside this module: filters, models, dynamics and zeta.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from specseq.errors import InputError
from specseq.report.claims.printed import Exact, Printed, corners, exact, numbers, printed

Check = Callable[..., Exact]
REGISTRY: dict[str, Check] = {}


def check_function(function: Check) -> Check:
    """Register a function under its own name."""
    REGISTRY[function.__name__] = function
    return function


def _load_fields() -> None:
    from specseq.report.claims import dynamics, filter_checks, models, zeta_checks  # noqa: F401  (they register)


def lookup(name: str, where: str) -> Check:
    """A registered function.

    Raises:
        InputError: none has this name.
    """
    _load_fields()
    if name not in REGISTRY:
        raise InputError(where, f"unknown arithmetic '{name}'", f"known: {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]


def check(name: Any, arguments: Mapping[str, Any], where: str) -> None:
    """Refuse an unknown function or arguments that do not fit it."""
    function = lookup(str(name), where)
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise InputError(where, f"{name}: {error}", "see workflow/claims/README.md") from None


def evaluate(name: str, arguments: Mapping[str, Any]) -> Exact:
    """Call a registered function."""
    return lookup(name, "claims")(**arguments)


@check_function
def value(of: Any) -> Exact:
    """The figure itself."""
    number = printed(of)
    return Exact(number.value, number.low, number.high)


@check_function
def percent_change(value: Any, base: Any) -> Exact:
    """100·(value/base - 1)."""
    return corners(lambda v, b: 100 * (v / b - 1), printed(value), printed(base))


@check_function
def ratio(a: Any, b: Any) -> Exact:
    """a/b."""
    return corners(lambda x, y: x / y, printed(a), printed(b))


@check_function
def difference(a: Any, b: Any) -> Exact:
    """a - b."""
    return corners(lambda x, y: x - y, printed(a), printed(b))


@check_function
def absolute_difference(a: Any, b: Any) -> Exact:
    """|a - b|, for two figures printed for different things."""
    return corners(lambda x, y: abs(x - y), printed(a), printed(b))


@check_function
def product(of: Any) -> Exact:
    """The product of positive figures."""
    return corners(lambda *x: math.prod(x), *numbers(of))


@check_function
def total(of: Any) -> Exact:
    """The sum of figures."""
    return corners(lambda *x: math.fsum(x), *numbers(of))


@check_function
def whole_quotient(a: Any, b: Any) -> Exact:
    """⌊a/b⌋."""
    return exact(printed(a).value // printed(b).value)


@check_function
def minimum(of: Any) -> Exact:
    """The least of the figures."""
    found = numbers(of)
    return Exact(min(x.value for x in found), min(x.low for x in found), min(x.high for x in found))


@check_function
def maximum(of: Any) -> Exact:
    """The largest of the figures."""
    found = numbers(of)
    return Exact(max(x.value for x in found), max(x.low for x in found), max(x.high for x in found))


@check_function
def count(of: Any) -> Exact:
    """How many figures a list has."""
    return exact(len(numbers(of)))


@check_function
def norm(of: Any) -> Exact:
    """Euclidean norm; its range over the rounding of every entry."""
    found = numbers(of)
    least = [max(0.0, abs(x.value) - x.half) for x in found]
    most = [abs(x.value) + x.half for x in found]
    return Exact(
        math.hypot(*(x.value for x in found)), math.hypot(*least), math.hypot(*most)
    )  # fmt: skip


@check_function
def largest_magnitude(of: Any) -> Exact:
    """max |entry|."""
    return maximum([Printed(abs(x.value), x.half) for x in numbers(of)])


@check_function
def largest_difference(a: Any, b: Any) -> Exact:
    """max |a_i - b_i| of two lists; the shorter is padded with zeros."""
    first, second = numbers(a), numbers(b)
    length = max(len(first), len(second))
    first += [Printed(0.0)] * (length - len(first))
    second += [Printed(0.0)] * (length - len(second))
    gaps = [corners(lambda x, y: abs(x - y), x, y) for x, y in zip(first, second, strict=True)]
    return Exact(max(g.value for g in gaps), max(g.low for g in gaps), max(g.high for g in gaps))


@check_function
def rank_correlation(x: Any, y: Any) -> Exact:
    """Spearman's rank correlation of two printed columns: 1 where y rises with x throughout."""
    first, second = ([n.value for n in numbers(column)] for column in (x, y))
    if len(first) != len(second) or len(first) < 3:
        raise InputError(
            "claims", "rank_correlation wants two lists of one length, 3 or more", "check the table"
        )
    from scipy.stats import spearmanr

    return exact(float(spearmanr(first, second).statistic))


@check_function
def percent_of_log(value: Any, categories: Any) -> Exact:
    """Entropy in nats as a percentage of its maximum ln k."""
    return corners(lambda v, k: 100 * v / math.log(k), printed(value), printed(categories))


@check_function
def log(of: Any) -> Exact:
    """Natural logarithm."""
    return corners(math.log, printed(of))


@check_function
def share_of_step(fraction: Any, factor: Any) -> Exact:
    """Amdahl: speed-up of the whole when a fraction of its time becomes ``factor`` times faster."""
    return corners(lambda f, k: 1 / (1 - f + f / k), printed(fraction), printed(factor))

"""From a specification, as config files and command lines write it, to a filter."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from specseq.errors import InputError
from specseq.filters.filter import Filter
from specseq.filters.matched import matched
from specseq.filters.minimax import l2, lyapunov
from specseq.filters.polynomials import chebyshev, difference, identity, legendre

# Up to here the roots of a Chebyshev polynomial are found to 1e-10 from its taps; at 40 to 1e-4 only.
MAX_DEGREE = 24
MAX_TAPS = 64

# What each family takes beside family, stride and name; a key with * may be left out.
FAMILIES: dict[str, tuple[str, ...]] = {
    "identity": ("degree*",),
    "chebyshev": ("degree",),
    "legendre": ("degree",),
    "difference": ("degree*",),
    "lyapunov": ("degree", "lam"),
    "l2": ("degree", "lam"),
    "literal": ("taps",),
    "matched": ("degree", "autocovariance", "horizon", "lam*"),
}
_CLOSED_FORM = {
    "identity": identity,
    "chebyshev": chebyshev,
    "legendre": legendre,
    "difference": difference,
}


def design(spec: Mapping[str, Any], where: str = "filter") -> Filter:
    """Design a filter.

    Args:
        spec: ``family`` and what :data:`FAMILIES` lists for it; ``stride`` (default 1) and ``name`` for all:

            - ``degree``: number of taps, 1 to 24; 1 where identity and difference leave it out;
            - ``lam``: weight of the penalty, ≥ 0;
            - ``taps``: c_1 … c_d of a literal filter, 1 to 64 of them, a list or a comma-separated text;
            - ``autocovariance``: γ_0, γ_1, … or a covariance matrix of the baseline's residuals, and
              ``horizon``: the forecast steps, for ``matched``.
        where: what messages call the specification, e.g. a config key.

    Raises:
        InputError: unknown family or key, missing key, impossible value.
    """
    family = spec.get("family")
    if family not in FAMILIES:
        raise InputError(f"{where}.family", f"unknown family {family!r}", f"choose of {', '.join(FAMILIES)}")
    _check_keys(spec, where)
    stride = _whole(spec.get("stride", 1), f"{where}.stride", 1, 4096)
    name = str(spec.get("name", ""))
    if family == "literal":
        return Filter(family, _taps(spec["taps"], f"{where}.taps"), stride, None, name)
    degree = _whole(spec.get("degree", 1), f"{where}.degree", 1, MAX_DEGREE)
    if family in _CLOSED_FORM:
        return Filter(family, _CLOSED_FORM[family](degree), stride, None, name)
    lam = _weight(spec.get("lam", 0.0), f"{where}.lam")
    if family == "matched":
        horizon = _whole(spec["horizon"], f"{where}.horizon", 1, 1 << 14)
        covariance = _covariance(spec["autocovariance"], f"{where}.autocovariance")
        return Filter(family, matched(degree, covariance, horizon, lam, stride), stride, lam, name)
    return Filter(family, (lyapunov if family == "lyapunov" else l2)(degree, lam), stride, lam, name)


def _check_keys(spec: Mapping[str, Any], where: str) -> None:
    family = spec["family"]
    wanted = {key.rstrip("*") for key in FAMILIES[family]}
    known = wanted | {"family", "stride", "name"}
    for key in spec:
        if key not in known:
            raise InputError(
                f"{where}.{key}", f"no key of family {family}", f"it takes {', '.join(sorted(known))}"
            )
    for key in FAMILIES[family]:
        if not key.endswith("*") and spec.get(key) is None:
            raise InputError(f"{where}.{key}", "missing", f"family {family} needs it")


def _whole(value: Any, where: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise InputError(where, f"{value!r}", f"give a whole number from {least} to {most}")
    return int(value)


def _weight(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(where, f"{value!r}", "give a number of at least 0")
    return float(value)


def _taps(value: Any, where: str) -> tuple[float, ...]:
    listed: Sequence[Any] = value.split(",") if isinstance(value, str) else value
    try:
        taps = tuple(float(tap) for tap in listed)
    except (TypeError, ValueError):
        raise InputError(where, f"{value!r}", "give numbers, e.g. [-0.454, 0, -0.306]") from None
    if not 1 <= len(taps) <= MAX_TAPS or not all(math.isfinite(tap) for tap in taps):
        raise InputError(where, f"{value!r}", f"give 1 to {MAX_TAPS} finite numbers")
    return taps


def _covariance(value: Any, where: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(where, "not a list of numbers", "give γ_0, γ_1, … or a square matrix") from None

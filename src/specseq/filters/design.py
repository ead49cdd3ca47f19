"""Computes the taps of a filter from its specification."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from specseq.errors import InputError
from specseq.filters.config import (
    L2,
    Chebyshev,
    Difference,
    FilterSettings,
    GivenTaps,
    Identity,
    Legendre,
    Lyapunov,
    Matched,
    NamedFilter,
)
from specseq.filters.filter import Filter
from specseq.filters.matched import matched
from specseq.filters.minimax import l2, lyapunov
from specseq.filters.polynomials import chebyshev, difference, identity, legendre
from specseq.settings import read


def design(spec: FilterSettings | Mapping[str, Any], where: str = "filter", name: str = "") -> Filter:
    """The filter that a specification describes.

    Args:
        spec: settings of a family, or the corresponding mapping from a config file.
        where: name of the specification in messages, such as a config key.
        name: name of the filter in tables and figures; if empty, made from its family and settings.

    Raises:
        InputError: unknown family or key, missing key, impossible value.
    """
    if isinstance(spec, Mapping):
        spec = read(cast(type[FilterSettings], NamedFilter), spec, where)
    return Filter(spec.family, _taps(spec, where), spec.stride, getattr(spec, "lam", None), name)


def _taps(settings: FilterSettings, where: str) -> tuple[float, ...]:
    match settings:
        case Identity(degree=degree):
            return identity(degree)
        case Chebyshev(degree=degree):
            return chebyshev(degree)
        case Legendre(degree=degree):
            return legendre(degree)
        case Difference(degree=degree):
            return difference(degree)
        case Lyapunov(degree=degree, lam=lam):
            return lyapunov(degree, lam)
        case L2(degree=degree, lam=lam):
            return l2(degree, lam)
        case GivenTaps(taps=taps):
            return taps
        case Matched(degree=degree, lam=lam, horizon=horizon, autocovariance=covariance):
            if covariance is None:
                raise InputError(f"{where}.autocovariance", "is missing", "give γ_0, γ_1, … or a matrix")
            array = np.asarray(covariance, dtype=np.float64)
            return matched(degree, array, horizon or len(array), lam, settings.stride)

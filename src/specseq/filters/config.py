"""Specifications of filters as written in config files: one settings class per family."""

from typing import Annotated, Literal, get_args

from specseq.settings import STRICT, Field, dataclass

# Up to this degree, the roots of a Chebyshev polynomial are found from its taps to 1e-10; at 40 only to 1e-4.
MAX_DEGREE = 24
MAX_TAPS = 64

Degree = Annotated[int, Field(ge=1, le=MAX_DEGREE, description="number of taps d")]
Penalty = Annotated[float, Field(ge=0, description="weight λ of the penalty in the design")]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class _Filter:
    stride: int = Field(default=1, ge=1, le=4096, description="time steps between two taps")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Identity(_Filter):
    """No filter: all taps zero."""

    family: Literal["identity"] = "identity"
    degree: Degree = 1


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Chebyshev(_Filter):
    """Monic Chebyshev polynomial: least maximum on [-1, 1]."""

    family: Literal["chebyshev"] = "chebyshev"
    degree: Degree


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Legendre(_Filter):
    """Monic Legendre polynomial: least mean square on [-1, 1]."""

    family: Literal["legendre"] = "legendre"
    degree: Degree


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Difference(_Filter):
    """(1 - L)^d."""

    family: Literal["difference"] = "difference"
    degree: Degree = 1


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Lyapunov(_Filter):
    """Least max|p| + λ·G, where G is the noise gain."""

    family: Literal["lyapunov"] = "lyapunov"
    degree: Degree
    lam: Penalty


@dataclass(frozen=True, config=STRICT, kw_only=True)
class L2(_Filter):
    """Least max|p| + λ·‖c‖²."""

    family: Literal["l2"] = "l2"
    degree: Degree
    lam: Penalty


@dataclass(frozen=True, config=STRICT, kw_only=True)
class GivenTaps(_Filter):
    """Taps as given."""

    family: Literal["literal"] = "literal"
    taps: tuple[float, ...] = Field(min_length=1, max_length=MAX_TAPS, description="c_1, …, c_d")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Matched(_Filter):
    """The filter that best whitens a forecaster's own errors; see :mod:`specseq.filters.matched`."""

    family: Literal["matched"] = "matched"
    degree: Degree
    lam: Penalty = 0.0
    horizon: int | None = Field(
        default=None,
        ge=1,
        le=1 << 14,
        description="forecast steps H; null: the number of lags",
    )
    autocovariance: tuple[float, ...] | tuple[tuple[float, ...], ...] | None = Field(
        default=None,
        description="γ_0, γ_1, … or the covariance matrix of the forecaster's errors; null: measured",
    )


FilterSettings = Identity | Chebyshev | Legendre | Difference | Lyapunov | L2 | GivenTaps | Matched
# The same union, as a field or as the kind for :func:`specseq.settings.read`.
NamedFilter = Annotated[FilterSettings, Field(discriminator="family")]
FAMILIES = tuple(str(settings.family) for settings in get_args(FilterSettings))

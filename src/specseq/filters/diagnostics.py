"""Properties of a filter that are known before anything is trained with it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.filters.filter import Filter
from specseq.filters.stability import absolute_gain, impulse_response, is_stable, noise_gain, roots

HORIZONS = (1, 5, 20, 50, 100)


@dataclass(frozen=True)
class Diagnostics:
    """Sizes and gains of a filter and of its recursive reversal 1/A.

    Polynomial quantities are in units of strides (x is one stride), horizons in time steps.

    Attributes:
        sup_norm: max over x in [-1, 1] of |p(x)|; 1 for the identity, below 1 where the filter shrinks.
        spectral_radius: max |root of p|; the recursive reversal is unstable if it is 1 or more.
        stable: whether the recursive reversal is stable.
        noise_gain: G = Σ_k h_k², the gain in error variance of the self reversal; infinite if unstable.
        horizon_gain: v(H) = Σ_{k ≤ H} h_k² for each horizon; the self error at the n-th forecast step has
            v(n - 1) times the variance of white filtered-space errors.
        absolute_gain: Σ_k |h_k|, the worst-case gain; infinite if unstable.
        dc_gain: 1/A(1), the gain of a constant error; meaningful where stable, infinite if A(1) = 0.
        tap_sum: Σ|c|.
        tap_norm: ‖c‖₂.
        tap_max: max|c|.
        roots: roots of p, largest modulus first.
    """

    sup_norm: float
    spectral_radius: float
    stable: bool
    noise_gain: float
    horizon_gain: dict[int, float]
    absolute_gain: float
    dc_gain: float
    tap_sum: float
    tap_norm: float
    tap_max: float
    roots: tuple[complex, ...]

    def record(self) -> dict[str, Any]:
        """Plain JSON values: roots as [real, imaginary] pairs, infinities as the strings ``inf``/``-inf``."""
        plain = {name: value for name, value in asdict(self).items() if name not in ("roots", "horizon_gain")}
        plain["horizon_gain"] = {str(horizon): gain for horizon, gain in self.horizon_gain.items()}
        plain["roots"] = [[root.real, root.imag] for root in self.roots]
        return {name: _plain(value) for name, value in plain.items()}


@np.errstate(over="ignore", invalid="ignore")
def diagnose(filter: Filter, horizons: Sequence[int] = HORIZONS) -> Diagnostics:
    """All diagnostics of a filter, with v(H) at the given horizons in time steps."""
    taps = filter.array
    found = roots(taps)
    at_one = 1 + taps.sum()
    return Diagnostics(
        sup_norm=sup_norm(taps),
        spectral_radius=float(np.abs(found).max()),
        stable=is_stable(taps),
        noise_gain=noise_gain(taps),
        horizon_gain={horizon: horizon_gain(filter, horizon) for horizon in horizons},
        absolute_gain=absolute_gain(taps),
        dc_gain=float(1 / at_one) if at_one else float("inf"),
        tap_sum=float(np.abs(taps).sum()),
        tap_norm=float(np.linalg.norm(taps)),
        tap_max=float(np.abs(taps).max()),
        roots=tuple(complex(root) for root in found),
    )


def sup_norm(taps: NDArray[np.float64]) -> float:
    """Max over x in [-1, 1] of |p(x)|, from the values at the ends and where p' vanishes."""
    return float(np.abs(np.polyval(np.concatenate([[1.0], taps]), extrema(taps))).max())


def extrema(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of [-1, 1] where |p| can be largest: both ends and the real zeros of p' between them."""
    polynomial = np.concatenate([[1.0], taps])
    slope = polynomial[:-1] * np.arange(len(taps), 0, -1)
    zeros = np.roots(slope)
    # A double zero of p' comes out as a complex pair, whose real part is then the point to check; a
    # superfluous point does no harm.
    inside = zeros.real[np.abs(zeros.real) < 1]
    return np.concatenate([[-1.0, 1.0], inside])


def horizon_gain(filter: Filter, horizon: int) -> float:
    """v(H) = Σ_{k ≤ H} h_k² in time steps: with stride s the response has a value every s steps."""
    response = impulse_response(filter.array, horizon // filter.stride + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        gain = float(response @ response)
    return gain if np.isfinite(gain) else float("inf")


def frequency_response(
    filter: Filter, points: int = 512
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """A(e^{-iω}) at ``points`` frequencies from 0 to π radians per time step, including the stride.

    Returns:
        ω [points] and A [points].
    """
    omega = np.linspace(0, np.pi, points)
    lags = filter.stride * np.arange(1, filter.degree + 1)
    return omega, 1 + np.exp(-1j * np.outer(omega, lags)) @ filter.array


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, float) and np.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value

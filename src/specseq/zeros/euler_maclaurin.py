"""Z(t) at low heights by Euler–Maclaurin summation of ζ(1/2 + it) (Edwards 1974, §6.4).

The cost of one value grows with t, so it is used only where the Riemann–Siegel remainder is still too large:
to find the zeros below t = 1000 and to polish those up to a few thousand.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bernoulli, loggamma

from specseq.zeros.phase import log_phase, log_table

Array = NDArray[np.float64]
_TERMS = 12


def _theta(t: Array) -> Array:
    """θ(t) = arg Γ(1/4 + it/2) - (t/2) ln π."""
    return np.asarray(np.imag(loggamma(0.25 + 0.5j * t)) - 0.5 * t * math.log(math.pi))


def z_low(t: Array) -> Array:
    """Z at heights t, to about 1e-13 for t ≤ 5000."""
    length = int(t.max() / 2) + 20
    rows = max(1, 1_000_000 // length)
    return np.concatenate([_z_chunk(t[i : i + rows], length) for i in range(0, len(t), rows)])


def _z_chunk(t: Array, length: int) -> Array:
    high, low = log_table(length)
    n = np.arange(1, length)
    s = 0.5 + 1j * t
    phases = log_phase(t[:, None], high[n][None], low[n][None])
    total: NDArray[Any] = (np.cos(phases) - 1j * np.sin(phases)) @ (1 / np.sqrt(n)).astype(complex)
    tail_phase = log_phase(t, high[length : length + 1], low[length : length + 1])
    power = np.exp(-1j * tail_phase) / math.sqrt(length)  # length^(-s)
    total += power * length / (s - 1) + power / 2
    numbers = bernoulli(2 * _TERMS)
    term = s * power / length
    for k in range(1, _TERMS + 1):
        total += numbers[2 * k] / math.factorial(2 * k) * term
        term = term * (s + 2 * k - 1) * (s + 2 * k) / length**2
    return np.asarray((np.exp(1j * _theta(t)) * total).real)

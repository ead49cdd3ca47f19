"""Polynomial filters of time series: families, diagnostics, theory, and operators that apply and undo them.

Design and diagnostics need only NumPy and SciPy; :mod:`specseq.filters.operators` works on torch tensors.
"""

from specseq.filters.config import FAMILIES
from specseq.filters.design import design
from specseq.filters.diagnostics import Diagnostics, diagnose, frequency_response
from specseq.filters.filter import Filter
from specseq.filters.stability import impulse_response, noise_gain
from specseq.filters.theory import (
    ideal_inverse,
    predicted_oracle_error,
    predicted_self_error,
    residual_autocovariance,
    residual_covariance,
)

__all__ = [
    "FAMILIES",
    "Diagnostics",
    "Filter",
    "design",
    "diagnose",
    "frequency_response",
    "ideal_inverse",
    "impulse_response",
    "noise_gain",
    "predicted_oracle_error",
    "predicted_self_error",
    "residual_autocovariance",
    "residual_covariance",
]

"""A filter: its taps, its stride and the family they come from."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError


@dataclass(frozen=True)
class Filter:
    """A(L) = 1 + Σ c_i L^i, acting as z_t = y_t + Σ_i c_i y_{t - i·stride}.

    Its polynomial is p(x) = x^d + c_1 x^(d-1) + … + c_d, where x stands for one stride.

    Attributes:
        taps: c_1 … c_d, at least one.
        stride: time steps between two taps, s.
        lam: weight of the penalty in the design, if the family has one.
    """

    family: str
    taps: tuple[float, ...]
    stride: int = 1
    lam: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.taps or not all(math.isfinite(tap) for tap in self.taps):
            raise InputError("filter taps", f"{list(self.taps)}", "give at least one tap, all finite")
        if self.stride < 1:
            raise InputError("filter stride", f"{self.stride}", "a stride is a whole number from 1")
        if not self.name:
            lam = "" if self.lam is None else f"_l{self.lam:g}"
            stride = f"_s{self.stride}" if self.stride > 1 else ""
            object.__setattr__(self, "name", f"{self.family}_d{self.degree}{lam}{stride}")

    @property
    def degree(self) -> int:
        """Number of taps, d."""
        return len(self.taps)

    @property
    def reach(self) -> int:
        """Time steps the filter looks back, d·s; so many points at the start of a series stay unfiltered."""
        return self.degree * self.stride

    @property
    def array(self) -> NDArray[np.float64]:
        """The taps, [d]."""
        return np.array(self.taps, dtype=np.float64)

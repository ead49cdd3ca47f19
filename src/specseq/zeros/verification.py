"""Checks that no zero in a table or file is missing, repeated or displaced."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.zeros.blocks import low_zeros
from specseq.zeros.completeness import VALID_FROM, turing_count
from specseq.zeros.selection import Zeros

Array = NDArray[np.float64]

ZEROS_BELOW_VALID = 288
"""N(168π), for the heights below which Turing's bound does not hold."""

TOLERANCE = 1e-6
"""Largest accepted displacement of a zero; printed tables have nine digits."""

_REMEDY = "a zero is missing or displaced: recompute this stretch"


@cache
def _lowest() -> Array:
    """The zeros below 168π, computed."""
    return low_zeros(VALID_FROM, ZEROS_BELOW_VALID)[0]


@dataclass
class Verifier:
    """Checks zeros that come in pieces.

    Indices must be contiguous and heights ascending. Zeros below 168π are compared with computed ones. Above,
    the mean of S(t) over windows must stay within Turing's bound for the indices given. A zero lost among the
    last few dozen shifts no mean beyond the bound; only the zeros after them can reveal it.

    Attributes:
        window: zeros per check; the last one takes the remainder too.
        largest_mean_s, largest_share_of_bound: over the windows checked so far.
    """

    window: int = 4096
    largest_mean_s: float = 0.0
    largest_share_of_bound: float = 0.0
    _waiting: Zeros | None = field(default=None, repr=False)

    def add(self, zeros: Zeros) -> None:
        """Check the next piece as far as possible before the following one arrives.

        Raises:
            InputError: a zero is missing, repeated or displaced; the error names its neighbourhood.
        """
        if not len(zeros):
            return
        before = self._waiting
        joined = zeros if before is None else Zeros.join([before, zeros])
        _ascending(joined)
        self._compare_low(zeros)
        while len(joined) > 2 * self.window:
            self._check(joined[: self.window + 1])
            joined = joined[self.window :]
        self._waiting = joined

    def finish(self) -> None:
        """Check the zeros that remain.

        Raises:
            InputError: as for :meth:`add`, or there were no zeros.
        """
        if self._waiting is None:
            raise InputError("zeros", "there are none", "compute at least one zero")
        self._check(self._waiting)

    def _compare_low(self, zeros: Zeros) -> None:
        low = zeros[: int(np.searchsorted(zeros.gamma, VALID_FROM))]
        if not len(low):
            return
        places = np.clip(low.n, 1, ZEROS_BELOW_VALID) - 1
        wrong = np.abs(low.gamma - _lowest()[places]) > TOLERANCE
        if wrong.any():
            at = int(np.argmax(wrong))
            fault = f"index {low.n[at]} lies at {low.gamma[at]:.6f}, expected at {_lowest()[places[at]]:.6f}"
            raise InputError("zeros", fault, _REMEDY)

    def _check(self, zeros: Zeros) -> None:
        zeros = zeros[int(np.searchsorted(zeros.gamma, VALID_FROM)) :]
        if len(zeros) < 3:
            return
        base = np.floor(zeros.gamma[0] * 64) / 64
        offsets = (zeros.t0 - base) + zeros.delta
        # From just after the first zero to just before the last, since a boundary on a zero is ambiguous.
        low, high = 0.5 * float(offsets[0] + offsets[1]), 0.5 * float(offsets[-2] + offsets[-1])
        count = turing_count(float(base), offsets[1:-1], low, high, int(zeros.n[1]))
        if not count.complete:
            span, most = f"indices {zeros.n[0]} and {zeros.n[-1]}", f"{count.bound:.4f} is the most"
            fault = f"between {span} the mean of S(t) is {count.mean_s:.4f}, where {most}"
            raise InputError("zeros", fault, _REMEDY)
        self.largest_mean_s = max(self.largest_mean_s, abs(count.mean_s))
        self.largest_share_of_bound = max(self.largest_share_of_bound, abs(count.mean_s) / count.bound)


def _ascending(zeros: Zeros) -> None:
    jumps = np.nonzero(np.diff(zeros.n) != 1)[0]
    if len(jumps):
        fault = f"index jumps from {zeros.n[jumps[0]]} to {zeros.n[jumps[0] + 1]}"
        raise InputError("zeros", fault, "recompute this stretch")
    if not np.isfinite(zeros.gamma).all():
        at = int(zeros.n[np.argmin(np.isfinite(zeros.gamma))])
        raise InputError("zeros", f"the height at index {at} is not finite", "recompute this stretch")
    falls = np.nonzero(np.diff(zeros.t0) + np.diff(zeros.delta) <= 0)[0]
    if len(falls):
        fault = f"heights do not ascend at index {zeros.n[falls[0]]}"
        raise InputError("zeros", fault, "recompute this stretch")

"""Spectral features of past positions: amplitude and phase of spectral lines in the zeros so far.

The unfolded zeros x_j at height T fluctuate with the lines τ = ln p^k / ln(T/2π) of the explicit formula. At
the zero x_n the feature F_n(τ) = Σ_{j ≤ n} w(n-j) exp(2πi τ (x_n - x_j)) holds a line's amplitude and phase
at x_n, measured on the last W zeros; later zeros do not enter. The features are added to the model's tokens.

A taper of W zeros resolves 1/W in τ. The lines of low primes are further apart than that, which calls for a
long taper; above them the lines merge into a continuum, whose phases a long taper would only blur. Hence
there are several tapers, each with its own range of τ.

Shapes: B batch, L sequence, Z = L + 1 zeros, M frequencies, W taper length.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from specseq.spacings.config import frequency_grid


def prime_powers(limit: int) -> list[int]:
    """Prime powers up to a limit, ascending."""
    numbers = np.arange(limit + 1)
    primes = [n for n in range(2, limit + 1) if (n % numbers[2 : math.isqrt(n) + 1]).all()]
    return sorted(p**k for p in primes for k in range(1, limit.bit_length()) if p**k <= limit)


class Spectrum(nn.Module):
    """Tapered spectral sums at the arithmetic lines and on uniform grids.

    They are divided by √τ, since the zeros' form factor is the ramp K(τ) = τ; all are then of order one.

    Attributes:
        windows: taper lengths W; the taper is a quarter cosine that falls from 1 at the newest zero.
        size: number of real features.
    """

    log_lines: Tensor

    def __init__(self, windows: Sequence[int], lines: int, highest: Sequence[float], length: int) -> None:
        """
        Args:
            lines: prime powers up to this give lines that move with the height, seen through the longest
                taper.
            highest: largest τ of each taper's grid k/W; τ = 1 is the mean density of zeros.
        """
        super().__init__()
        self.windows = tuple(windows)
        powers = prime_powers(lines) if lines >= 2 else []
        self.register_buffer("log_lines", torch.tensor(np.log(powers), dtype=torch.float32), persistent=False)
        self.longest = max(range(len(self.windows)), key=self.windows.__getitem__)
        lag = torch.arange(length + 1, dtype=torch.float32)
        counts = []
        for number, (w, top) in enumerate(zip(self.windows, highest, strict=True)):
            grid = torch.tensor(frequency_grid(w, top), dtype=torch.float32)
            self.register_buffer(f"grid_{number}", grid, persistent=False)
            taper = torch.cos(0.5 * math.pi * lag / w) * (lag < w) / math.sqrt(w / 2)
            self.register_buffer(f"taper_{number}", taper, persistent=False)
            counts.append(len(grid) + (len(powers) if number == self.longest else 0))
        self.counts = tuple(counts)
        self.size = 2 * sum(counts)

    def frequencies(self, height_B: Tensor) -> Tensor:
        """(B, M) frequencies τ at heights T, taper by taper."""
        lines = self.log_lines / torch.log(height_B / (2 * math.pi))[:, None].to(self.log_lines.dtype)
        parts = []
        for number in range(len(self.windows)):
            grid = self.get_buffer(f"grid_{number}").expand(len(height_B), -1)
            parts += [lines, grid] if number == self.longest else [grid]
        return torch.cat(parts, 1)

    def phases(self, x: Tensor, tau_BM: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (B, Z, M) of 2πτx at positions x (B, Z), with whole turns removed."""
        turns = x[..., None] * tau_BM[:, None, :].to(x.dtype)
        angle = (2 * math.pi * (turns - turns.round())).to(tau_BM.dtype)
        return angle.cos(), angle.sin()

    def forward(self, x_BZ: Tensor, height_B: Tensor) -> Tensor:
        """(B, L, size) features at each zero after the first."""
        zeros = x_BZ.shape[1]
        tau_BM = self.frequencies(height_B)
        cos, sin = self.phases(x_BZ, tau_BM)
        lag = torch.arange(1, zeros, device=x_BZ.device)[:, None] - torch.arange(zeros, device=x_BZ.device)
        sums_cos, sums_sin = [], []
        for number, (c, s) in enumerate(zip(self._by_taper(cos), self._by_taper(sin), strict=True)):
            weights_LZ = torch.where(lag >= 0, self.get_buffer(f"taper_{number}")[lag.clamp(min=0)], 0.0)
            sums_cos.append(weights_LZ @ c)
            sums_sin.append(weights_LZ @ s)
        return self._turned(
            tau_BM[:, None], cos[:, 1:], sin[:, 1:], torch.cat(sums_cos, -1), torch.cat(sums_sin, -1)
        )

    def last(self, tau_BM: Tensor, cos_BZM: Tensor, sin_BZM: Tensor) -> Tensor:
        """(B, size) features at the newest zero, from the phases of all zeros."""
        newest = cos_BZM.shape[1]
        sums_cos, sums_sin = [], []
        for number, (c, s) in enumerate(zip(self._by_taper(cos_BZM), self._by_taper(sin_BZM), strict=True)):
            weights = self.get_buffer(f"taper_{number}")[:newest].flip(0)
            sums_cos.append(torch.matmul(weights, c))
            sums_sin.append(torch.matmul(weights, s))
        return self._turned(
            tau_BM, cos_BZM[:, -1], sin_BZM[:, -1], torch.cat(sums_cos, -1), torch.cat(sums_sin, -1)
        )

    def _by_taper(self, phases: Tensor) -> tuple[Tensor, ...]:
        return phases.split(self.counts, -1)

    @staticmethod
    def _turned(tau: Tensor, cos: Tensor, sin: Tensor, sum_cos: Tensor, sum_sin: Tensor) -> Tensor:
        """Real and imaginary part of exp(iφ_n) Σ w exp(-iφ_j), over √τ."""
        sums = torch.cat([cos * sum_cos + sin * sum_sin, sin * sum_cos - cos * sum_sin], -1)
        return sums * torch.cat([tau, tau], -1).rsqrt()

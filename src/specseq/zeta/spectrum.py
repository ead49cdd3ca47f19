"""Spectral features of past positions: what the zeros so far say of each line of the spectrum.

The unfolded zeros x_j of height T fluctuate with the lines τ = ln p^k / ln(T/2π) of the explicit formula. At
the zero x_n the feature F_n(τ) = Σ_{j ≤ n} w(n-j) exp(2πi τ (x_n - x_j)) holds amplitude and phase of a
line as the last W zeros show it, seen from x_n; nothing later enters. The features reach the model as input
to its tokens.

Shapes: B batch, L sequence, Z = L + 1 zeros, M lines, W taper length.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def prime_powers(limit: int) -> list[int]:
    """Prime powers up to a limit, ascending."""
    sieve = np.ones(limit + 1, dtype=bool)
    sieve[:2] = False
    for n in range(2, math.isqrt(limit) + 1):
        if sieve[n]:
            sieve[n * n :: n] = False
    found = []
    for p in np.nonzero(sieve)[0].tolist():
        power = p
        while power <= limit:
            found.append(power)
            power *= p
    return sorted(found)


class Spectrum(nn.Module):
    """Tapered spectral sums at the arithmetic lines and on a uniform grid above them.

    Attributes:
        windows: taper lengths W; the taper is a quarter cosine that falls from 1 at the newest zero.
        lines: prime powers up to this number give lines that move with the height.
        grid: number of further frequencies, uniform up to ``highest``.
    """

    log_lines: Tensor
    uniform: Tensor
    tapers: Tensor

    def __init__(self, windows: Sequence[int], lines: int, grid: int, highest: float, length: int) -> None:
        """
        Args:
            windows, lines, grid: as above.
            highest: largest τ of the grid; 1 is the mean density of zeros.
            length: longest sequence.
        """
        super().__init__()
        self.windows = tuple(windows)
        powers = prime_powers(lines) if lines >= 2 else []
        self.register_buffer("log_lines", torch.tensor(np.log(powers), dtype=torch.float32), persistent=False)
        uniform = highest * (torch.arange(grid, dtype=torch.float32) + 1) / max(grid, 1)
        self.register_buffer("uniform", uniform, persistent=False)
        self.size = 2 * (len(powers) + grid) * len(self.windows)
        lag = torch.arange(length + 1, dtype=torch.float32)
        tapers = [torch.cos(0.5 * math.pi * lag / w) * (lag < w) / math.sqrt(w / 2) for w in self.windows]
        self.register_buffer("tapers", torch.stack(tapers), persistent=False)

    def frequencies(self, height_B: Tensor) -> Tensor:
        """(B, M) lines τ at heights T."""
        lines = self.log_lines / torch.log(height_B / (2 * math.pi))[:, None].to(self.log_lines.dtype)
        return torch.cat([lines, self.uniform.expand(len(height_B), -1)], 1)

    def phases(self, x: Tensor, tau_BM: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (B, Z, M) of 2πτx at positions x (B, Z), whole turns taken off."""
        turns = x[..., None] * tau_BM[:, None, :].to(x.dtype)
        angle = (2 * math.pi * (turns - turns.round())).to(tau_BM.dtype)
        return angle.cos(), angle.sin()

    def forward(self, x_BZ: Tensor, height_B: Tensor) -> Tensor:
        """(B, L, size) features at each zero after the first.

        Args:
            x_BZ: unfolded positions of zeros.
            height_B: heights T.
        """
        zeros = x_BZ.shape[1]
        cos, sin = self.phases(x_BZ, self.frequencies(height_B))
        lag = torch.arange(1, zeros, device=x_BZ.device)[:, None] - torch.arange(zeros, device=x_BZ.device)
        parts = []
        for taper in self.tapers:
            weights_LZ = torch.where(lag >= 0, taper[lag.clamp(min=0)], 0.0)
            parts += self._turned(cos[:, 1:], sin[:, 1:], weights_LZ @ cos, weights_LZ @ sin)
        return torch.cat(parts, -1)

    def last(self, cos_BZM: Tensor, sin_BZM: Tensor) -> Tensor:
        """(B, size) features at the newest of the zeros whose phases are given."""
        newest = cos_BZM.shape[1]
        parts = []
        for taper in self.tapers:
            weights = taper[:newest].flip(0)
            sums = (torch.matmul(weights, phase) for phase in (cos_BZM, sin_BZM))
            parts += self._turned(cos_BZM[:, -1], sin_BZM[:, -1], *sums)
        return torch.cat(parts, -1)

    @staticmethod
    def _turned(cos: Tensor, sin: Tensor, sum_cos: Tensor, sum_sin: Tensor) -> list[Tensor]:
        """Real and imaginary part of exp(iφ_n) Σ w exp(-iφ_j)."""
        return [cos * sum_cos + sin * sum_sin, sin * sum_cos - cos * sum_sin]

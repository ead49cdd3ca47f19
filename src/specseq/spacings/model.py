"""The spacing models: one causal transformer with a mixture head, its design choices fields of its config.

Shapes: B batch, M memory slots, L sequence, P = M + L, D width, K components, Z = L + 1 zeros.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.settings import read
from specseq.spacings.attention import Block, LayerCache, attention_mask, initialise, rotary_phases
from specseq.spacings.config import SpacingModelConfig
from specseq.spacings.gate import Gate, Opening
from specseq.spacings.mixture import Mixture
from specseq.spacings.spectrum import Spectrum


def _unrounded(like: Tensor) -> torch.autocast:
    """Disable autocast: in bfloat16 a spacing would be off by .004 and a predicted mean by .016."""
    return torch.autocast(like.device.type, enabled=False)


class Cache:
    """State of a causal model that lets it process the next spacing in one step."""

    def __init__(self, layers: list[LayerCache]) -> None:
        self.layers = layers
        self.length = 0
        self.position = self.recent = self.compared = self.cos = self.sin = torch.empty(0)


class SpacingModel(nn.Module):
    """Predicts each next spacing from those before it as a normal mixture.

    ``forward(s_BL, height_B)`` gives a mixture of batch shape (B, L), whose entry l predicts s_{l+1} from
    s_0..s_l. With memory under ``attention_mask: published`` it sees the whole window instead.
    """

    def __init__(self, config: SpacingModelConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = nn.Linear(1, c.width)
        self.memory = nn.Parameter(torch.empty(c.slots, c.width)) if c.slots else None
        tokens = c.slots + c.length
        self.position = nn.Parameter(torch.empty(tokens, c.width)) if c.positions == "learned" else None
        self.spectrum = Spectrum(c.windows, c.lines, c.highest, c.length) if c.windows else None
        self.lift = nn.Linear(self.spectrum.size, c.width, bias=False) if self.spectrum else None
        self.taps = nn.Linear(c.taps, c.width, bias=False) if c.taps else None
        self.drop = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(Block(c.width, c.heads, c.dropout) for _ in range(c.blocks))
        self.norm = nn.LayerNorm(c.width)
        widths = [c.width, *c.hidden]
        self.deepen = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(widths[-1], 3 * c.components)
        self.register_buffer("mask", attention_mask(c.slots, c.length, c.attention_mask), persistent=False)
        self.gate = Gate(c.gate) if c.gate else None
        phases = rotary_phases(c.width // c.heads, c.length) if c.positions == "rotary" else torch.empty(0)
        self.register_buffer("rotary", phases, persistent=False)
        initialise(self, c.width, c.blocks)
        if c.spread_means:
            start = torch.linspace(-1.0, 1.0, c.components) + (0.0 if c.residuals else 1.0)
            with torch.no_grad():
                self.head.bias[c.components : 2 * c.components] = start

    mask: Tensor
    rotary: Tensor

    def forward(
        self, s_BL: Tensor, height_B: Tensor | None = None, keep_slots: Tensor | None = None
    ) -> Mixture:
        """
        Args:
            s_BL: spacings, at most ``length`` of them.
            height_B: heights; only the spectral features need them.
            keep_slots: (M,) boolean, False for memory slots to be zeroed (ablation).
        """
        x_BPD = self._passed(s_BL, height_B, keep_slots, [None] * len(self.blocks))
        return self._mixture(x_BPD[:, self.config.slots :])

    def _passed(
        self,
        s_BL: Tensor,
        height_B: Tensor | None,
        keep_slots: Tensor | None,
        layers: Sequence[LayerCache | None],
    ) -> Tensor:
        """The tokens of memory and window after all blocks, ``[B, P, D]``; fills the blocks' caches."""
        x_BPD = self._tokens(s_BL, self._features(s_BL, height_B), self._memory(len(s_BL), keep_slots))
        tokens, opening = x_BPD.shape[1], self._opening(s_BL)
        mask, phases = self.mask[:tokens, :tokens], self._phases(0, s_BL.shape[1])
        for block, layer in zip(self.blocks, layers, strict=True):
            x_BPD = block(x_BPD, mask, phases, self.config.slots, cache=layer, opening=opening)
        return x_BPD

    def _opening(self, s_BL: Tensor) -> Opening | None:
        """Opening of memory for each token of a window; always full for memory's own rows."""
        if self.gate is None:
            return None
        slots = self.config.slots
        return Opening(slots, torch.cat([s_BL.new_ones(len(s_BL), slots), self.gate(s_BL)], 1))

    def _shift(self, s: Tensor) -> Tensor:
        return s - 1 if self.config.residuals else s

    def _phases(self, start: int, stop: int) -> Tensor | None:
        return self.rotary[start:stop] if self.config.positions == "rotary" else None

    def _features(self, s_BL: Tensor, height_B: Tensor | None) -> Tensor | None:
        """(B, L, D) contribution of spectrum and taps to each token; None without either."""
        added: Tensor | None = None
        if self.spectrum is not None and self.lift is not None:
            if height_B is None:
                raise ValueError("a model with spectral features needs the heights")
            with _unrounded(s_BL):
                features = self.spectrum(F.pad(s_BL.to(self.embed.weight.dtype).cumsum(1), (1, 0)), height_B)
                added = self.lift(features)
        if self.taps is not None:
            padded = F.pad(s_BL - 1, (self.config.taps - 1, 0))
            with _unrounded(s_BL):
                taps = self.taps(padded.unfold(1, self.config.taps, 1))
            added = taps if added is None else added + taps
        return added

    def _memory(self, batch: int, keep_slots: Tensor | None) -> Tensor | None:
        if self.memory is None:
            return None
        memory_BMD = self.memory.expand(batch, -1, -1)
        if self.training and self.config.slot_dropout > 0:
            drawn = torch.rand(batch, self.config.slots, 1, device=memory_BMD.device)
            memory_BMD = memory_BMD * (drawn >= self.config.slot_dropout)
        if keep_slots is not None:
            memory_BMD = memory_BMD * keep_slots[:, None]
        return memory_BMD

    def _tokens(self, s: Tensor, features: Tensor | None, memory: Tensor | None, start: int = 0) -> Tensor:
        """Embedded tokens, memory first; ``start`` is the position of the first spacing in the window."""
        with _unrounded(s):
            x = self.embed(self._shift(s)[..., None])
        if features is not None:
            x = x + features
        slots = self.config.slots
        if memory is not None:
            x = torch.cat([memory, x], 1)
        if self.position is not None:
            first = 0 if memory is not None else slots + start
            x = x + self.position[first : first + x.shape[1]]
        return self.drop(x)

    def _mixture(self, x: Tensor) -> Mixture:
        with _unrounded(x):
            x = self.norm(x)
            for layer in self.deepen:
                x = self.drop(F.gelu(layer(x)))
            logits, mean, raw = self.head(x).chunk(3, -1)
        c = self.config
        scale = c.scale_min + (c.scale_max - c.scale_min) * torch.sigmoid(raw)
        return Mixture(F.log_softmax(logits, -1), mean + 1 if c.residuals else mean, scale)

    def start(self, s_BL: Tensor, height_B: Tensor | None = None) -> tuple[Mixture, Cache]:
        """Read a context; return the mixture of the next spacing (shape B) and a cache to continue from.

        Raises:
            ValueError: the mask lets memory see the future, so a new spacing would change everything cached.
        """
        if not self.config.causal:
            raise ValueError("under the published mask memory changes with every spacing: no cache is valid")
        c, (B, L) = self.config, s_BL.shape
        sizes = B, c.heads, c.slots + c.length, c.width // c.heads
        cache = Cache([LayerCache(*sizes, self.embed.weight) for _ in self.blocks])
        x_BPD = self._passed(s_BL, height_B, None, cache.layers)
        cache.length = L
        if c.gate:
            cache.compared = s_BL[:, -c.gate.spacings :]
        if c.taps:
            cache.recent = F.pad(s_BL - 1, (c.taps, 0))[:, -c.taps :]
        if self.spectrum is not None and height_B is not None:
            x_BZ = F.pad(s_BL.to(self.embed.weight.dtype).cumsum(1), (1, 0))
            cos, sin = self.spectrum.phases(x_BZ, self.spectrum.frequencies(height_B))
            room = (0, 0, 0, c.length - L)
            cache.cos, cache.sin, cache.position = F.pad(cos, room), F.pad(sin, room), x_BZ[:, -1]
        return self._mixture(x_BPD[:, -1]), cache

    def step(self, s_B: Tensor, cache: Cache, height_B: Tensor | None = None) -> Mixture:
        """Take one more spacing and predict the one after it; updates the cache."""
        L = cache.length
        if self.config.length <= L:
            raise ValueError(f"the window of {self.config.length} spacings is full")
        features: Tensor | None = None
        if self.spectrum is not None and self.lift is not None and height_B is not None:
            cache.position = cache.position + s_B.float()
            tau_BM = self.spectrum.frequencies(height_B)
            cos, sin = self.spectrum.phases(cache.position[:, None], tau_BM)
            cache.cos[:, L + 1], cache.sin[:, L + 1] = cos[:, 0], sin[:, 0]
            last = self.spectrum.last(tau_BM, cache.cos[:, : L + 2], cache.sin[:, : L + 2])
            features = self.lift(last)[:, None]
        if self.taps is not None:
            cache.recent = torch.cat([cache.recent[:, 1:], s_B[:, None] - 1], 1)
            taps = self.taps(cache.recent)[:, None]
            features = taps if features is None else features + taps
        opening: Opening | None = None
        if self.gate is not None:
            known = torch.cat([cache.compared, s_B[:, None]], 1)
            cache.compared = known[:, -self.gate.config.spacings :]
            opening = Opening(self.config.slots, self.gate(cache.compared)[:, -1:])
        x_B1D = self._tokens(s_B[:, None], features, None, L)
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            x_B1D = block(x_B1D, None, self._phases(L, L + 1), 0, layer, opening)
        cache.length = L + 1
        return self._mixture(x_B1D[:, 0])


def rebuild(params: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SpacingModel:
    """The trained model in a weights file, in evaluation mode."""
    model = SpacingModel(read(SpacingModelConfig, params["model"], "model"))
    model.load_state_dict(dict(tensors))
    return model.eval()


def memory_similarity(memory_MD: Tensor) -> Tensor:
    """mean((G - I)²) over the cosine Gram matrix G of the memory slots: zero when they are orthogonal."""
    unit = F.normalize(memory_MD, dim=-1)
    gram = unit @ unit.T
    return ((gram - torch.eye(len(gram), device=gram.device)) ** 2).mean()


def cap_norms(memory_MD: Tensor, largest: float) -> None:
    """Scale rows whose norm exceeds ``largest`` back to it, in place."""
    with torch.no_grad():
        norms = memory_MD.norm(dim=-1, keepdim=True)
        memory_MD.mul_((largest / norms.clamp(min=1e-12)).clamp(max=1.0))

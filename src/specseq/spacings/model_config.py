"""Factors of a spacing model; SpacingMDN, MemoryMDN, Flash and the arithmetic model are points among them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from specseq.errors import InputError
from specseq.spacings.spectrum import grid_of


@dataclass(frozen=True)
class ModelConfig:
    """Factors of a spacing model.

    Attributes:
        length: spacings a window; the model never sees more at once.
        width, blocks, heads, dropout: of the transformer.
        components: normal components of the mixture.
        scale_min, scale_max: the components' standard deviations lie between them.
        residuals: the model works on s - 1 instead of s.
        positions: ``learned`` for every token, or ``rotary`` for sequence tokens only.
        slots: learnable memory tokens at the head of the sequence; 0 for none.
        slot_norm: their norms are capped here after each step; slot_dropout: chance that one is zeroed.
        attention_mask: ``causal``, or ``published``, where memory sees the future.
        spread_means: start the components' means apart; without it all start at one point.
        windows, lines, highest: of the spectral features (see Spectrum); no windows, no features.
        taps: past spacings that enter each token linearly beside its own.
        hidden: widths of further hidden layers before the head.
    """

    length: int = 256
    width: int = 256
    blocks: int = 6
    heads: int = 8
    dropout: float = 0.1
    components: int = 8
    scale_min: float = 1e-4
    scale_max: float = 5.0
    residuals: bool = False
    positions: str = "learned"
    slots: int = 0
    slot_norm: float = 2.0
    slot_dropout: float = 0.1
    attention_mask: str = "causal"
    spread_means: bool = True
    windows: tuple[int, ...] = ()
    lines: int = 0
    highest: tuple[float, ...] = ()
    taps: int = 0
    hidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("windows", "highest", "hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        wrong = {
            "length": self.length < 2,
            "width": self.width % max(self.heads, 1) != 0 or (self.width // max(self.heads, 1)) % 2 != 0,
            "positions": self.positions not in ("learned", "rotary"),
            "attention_mask": self.attention_mask not in ("causal", "published"),
            "components": self.components < 1,
            "scale_max": not 0 < self.scale_min < self.scale_max,
            "highest": len(self.highest) != len(self.windows),
            "windows": not all(grid_of(w, top) for w, top in zip(self.windows, self.highest, strict=False)),
        }
        for name, fault in wrong.items():
            if fault:
                raise InputError(f"model.{name}", f"{getattr(self, name)} can't be", "see ModelConfig")

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "ModelConfig":
        """The config in a run's ``params["model"]``; a ``name`` there starts from a published model."""
        given = dict(params)
        name = given.pop("name", None)
        if name is not None and name not in PUBLISHED:
            raise InputError("model.name", f"{name} is unknown", f"known are {', '.join(PUBLISHED)}")
        known = {field.name for field in fields(cls)}
        if unknown := set(given) - known:
            raise InputError(
                "model", f"unknown keys {sorted(unknown)}", f"known are {', '.join(sorted(known))}"
            )
        return cls(**{**(asdict(PUBLISHED[name]) if name else {}), **given})


PUBLISHED: dict[str, ModelConfig] = {
    "spacing_mdn": ModelConfig(),
    "memory_mdn": ModelConfig(slots=8, attention_mask="published"),
    "flash": ModelConfig(
        slots=8, attention_mask="published", residuals=True, positions="rotary", scale_max=10.0, length=512
    ),
}

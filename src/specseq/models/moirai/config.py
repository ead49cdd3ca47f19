"""Settings of MOIRAI and its hybrids with spectral transform units."""

from itertools import pairwise
from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.models.config import Drawing, FeedForward, Heads, head_count, swiglu_width
from specseq.settings import STRICT, Field, dataclass

Mixing = Literal["attention", "stu", "parallel"]


@dataclass(frozen=True, config=STRICT)
class StuConfig:
    """Which layers mix tokens by spectral transform units, and the form of the units."""

    pattern: Literal["attention", "alternating", "first_half", "last_half", "stu_only", "parallel"] = Field(
        default="attention",
        description="layers with units: none (attention), 0, 2, 4 ... (alternating), a half, all (stu_only), "
        "or all alongside attention, weighted by a learned gate (parallel)",
    )
    mode: Literal["shared", "signed", "full"] = Field(
        default="signed",
        description="plus and minus branch share one combination of filters, have one each, or are not "
        "factorised",
    )
    filters: int = Field(default=24, ge=1, description="spectral filters K; 24 as published")
    inner: int | None = Field(
        default=None,
        ge=1,
        description="channels convolved between an input and an output projection; null: d_model channels "
        "without an output projection",
    )
    d_ff: Annotated[int, Field(ge=1)] | Literal["matched"] | None = Field(
        default=None,
        description="feed-forward width of layers with units; matched: as many parameters per layer as with "
        "attention; null: that of the model",
    )
    runs: Literal["sample", "variate"] = Field(
        default="sample",
        description="boundaries that convolution does not cross; in a sample, variates follow one another",
    )
    published: bool = Field(
        default=False, description="use the published circular transform; not causal, for reproduction only"
    )

    def __post_init__(self) -> None:
        if self.mode == "full" and self.inner:
            raise InputError("inner", "excludes mode full", "set mode to shared or signed")
        if self.pattern == "attention":
            for name, default in (("inner", None), ("d_ff", None), ("runs", "sample"), ("published", False)):
                if getattr(self, name) != default:
                    raise InputError(name, "has no effect with pattern attention", "choose another pattern")

    def mixing(self, layer: int, layers: int) -> Mixing:
        """The kind of mixer in ``layer`` of ``layers``, counted from 0."""
        if self.pattern == "parallel":
            return "parallel"
        spectral = {
            "attention": False,
            "alternating": layer % 2 == 0,
            "first_half": layer < layers // 2,
            "last_half": layer >= layers - layers // 2,
            "stu_only": True,
        }
        return "stu" if spectral[self.pattern] else "attention"


@dataclass(frozen=True, config=STRICT)
class MoiraiConfig:
    """Sizes of MOIRAI, by default the published small model's."""

    kind: Literal["moirai"] = "moirai"
    d_model: int = Field(default=384, ge=4, description="model width D")
    layers: int = Field(default=6, ge=1, description="encoder layers")
    heads: Heads = None
    d_ff: FeedForward = None
    patch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(8, 16, 32, 64, 128), min_length=1, description="admissible patch sizes, increasing"
    )
    max_length: int = Field(default=512, ge=2, description="tokens per row, and the longest segment")
    parity: bool = Field(
        default=False,
        description="the published layout of the heads, in which most outputs do not depend on the input; "
        "needed for upstream weights",
    )
    stu: StuConfig = Field(default=StuConfig(), description="spectral transform units")

    def __post_init__(self) -> None:
        head_count(self.d_model, self.heads)
        if any(a >= b for a, b in pairwise(self.patch_sizes)):
            raise InputError("patch_sizes", f"{list(self.patch_sizes)}", "list the sizes in increasing order")
        if self.stu.pattern != "attention" and self.stu.filters > self.max_length:
            raise InputError(
                "stu.filters", f"{self.stu.filters} exceeds max_length {self.max_length}", "take fewer"
            )
        if any(self.feed_forward_of(layer) < 1 for layer in range(self.layers)):
            raise InputError(
                "stu.d_ff", "matched leaves no width for the feed-forward layers", "use another mode"
            )

    @property
    def head_count(self) -> int:
        """Attention heads H."""
        return head_count(self.d_model, self.heads)

    @property
    def feed_forward(self) -> int:
        """Feed-forward width of layers with attention."""
        return self.d_ff or swiglu_width(self.d_model)

    @property
    def mixing_parameters(self) -> dict[Mixing, int]:
        """Parameters of one layer's mixer, by its kind."""
        d, heads, stu = self.d_model, self.head_count, self.stu
        attention = 4 * d * d + 2 * (d // heads) + 2 * heads
        inner = stu.inner or d
        if stu.mode == "full":
            unit = 2 * stu.filters * d * d
        else:
            unit = d * inner + stu.filters * inner * (1 if stu.mode == "shared" else 2)
            unit += inner * d if stu.inner else 0
        return {"attention": attention, "stu": unit, "parallel": attention + unit + d}

    def feed_forward_of(self, layer: int) -> int:
        """Feed-forward width of ``layer``, counted from 0."""
        mixing = self.stu.mixing(layer, self.layers)
        if mixing == "attention" or self.stu.d_ff is None:
            return self.feed_forward
        if self.stu.d_ff == "matched":
            counts = self.mixing_parameters
            return self.feed_forward + round((counts["attention"] - counts[mixing]) / (3 * self.d_model))
        return self.stu.d_ff


@dataclass(frozen=True, config=STRICT)
class MoiraiData(Drawing):
    """How training samples are drawn; see :class:`~specseq.series.moirai.MoiraiCrops`."""

    max_variates: int = Field(default=128, ge=1, description="largest number of variates in a sample")
    min_patches: int = Field(default=2, ge=1, description="smallest number of patches in a variate")
    mask_ratio: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = Field(
        default=(0.15, 0.5), description="bounds of the share of patches to predict"
    )
    past_features: bool = Field(
        default=False,
        description="series with past_feat_dynamic_real get some of it as further variates, up to the part "
        "to predict, as published; false: targets only",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_ratio[0] > self.mask_ratio[1]:
            raise InputError("mask_ratio", f"{list(self.mask_ratio)} is not increasing", "swap the bounds")

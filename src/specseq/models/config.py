"""Settings shared by models: widths, drawing of training windows, measurement."""

from collections.abc import Mapping
from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass

Heads = Annotated[int | None, Field(ge=0, description="attention heads; null or 0: one per 64 dimensions")]
FeedForward = Annotated[
    int | None,
    Field(ge=0, description="feed-forward width; null or 0: 8/3 of d_model, rounded up to a multiple of 8"),
]


@dataclass(frozen=True, config=STRICT)
class Drawing:
    """How training windows are drawn from a corpus, for any model."""

    pool: int = Field(default=256, ge=1, description="windows packed into rows together")
    sampling: Literal["unweighted", "weighted", "custom"] = Field(
        default="unweighted",
        description="unweighted: all series equally; weighted: sub-datasets by their clipped share of "
        "points; custom: by `weights`",
    )
    weights: Mapping[str, Annotated[float, Field(ge=0)]] | None = Field(
        default=None, description="weight of each sub-dataset, with sampling custom"
    )

    def __post_init__(self) -> None:
        if (self.sampling == "custom") != (self.weights is not None):
            fault = "missing" if self.weights is None else f"unused with sampling {self.sampling}"
            raise InputError("weights", fault, "give weights with sampling: custom, and only then")
        if self.weights is not None and not any(self.weights.values()):
            raise InputError("weights", "no weight is positive", "weigh a sub-dataset that is there")


@dataclass(frozen=True, config=STRICT)
class Measurement:
    """How trained models are measured side by side, on fixed batches shared by all of them."""

    rows: int = Field(default=4, ge=1, description="rows per batch")
    batches: int = Field(default=8, ge=1, description="batches over which the loss is averaged")
    repeats: int = Field(default=5, ge=1, description="timed rounds; their median is reported")


def swiglu_width(dim: int) -> int:
    """Feed-forward width with the parameter count of a plain ``4 D`` layer, rounded up to a multiple of 8."""
    return -(-(4 * dim * 2 // 3) // 8) * 8


def head_count(d_model: int, heads: int | None) -> int:
    """Attention heads, by default one per 64 dimensions and at least one.

    Raises:
        InputError: the heads do not divide the width, or half a head does not hold whole rotated pairs.
    """
    count = heads or max(1, d_model // 64)
    where = "heads" if heads else "d_model"
    if d_model % count:
        raise InputError(where, f"{count} heads do not divide the width {d_model}", "change one of them")
    if d_model // count % 4:
        fault = f"{count} heads of width {d_model // count}"
        raise InputError(where, fault, "make the head width a multiple of 4")
    return count

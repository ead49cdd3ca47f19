"""Settings of Moirai2 and of its preconditioned training."""

from dataclasses import asdict
from itertools import pairwise
from typing import Annotated, Any, Literal

from specseq.errors import InputError
from specseq.filters.config import NamedFilter
from specseq.models.config import Drawing, FeedForward, Heads, head_count, swiglu_width
from specseq.settings import STRICT, Field, dataclass


@dataclass(frozen=True, config=STRICT)
class Moirai2Config:
    """Sizes of Moirai2, by default the published small model's."""

    kind: Literal["moirai2"] = "moirai2"
    d_model: int = Field(default=384, ge=4, description="model width D")
    layers: int = Field(default=6, ge=1, description="decoder layers")
    heads: Heads = None
    d_ff: FeedForward = None
    patch: int = Field(default=16, ge=1, description="points per token P")
    tokens: int = Field(default=512, ge=2, description="longest training window in tokens")
    predicted: int = Field(default=4, ge=1, description="future tokens F that each token predicts")
    quantile_levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        description="predicted levels, increasing, including 0.5",
    )
    masked: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="share of patches whose values are hidden from the input in training",
    )

    def __post_init__(self) -> None:
        levels = self.quantile_levels
        if any(a >= b for a, b in pairwise(levels)) or 0.5 not in levels:
            raise InputError("quantile_levels", f"{list(levels)}", "list them increasing, 0.5 among them")
        head_count(self.d_model, self.heads)

    @property
    def head_count(self) -> int:
        """Attention heads H."""
        return head_count(self.d_model, self.heads)

    @property
    def head_width(self) -> int:
        """Dimensions per head E."""
        return self.d_model // self.head_count

    @property
    def feed_forward(self) -> int:
        """Feed-forward width."""
        return self.d_ff or swiglu_width(self.d_model)

    @property
    def median(self) -> int:
        """Index of level 0.5."""
        return self.quantile_levels.index(0.5)


@dataclass(frozen=True, config=STRICT)
class FiniteInverse:
    """A finite inverse r̂_t = Σ_j g_j z_{t - j·stride}, trained to match r = z - y."""

    weight: float = Field(default=0.1, ge=0, description="weight of its mean squared error in the loss")
    length: int = Field(default=64, ge=1, description="number of taps g")
    stride: int = Field(default=1, ge=1, description="time steps between taps")


@dataclass(frozen=True, config=STRICT)
class ReversalLoss:
    """Weights of the quantile losses before and after the recursive reversal of the median."""

    filtered: float = Field(default=0.0, ge=0, description="weight of the loss on the filtered series")
    reversed: float = Field(
        default=1.0, ge=0, description="weight of the raw series' loss, with gradients through the recursion"
    )

    def __post_init__(self) -> None:
        if not self.filtered and not self.reversed:
            raise InputError("reversed", "0 with filtered 0 leaves no loss", "make one of them positive")


@dataclass(frozen=True, config=STRICT)
class Hint:
    """Filter outputs minus the series, as further inputs; the raw series stays the target."""

    filters: tuple[NamedFilter, ...] = Field(
        default=(),
        description="one hint per filter, several for several scales; by default the run's filter",
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of patches whose hints are hidden in training"
    )
    control: Literal["none", "zero", "duplicate", "noise"] = Field(
        default="none",
        description="what replaces the hints as a control: nothing (none), zeros, the series itself, or "
        "noise of the size of the context's hints",
    )


@dataclass(frozen=True, config=STRICT)
class Preconditioning:
    """How training uses the run's filter; without filter and mode, the baseline."""

    learnable: bool = Field(default=False, description="the taps are parameters, without weight decay")
    l2: float = Field(
        default=0.0, ge=0, description="weight of the sum of squared taps in the loss, with learnable"
    )
    missing: Literal["skip", "zero"] = Field(
        default="skip", description="what a missing tap means: the filter does not apply, or the tap is 0"
    )
    fir: FiniteInverse | None = Field(
        default=None,
        description="regulariser by a finite inverse; a weight of 0.5 is the published dual loss",
    )
    reversal_loss: ReversalLoss | None = Field(
        default=None, description="quantile loss after recursive reversal; excludes fir and dual_head"
    )
    dual_head: bool = Field(
        default=False, description="a second head, for the raw series, which forecasts; the losses are summed"
    )
    hint: Hint | None = Field(
        default=None, description="use the filter's contribution as an input instead of filtering"
    )

    def __post_init__(self) -> None:
        if self.reversal_loss and (self.fir or self.dual_head):
            other = "fir" if self.fir else "dual_head"
            raise InputError(other, "excludes reversal_loss", "choose one")
        if self.l2 and not self.learnable:
            raise InputError("l2", "weighs taps that are not learned", "set learnable: true")

    def check_filter(self, filter: object | None) -> None:
        """Refuse modes that have no effect with the run's ``filter`` (None: no filter).

        Raises:
            InputError: names the field relative to the run.
        """
        modes = [name for name in ("learnable", "fir", "reversal_loss", "dual_head") if getattr(self, name)]
        if modes and (filter is None or self.hint):
            fault = "hints leave the series unfiltered" if self.hint else "there is no filter"
            raise InputError(
                f"preconditioning.{modes[0]}", fault, "give a filter and no hint, or leave this out"
            )
        if self.hint and not self.hint.filters and filter is None:
            fault = "no filter to take hints from"
            raise InputError("preconditioning.hint.filters", fault, "give filters here, or the run's filter")


@dataclass(frozen=True, config=STRICT)
class Moirai2Data(Drawing):
    """How training windows are drawn; see :class:`~specseq.series.moirai2.Moirai2Crops`."""

    min_tokens: int = Field(default=2, ge=1, description="smallest number of tokens in a window")
    anomaly_threshold: float | None = Field(
        default=8.0, gt=0, description="largest z-score of a window, in standard deviations; null: no limit"
    )
    anomaly_retries: int = Field(
        default=5,
        ge=0,
        description="redraws of a window beyond the limit before it is excluded from the loss",
    )
    validation: int = Field(
        default=0,
        ge=0,
        description="batches of windows, the same for all runs, on which evaluations during training compute "
        "the loss of the raw series; 0: none",
    )

    @property
    def crops(self) -> dict[str, Any]:
        """How windows are drawn, as arguments of :func:`~specseq.series.stream.moirai2_stream`."""
        return {key: value for key, value in asdict(self).items() if key != "validation"}

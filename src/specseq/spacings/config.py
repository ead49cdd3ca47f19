"""Settings of the spacing study: models, losses, data sets, evaluations. Nothing here imports torch."""

import math
from itertools import pairwise
from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass, read

SpacingSetName = Literal["real", "shuffled", "gue", "poisson"]
AttentionMask = Literal["causal", "published"]
Feedback = Literal["mean", "component"]
Positive = Annotated[int, Field(ge=1)]

SPLITS = ("train", "selection", "test")
LOWEST_FREQUENCY = 1 / 32
"""Least τ of the frequency grids; up to heights of 10^10 the lowest line, from the prime 2, lies above it."""


def frequency_grid(window: int, highest: float) -> list[float]:
    """Frequencies k/window from :data:`LOWEST_FREQUENCY` to the highest."""
    first, last = math.ceil(LOWEST_FREQUENCY * window), math.floor(highest * window)
    return [k / window for k in range(first, last + 1)]


@dataclass(frozen=True, config=STRICT)
class MemoryGate:
    """A gate that closes memory where the last spacings are unlike the training windows."""

    spacings: int = Field(
        default=16,
        ge=2,
        description="number of last spacings compared; the gate is open where fewer are known",
    )
    reach: float = Field(
        default=2.0,
        gt=0,
        description="distance from the training centroid at which the gate is half open; the average over "
        "training windows is 1",
    )
    sharpness: float = Field(default=4.0, gt=0, description="how suddenly the gate closes beyond reach")


@dataclass(frozen=True, config=STRICT)
class SpacingModelConfig:
    """Design choices of a spacing model, among them the note's three models and the spectral one."""

    length: int = Field(default=256, ge=2, description="longest window in spacings")
    width: int = Field(default=256, ge=2, description="model width")
    blocks: int = Field(default=6, ge=0, description="transformer blocks")
    heads: int = Field(default=8, ge=1, description="attention heads; the width of each must be even")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout rate")
    components: int = Field(default=8, ge=1, description="normal components of the mixture")
    scale_min: float = Field(default=1e-4, ge=1e-6, description="least standard deviation of a component")
    scale_max: float = Field(default=5.0, gt=0, description="largest standard deviation of a component")
    residuals: bool = Field(default=False, description="the model works on s - 1 instead of s")
    positions: Literal["learned", "rotary"] = Field(
        default="learned", description="positions; learned: of every token; rotary: of sequence tokens only"
    )
    slots: int = Field(default=0, ge=0, description="learnable memory tokens at the head of the sequence")
    slot_norm: float = Field(default=2.0, gt=0, description="cap of the slots' norms after each step")
    slot_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="probability that a slot is zeroed in training"
    )
    attention_mask: AttentionMask = Field(
        default="causal", description="under the published mask memory sees the future"
    )
    gate: MemoryGate | None = Field(
        default=None,
        description="memory counts to the extent that the window resembles training windows; null: always",
    )
    spread_means: bool = Field(
        default=True, description="start the components' means spread out instead of at one point"
    )
    windows: tuple[Positive, ...] = Field(default=(), description="taper lengths W of the spectral features")
    lines: int = Field(
        default=0, ge=0, description="prime powers up to this give lines ln p^k / ln(T/2π) among the features"
    )
    highest: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(), description="largest frequency of the grid k/W of each taper"
    )
    taps: int = Field(default=0, ge=0, description="past spacings that enter each token linearly")
    hidden: tuple[Positive, ...] = Field(default=(), description="widths of hidden layers before the head")

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            fault = f"{self.heads} heads do not divide the width {self.width} into even parts"
            raise InputError("heads", fault, f"2·heads must divide {self.width}")
        if self.scale_min >= self.scale_max:
            fault = f"{self.scale_min} is not below scale_max {self.scale_max}"
            raise InputError("scale_min", fault, "lower it")
        if len(self.highest) != len(self.windows):
            fault = f"{len(self.highest)} values for {len(self.windows)} windows"
            raise InputError("highest", fault, "give one per window")
        for window, top in zip(self.windows, self.highest, strict=True):
            if not frequency_grid(window, top):
                fault = f"{window} has no frequency k/{window} up to {top}"
                raise InputError("windows", fault, "lengthen it")
        if self.lines and not self.windows:
            raise InputError("lines", "has no effect without windows", "give windows and highest, or 0 lines")
        if self.attention_mask == "published" and not self.slots:
            raise InputError("attention_mask", "published is causal without memory", "give slots")
        if self.gate and not self.slots:
            raise InputError("gate", "has no effect without memory", "give slots, or leave it out")
        if self.gate and self.gate.spacings > self.length:
            fault = f"{self.gate.spacings} are more than the window of {self.length}"
            raise InputError("gate.spacings", fault, "compare fewer")

    @property
    def causal(self) -> bool:
        """Whether no prediction can see what it predicts."""
        return self.attention_mask == "causal"


@dataclass(frozen=True, config=STRICT)
class SpacingLoss:
    """Terms of the training loss besides the negative log-likelihood."""

    entropy_weight: float = Field(
        default=0.0, ge=0, description="weight of the bonus for the entropy of the mixture weights"
    )
    diversity_weight: float = Field(
        default=0.0, ge=0, description="weight of the penalty on the similarity of memory slots"
    )
    memory_lr_scale: float = Field(
        default=1.0, ge=0, description="learning rate of the memory slots, relative"
    )
    rollout_horizon: int = Field(
        default=0,
        ge=0,
        description="steps of the model's own rollout from half a window, whose likelihood is added; 0: none",
    )
    rollout_feedback: Feedback = Field(
        default="component",
        description="what the model reads back of its own predictions: the mean, or a draw with gradients "
        "through the component drawn",
    )
    rollout_weight: float = Field(default=1.0, gt=0, description="weight of the rollouts' likelihood")

    def __post_init__(self) -> None:
        if self.rollout_horizon == 1:
            raise InputError("rollout_horizon", "one step feeds nothing back", "take 2 or more, or 0")
        for name, default in (("rollout_feedback", "component"), ("rollout_weight", 1.0)):
            if not self.rollout_horizon and getattr(self, name) != default:
                raise InputError(name, "has no effect without rollout_horizon", "give it, or leave this out")

    def check(self, model: SpacingModelConfig) -> None:
        """Refuse settings that do not fit a model: memory without slots, a rollout beyond the window.

        Raises:
            InputError: a setting would have no effect, or the rollout has nothing to be compared with.
        """
        following = model.length - model.length // 2
        if self.rollout_horizon > following:
            wanted, window = f"{self.rollout_horizon} steps", f"the window's {model.length} spacings"
            fault = f"{wanted}, and {following} of {window} follow its first half"
            raise InputError("loss.rollout_horizon", fault, "take fewer")
        if not model.slots and (self.diversity_weight or self.memory_lr_scale != 1):
            fault = "diversity_weight and memory_lr_scale have no effect without memory"
            raise InputError("loss", fault, "give model.slots, or leave them out")


@dataclass(frozen=True, config=STRICT)
class SpacingData:
    """Spacings that a run is trained and scored on."""

    set: SpacingSetName = Field(default="real", description="real, or a control")
    limit: int | None = Field(
        default=None, ge=1, description="number of training spacings to use, those nearest to the test band"
    )
    selection: int = Field(
        default=256, ge=1, description="windows of the selection band scored during training"
    )


@dataclass(frozen=True, config=STRICT)
class SpacingEvaluation:
    """Sizes of an evaluation on the test band."""

    windows: int = Field(
        default=1000, ge=1, description="non-overlapping test windows; fewer where the band is short"
    )
    contexts: tuple[Positive, ...] = Field(
        default=(10, 32, 64, 128, 255), min_length=1, description="contexts of single predictions, increasing"
    )
    rollout_contexts: tuple[Positive, ...] = Field(
        default=(10, 128), min_length=1, description="contexts that rollouts start from, increasing"
    )
    horizons: tuple[Positive, ...] = Field(
        default=(1, 10, 25, 50, 100, 200),
        min_length=1,
        description="steps of the accumulated error, increasing",
    )
    draws: int = Field(default=1000, ge=1, description="bootstrap resamples")
    kernel_windows: int = Field(default=200, ge=1, description="windows that the kernel is averaged over")

    def __post_init__(self) -> None:
        for name in ("contexts", "rollout_contexts", "horizons"):
            values = getattr(self, name)
            if any(a >= b for a, b in pairwise(values)):
                raise InputError(name, f"{list(values)} do not increase", "list them in increasing order")

    def check(self, model: SpacingModelConfig) -> None:
        """Refuse contexts that a model's window does not hold.

        Raises:
            InputError: a context is longer than the window.
        """
        for name in ("contexts", "rollout_contexts"):
            longest = getattr(self, name)[-1]
            if longest > model.length:
                fault = f"{longest} is longer than the model's window of {model.length} spacings"
                raise InputError(f"evaluation.{name}", fault, "shorten it, or raise model.length")


@dataclass(frozen=True, config=STRICT)
class SpacingReferences:
    """Reference predictors, not trained as runs, that every table contains."""

    orders: tuple[Positive, ...] = Field(
        default=(1, 3, 32, 64, 127, 255), min_length=1, description="orders p of the autoregressions AR(p)"
    )
    sets: tuple[SpacingSetName, ...] = Field(
        default=("real", "shuffled", "gue", "poisson"), min_length=1, description="sets they are scored on"
    )
    seed: int = Field(default=0, ge=0, description="seed of sampled rollouts and resampling")
    evaluation: SpacingEvaluation = Field(
        default_factory=lambda: read(SpacingEvaluation, {}, "evaluation"),
        description="sizes of the evaluation",
    )


@dataclass(frozen=True, config=STRICT)
class SpacingSplits:
    """Splits of the spacings of a table of zeros, and the size of the controls."""

    shares: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ] = Field(default=(0.9, 0.05, 0.05), description="shares of train, selection and test; sum at most one")
    gap: int = Field(default=4096, ge=1, description="spacings left out between two splits")
    controls: int = Field(
        default=1_000_000, ge=1, description="most spacings in a split of the GUE and Poisson sets"
    )
    matrix_size: int = Field(default=2000, ge=20, description="size of the GUE matrices")
    seed: int = Field(default=0, ge=0, description="seed of shuffling and controls")
    arrays: str | None = Field(
        default=None,
        min_length=1,
        description="folder of the study's own arrays, train and val as .npy or .pt, in place of zeros",
    )
    index: int = Field(default=1, ge=1, description="with arrays: index of the zero before the first spacing")

    def __post_init__(self) -> None:
        if self.index != 1 and self.arrays is None:
            raise InputError("index", "has no effect without arrays", "set zeros.index")
        if sum(self.shares) > 1 + 1e-9:
            raise InputError("shares", f"{list(self.shares)} sum to more than one", "lower them")

    def cut(self, count: int) -> dict[str, tuple[int, int]]:
        """Start and end position, end excluded, of each split among ``count`` spacings.

        Raises:
            InputError: a split gets fewer than 64 spacings.
        """
        free = count - 2 * self.gap
        cuts, start = {}, 0
        for split, share in zip(SPLITS, self.shares, strict=True):
            size = int(share * free)
            if size < 64:
                fault = f"{count} spacings leave {max(size, 0)} for {split}, fewer than 64"
                raise InputError("spacings", fault, "use more zeros or a smaller gap")
            cuts[split] = (start, start + size)
            start += size + self.gap
        return cuts

"""Settings of rollouts, which training does not read: changing them reruns only rollouts."""

from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass
from specseq.spacings.config import SpacingModelConfig

MemoryMode = Literal["kept", "zeroed", "faded"]
Fade = Annotated[float, Field(ge=0, le=1)] | Literal["linear"]


@dataclass(frozen=True, config=STRICT)
class RolloutSettings:
    """Treatment of memory in rollouts, and measurements along them."""

    memory: tuple[MemoryMode, ...] = Field(
        default=("kept",), min_length=1, description="treatments of memory slots; each is rolled out"
    )
    fade: Fade = Field(
        default="linear",
        description="faded memory: a factor per step, or `linear`: 1 - (h-1)/H at step h of H",
    )
    drift: bool = Field(
        default=False,
        description="measure along rollouts: distance from training windows, entropy, bias, attention on "
        "memory",
    )

    def __post_init__(self) -> None:
        if len(set(self.memory)) < len(self.memory):
            raise InputError("memory", f"{list(self.memory)} names one twice", "name each once")
        if "kept" not in self.memory:
            raise InputError("memory", "kept is missing, which the others are compared with", "add it")

    def check(self, model: SpacingModelConfig) -> None:
        """Refuse to zero or fade the memory of a model without any.

        Raises:
            InputError: it would change nothing.
        """
        others = [mode for mode in self.memory if mode != "kept"]
        if others and not model.slots:
            fault = f"{' and '.join(others)} have no effect without memory"
            raise InputError("rollout.memory", fault, "give model.slots, or leave kept alone")

    def strengths(self, mode: MemoryMode, horizon: int) -> tuple[float, ...]:
        """Factor of the memory slots at each step 1..horizon of a rollout."""
        steps = range(1, horizon + 1)
        if mode == "kept":
            return (1.0,) * horizon
        if mode == "zeroed":
            return (0.0,) * horizon
        if self.fade == "linear":
            return tuple(1 - (step - 1) / horizon for step in steps)
        return tuple(self.fade**step for step in steps)


MEMORY_KEPT = RolloutSettings()

"""Settings of the zeta study's runs."""

from typing import Literal

from specseq.settings import STRICT, Field, dataclass
from specseq.spacings.config import SpacingData, SpacingEvaluation, SpacingLoss, SpacingModelConfig
from specseq.spacings.rollout_config import RolloutSettings
from specseq.training.settings import Initial, TrainingSettings


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ZetaRun:
    """A run: a model of spacings, trained and scored on one set."""

    study: Literal["zeta"] = "zeta"
    seed: int = Field(ge=0, description="decides every random draw of the run")
    data: SpacingData = SpacingData()
    model: SpacingModelConfig
    loss: SpacingLoss = SpacingLoss()
    training: TrainingSettings
    initial: Initial | None = Field(default=None, description="weights to begin from; null: random ones")
    evaluation: SpacingEvaluation = SpacingEvaluation()
    rollout: RolloutSettings = RolloutSettings()

    def __post_init__(self) -> None:
        self.evaluation.check(self.model)
        self.rollout.check(self.model)
        self.loss.check(self.model)

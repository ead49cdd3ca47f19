"""Settings of the STU study's runs."""

from specseq.errors import InputError
from specseq.models.config import Measurement
from specseq.models.moirai.config import MoiraiConfig, MoiraiData
from specseq.scoring.config import EvaluationSettings
from specseq.settings import STRICT, Field, dataclass
from specseq.studies.forecasting import ForecastingRun
from specseq.training.settings import Initial, TrainingSettings


@dataclass(frozen=True, config=STRICT, kw_only=True)
class StuRun(ForecastingRun):
    """A run: MOIRAI with a layout of its layers."""

    model: MoiraiConfig
    training: TrainingSettings
    initial: Initial | None = Field(default=None, description="weights to begin from; null: random ones")
    data: MoiraiData = MoiraiData()
    evaluation: EvaluationSettings = EvaluationSettings()
    measurement: Measurement = Measurement()

    def __post_init__(self) -> None:
        if self.evaluation.filters or self.evaluation.reversals:
            raise InputError("evaluation", "this study has no filters", "leave filters and reversals out")

"""Settings of the preconditioning study's runs."""

from specseq.errors import InputError
from specseq.filters.config import Matched, NamedFilter
from specseq.models.moirai2.config import Moirai2Config, Moirai2Data, Preconditioning
from specseq.scoring.config import EvaluationSettings, ForecasterSettings
from specseq.settings import STRICT, Field, dataclass
from specseq.studies.forecasting import ForecastingRun
from specseq.training.settings import Initial, TrainingSettings


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PreconditioningRun(ForecastingRun):
    """A run: a model that is trained, or a forecaster that is used as it is."""

    forecaster: ForecasterSettings | None = Field(
        default=None, description="forecaster that is used as it is"
    )
    model: Moirai2Config | None = Field(default=None, description="model that is trained")
    training: TrainingSettings | None = None
    filter: NamedFilter | None = Field(default=None, description="filter that the model is trained with")
    preconditioning: Preconditioning = Preconditioning()
    initial: Initial | None = Field(default=None, description="weights to begin from; null: random ones")
    data: Moirai2Data = Moirai2Data()
    evaluation: EvaluationSettings = EvaluationSettings()

    def __post_init__(self) -> None:
        if self.forecaster is not None:
            defaults = {"preconditioning": Preconditioning(), "data": Moirai2Data()}
            for name in ("model", "training", "filter", "preconditioning", "initial", "data"):
                if getattr(self, name) != defaults.get(name):
                    raise InputError(
                        name, "goes with a model, not with a forecaster", "leave one of them out"
                    )
            if self.evaluation.context_length is not None:
                fault = "is for a model that is trained here"
                raise InputError("evaluation.context_length", fault, "give forecaster.context_length")
            return
        for name in ("model", "training"):
            if getattr(self, name) is None:
                raise InputError(name, "is missing", "give model and training, or a forecaster")
        if self.evaluation.filters:
            fault = "are put around a forecaster, and this run trains a model"
            raise InputError("evaluation.filters", fault, "give a forecaster, or the model's own filter")
        if isinstance(self.filter, Matched) and self.filter.autocovariance is None:
            fault = "a filter matched to residuals needs a forecaster that is there before training"
            raise InputError("filter.autocovariance", fault, "give it, or another family")
        self.preconditioning.check_filter(self.filter)

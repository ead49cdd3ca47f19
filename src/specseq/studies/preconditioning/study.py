"""Polynomial preconditioning: filters around forecasters, and forecasters trained with them."""

from specseq.errors import InputError
from specseq.filters.config import Matched, NamedFilter
from specseq.models.moirai2.config import Moirai2Config, Moirai2Data, Preconditioning
from specseq.scoring.config import EvaluationSettings, ForecasterSettings
from specseq.settings import STRICT, Field, dataclass
from specseq.studies.forecasting import ForecastingRun, forecasting_results, leakage
from specseq.studies.interface import Figure, Inputs, Results, Study, Table, files
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


def _scores(results: Results) -> Inputs:
    return {"runs": results.evaluations()}


def _metrics(results: Results) -> Inputs:
    return {"runs": results.of_runs("pretrain.parquet")}


def _theory(results: Results) -> Inputs:
    return {
        "runs": results.evaluations(),
        "filters": results.file("filters.parquet"),
        "matched": results.evaluations("_matched"),
        "residuals": results.evaluations("_residuals"),
    }


TABLES = {
    "preconditioning": Table(
        ".tables.scores:summary",
        lambda results: {**_scores(results), "leakage": leakage(results)},
        Results.baselines,
        optional=frozenset({"leakage"}),
    ),
    "preconditioning_taps": Table(".tables.note:taps", _metrics),
    "preconditioning_convergence": Table(".tables.convergence:convergence", _metrics),
    "preconditioning_steps": Table(".tables.scores:steps", _scores, Results.baselines),
    "preconditioning_theory": Table(".tables.laws:theory", _theory),
    "preconditioning_theory_steps": Table(".tables.laws:theory_steps", _theory),
    "preconditioning_best": Table(".tables.scores:best", _scores, Results.baselines),
    "preconditioning_ranks": Table(
        ".tables.laws:ranks", files(theory="tables/preconditioning_theory.parquet")
    ),
    "preconditioning_reversal": Table(
        ".tables.note:reversal",
        lambda results: {
            "summary": results.file("tables/preconditioning.parquet"),
            "filters": results.file("filters.parquet"),
            "matched": results.evaluations("_matched"),
        },
    ),
    "preconditioning_training": Table(
        ".tables.note:training",
        files(summary="tables/preconditioning.parquet", taps="tables/preconditioning_taps.parquet"),
    ),
    "preconditioning_norms": Table(
        ".tables.note:norms",
        files(filters="filters.parquet", taps="tables/preconditioning_taps.parquet"),
    ),
}

FIGURES = {
    "preconditioning_filters": Figure(".figures.filters:filters", files(filters="filters.parquet")),
    "preconditioning_training": Figure(".figures.runs:training", _metrics),
    "preconditioning_gap": Figure(
        ".figures.filters:gap",
        files(summary="tables/preconditioning.parquet", filters="filters.parquet"),
    ),
    "preconditioning_forest": Figure(".figures.runs:forest", files(summary="tables/preconditioning.parquet")),
    "preconditioning_theory": Figure(
        ".figures.filters:theory", files(theory="tables/preconditioning_theory.parquet")
    ),
    "preconditioning_steps": Figure(
        ".figures.filters:steps",
        files(steps="tables/preconditioning_steps.parquet", filters="filters.parquet"),
    ),
    "preconditioning_coefficients": Figure(
        ".figures.runs:coefficients",
        lambda results: {**_metrics(results), "filters": results.file("filters.parquet")},
    ),
}

STUDY = Study(
    name="preconditioning",
    build="specseq.models.moirai2.training:build",
    data={"store": "data/lotsa"},
    results=forecasting_results,
    run=PreconditioningRun,
    after_training=frozenset({"evaluation", "baseline"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)

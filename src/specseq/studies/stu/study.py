"""The STU hybrid: MOIRAI with spectral layers in place of attention."""

from specseq.errors import InputError
from specseq.models.config import Measurement
from specseq.models.moirai.config import MoiraiConfig, MoiraiData
from specseq.scoring.config import EvaluationSettings
from specseq.settings import STRICT, Field, dataclass
from specseq.studies.forecasting import ForecastingRun, forecasting_results, leakage, seasonal_naive_scores
from specseq.studies.interface import Figure, Results, Study, Table, files
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


TABLES = {
    "stu_long": Table(
        "specseq.report.tidy:make",
        lambda results: {
            "training": results.of_runs("pretrain.parquet"),
            "evaluation": results.evaluations(),
            "measurement": results.file("stu_measurements.parquet"),
        },
        optional=frozenset({"measurement"}),
    ),
    "stu": Table(
        ".tables:summary",
        lambda results: {
            **results.long(),
            "leakage": leakage(results),
            "naive": seasonal_naive_scores(results),
        },
        Results.baselines,
        optional=frozenset({"leakage"}),
    ),
    "stu_leakage": Table(".tables:leakage", lambda results: {"leakage": leakage(results)}),
    "stu_metrics": Table(
        ".tables:metrics",
        lambda results: {**results.long(), "naive": seasonal_naive_scores(results)},
        Results.baselines,
    ),
    "stu_models": Table(
        ".tables:models",
        lambda results: {**results.long(), "training": results.of_runs("pretrain.parquet")},
        Results.baselines,
    ),
    "stu_lags": Table(".lags:table", Results.long),
}

FIGURES = {
    "stu_training": Figure(".figures:training", Results.long),
    "stu_speed": Figure(
        ".figures:speed",
        lambda results: {**results.long(), "measurement": results.file("stu_measurements.parquet")},
    ),
    "stu_filters": Figure(".figures:filters", Results.long),
    "stu_lags": Figure(".lags:figure", Results.long),
    "stu_ratios": Figure(".figures:ratios", files(summary="tables/stu.parquet")),
}

STUDY = Study(
    name="stu",
    build="specseq.models.moirai.training:build",
    data={"store": "data/lotsa"},
    results=forecasting_results,
    run=StuRun,
    after_training=frozenset({"evaluation", "baseline", "measurement"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)

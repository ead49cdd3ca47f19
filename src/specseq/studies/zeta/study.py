"""Spacings of zeros of the zeta function as a series to be forecast."""

from typing import Literal

from specseq.settings import STRICT, Field, dataclass
from specseq.spacings.config import SpacingData, SpacingEvaluation, SpacingLoss, SpacingModelConfig
from specseq.spacings.rollout_config import RolloutSettings
from specseq.studies.interface import Figure, Results, Study, Table, files
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


TABLES = {
    "zeta": Table(".tables:summary", Results.long),
    "zeta_size": Table(".tables:size", Results.long),
    "zeta_memory": Table(".memory:memory", Results.long),
    "zeta_changes": Table(
        ".changes:changes", files(long="tables/zeta_long.parquet", zeta="tables/zeta.parquet")
    ),
    "zeta_long": Table(
        ".tables:long",
        lambda results: {
            "training": results.of_runs("pretrain.parquet"),
            "rollouts": results.of_runs("rollout.parquet"),
            "references": [results.file("zeta_references.parquet")],
        },
    ),
}

FIGURES = {
    "zeta_leak": Figure(".figures:leak", Results.long),
    "zeta_context": Figure(".figures:context", Results.long),
    "zeta_rollout": Figure(".figures:rollout", Results.long),
    "zeta_statistics": Figure(".figures:statistics", Results.long),
    "zeta_size": Figure(
        ".figures:size", files(long="tables/zeta_long.parquet", sizes="tables/zeta_size.parquet")
    ),
    "zeta_masks": Figure(".figures:masks", files()),
    "zeta_memory": Figure(".memory:figure", files(memory="tables/zeta_memory.parquet")),
    "zeta_changes": Figure(".changes:figure", files(changes="tables/zeta_changes.parquet")),
}

STUDY = Study(
    name="zeta",
    build=".training:build",
    data={"spacings": "data/spacings/manifest.parquet"},
    results=lambda params, plan: {"weights.safetensors", "pretrain.parquet", "rollout.parquet"},
    run=ZetaRun,
    after_training=frozenset({"evaluation", "rollout"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)

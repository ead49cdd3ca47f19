"""How well a trained spacing model does on the test band, teacher-forced and rolled out, as a long table.

The key column is ``context``. Beside the metrics of :mod:`specseq.spacings.evaluation` there are
``training_spacings``, the distinct spacings to train on, and ``spacings_read``, how many were read. A run
that diverged leaves the single metric ``diverged``, with the reason in the file's provenance.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from specseq.settings import STRICT, Field, dataclass, read
from specseq.sources import source_digest
from specseq.spacings.config import SpacingEvaluation, SpacingModelConfig
from specseq.spacings.drift import drift_law
from specseq.spacings.evaluation import Row, evaluate_model
from specseq.spacings.model import rebuild
from specseq.spacings.rollout_config import RolloutSettings
from specseq.spacings.sets import SpacingSet, load_spacing_set
from specseq.tables import Provenance, long_table, write_parquet
from specseq.tables.files import stat_digest
from specseq.tables.kept import Kept
from specseq.training.checkpoint import diverged, load_weights


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RolloutRequest:
    """A trained spacing model to evaluate."""

    weights: Path = Field(description="weights.safetensors of the run")
    spacings: Path = Field(description="manifest of the spacing sets")
    run: str = Field(description="run id, study/sweep/point")
    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the run, in place of those that its weights carry"
    )
    out: Path = Field(description="Parquet file to write")
    parts: Path | None = Field(default=None, description="folder for what a job that is killed leaves")


def evaluate_run(request: RolloutRequest) -> None:
    """Evaluate a run's weights and write its table.

    Raises:
        InputError: no weights of a spacing model, or no such set.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    tensors, trained = load_weights(request.weights)
    resolved, run = {**trained, **request.params}, request.run
    seed, name = int(resolved["seed"]), resolved.get("data", {}).get("set", "real")
    provenance = Provenance("rollout", resolved, run=run, seed=seed)
    reason = diverged(request.weights)
    decisive = {"run": run, "params": resolved, "code": source_digest("studies/zeta/rollout.py")}
    files = stat_digest([request.weights, request.spacings])
    kept = Kept(request.parts, {**decisive, "files": files})
    if reason is None:
        spec = read(SpacingEvaluation, resolved.get("evaluation", {}), f"run {run}: evaluation")
        test = load_spacing_set(request.spacings, name, "test")
        settings = read(RolloutSettings, resolved.get("rollout", {}), f"run {run}: rollout")
        train = load_spacing_set(request.spacings, name, "train")
        law = drift_law(train, spec.rollout_contexts) if settings.drift else None
        rows = evaluate_model(rebuild(trained, tensors), test, spec, seed, settings, law, kept)
        if "training" in trained:  # how much an imported model had to learn from is not known
            rows += training_size(trained, train)
    else:
        provenance.facts["diverged"] = reason
        rows = [{"metric": "diverged", "value": 1.0}]
    keys = {"study": "zeta", "run": run, "seed": seed, "benchmark": "rollout", "task": f"{name}/test"}
    table = long_table([{**keys, "context": -1, **row} for row in rows], ("context",))
    write_parquet(request.out, table, provenance)
    kept.forget()


def training_size(params: Mapping[str, Any], train: SpacingSet) -> list[Row]:
    """Size of a run's training data, as rows."""
    training, limit = params["training"], params.get("data", {}).get("limit")
    length = read(SpacingModelConfig, params["model"], "model").length
    return [
        {"metric": "training_spacings", "value": min(limit or len(train), len(train))},
        {"metric": "spacings_read", "value": training["steps"] * training["batch"] * length},
    ]

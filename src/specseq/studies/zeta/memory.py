"""Table of rollouts with memory kept, zeroed and faded, and of how far they drift."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from specseq.studies.zeta.tables import OF_ROLLOUTS
from specseq.tables import read_parquet

KEYS = ["group", "set", "context", "step"]
MEASURES = {
    "err": "err_mean",
    "err_zeroed": "err_mean_zeroed",
    "err_faded": "err_mean_faded",
    "distance": "drift_distance_sampled",
    "distance_true": "drift_distance_true",
    "entropy": "drift_entropy_sampled",
    "entropy_true": "drift_entropy_true",
    "bias": "drift_bias_mean",
    "bias_zeroed": "drift_bias_mean_zeroed",
    "attention": "drift_attention_sampled",
    "attention_true": "drift_attention_true",
    "gate": "drift_gate_sampled",
    "gate_true": "drift_gate_true",
}


def memory(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Rollouts of each model with memory kept, zeroed or faded, and what tells the note's explanations apart.

    One row per run group, test set, ``context`` and ``step`` that a run measured with ``rollout.memory`` or
    ``rollout.drift``; means over ``seeds``. ``err`` is the accumulated error of mean rollouts with memory
    kept, ``err_zeroed`` and ``err_faded`` the errors with memory zeroed and faded. ``distance`` is the
    distance of sampled rollouts from training windows, ``entropy`` the entropy of the mixtures predicted
    along them, ``attention`` the share of attention that memory takes in them, ``bias`` the mean error of
    mean rollouts at the step alone, ``gate`` how far a gate of memory is open; ``_true`` is the same on the
    true spacings.
    """
    names = {metric: name for name, metric in MEASURES.items()}
    rows = read_parquet(inputs["long"][0], where=OF_ROLLOUTS & pc.field("metric").isin(list(names)))
    rows = rows.assign(set=rows["task"].str.split("/").str[0], measure=rows["metric"].map(names))
    means = rows.groupby([*KEYS, "measure"])["value"].mean().unstack("measure").reindex(columns=[*MEASURES])
    means.insert(0, "seeds", rows.groupby(KEYS)["seed"].nunique())
    measured = means[means.drop(columns=["seeds", "err"]).notna().any(axis=1)]
    return measured.rename_axis(columns=None).reset_index().assign(scale=params["scale"])

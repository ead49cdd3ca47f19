"""Forecasts of the STU study's models beside attention's: one row a (group, benchmark, term), seeds pooled.

``mase`` and ``crps`` are plain geometric means over configs and seeds. ``ratio`` compares MASE with that of
``baseline``, which was trained alike with attention alone, paired over configs and seeds; ``low`` and
``high`` are its 95 % interval over both, ``wins`` and ``losses`` count configs, ``wilcoxon_p`` tests over
them; where a config was lost in some seed, the verdict is ``diverged``. The term ``all`` pools the terms.
``leaked`` counts configs whose data set the training corpus holds too; ``parameter_ratio`` says whether the
models are matched.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.report.leakage import leaked_configs
from specseq.report.pairing import paired, scorable, unpaired
from specseq.scoring.comparison import compare
from specseq.studies.stu.tables.shared import baseline_of, mean_of
from specseq.tables import read_parquet

CRPS = {"gift_eval": "CRPS", "fev": "WQL"}
COMPARED = ("ratio", "low", "high", "wins", "losses", "wilcoxon_p", "verdict")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``long``, all results of the study; ``corpus``, manifest of the training corpus.
        params: ``scale``; ``baselines``, group -> the group it is compared with where that is not
            ``stu/layout/attention``.
    """
    long, (corpus,) = read_parquet(inputs["long"][0]), inputs["corpus"]
    rows = long[long["benchmark"].isin(list(CRPS)) & (long["step"] == -1)].copy()
    several = rows["benchmark"].eq("gift_eval") & rows["task"].str.contains("/")
    rows["term"] = rows["task"].str.rsplit("/", n=1).str[-1].where(several, "all")
    parameters = long[long["metric"] == "parameters"]
    made = [
        {**row, **_sizes(parameters, row["group"], row["baseline"])}
        for row in _rows(rows, params.get("baselines", {}), corpus)
    ]
    return pd.DataFrame(made).assign(scale=params["scale"])


def _rows(rows: pd.DataFrame, baselines: dict[str, str], corpus: Path) -> Iterator[dict[str, Any]]:
    for benchmark, own in rows.groupby("benchmark", sort=False):
        terms = list(own["term"].unique())
        for term in ["all", *terms] if len(terms) > 1 else terms:
            chosen = own if term == "all" else own[own["term"] == term]
            mase = chosen[chosen["metric"] == "MASE"]
            crps = chosen[chosen["metric"] == CRPS[str(benchmark)]]
            for group in mase["group"].unique():
                against = baseline_of(group, baselines)
                compared = _compared(_matrix(mase, group), _matrix(mase, against))
                tasks = mase.loc[mase["group"] == group, "task"]
                yield {
                    "group": group,
                    "baseline": against,
                    "benchmark": benchmark,
                    "term": term,
                    "configs": tasks.nunique(),
                    "leaked": leaked_configs(str(benchmark), tasks, corpus),
                    "seeds": mase.loc[mase["group"] == group, "seed"].nunique(),
                    "mase": _geometric(mase, group),
                    "crps": _geometric(crps, group),
                    **({**compared, "verdict": "baseline"} if group == against else compared),
                }


def _matrix(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    """A metric by task and seed."""
    return rows[rows["group"] == group].pivot(index="task", columns="seed", values="value")


def _compared(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, Any]:
    a, b = (errors.to_numpy() for errors in paired(ours, theirs))
    found = {**dict.fromkeys(COMPARED, np.nan), "wins": 0, "losses": 0, "paired_seeds": a.shape[1]}
    if not a.size:
        return {**found, "verdict": unpaired(ours, theirs)}
    if not np.isfinite(a).all():
        # The tasks that are left are those that went well.
        return {**found, "verdict": "diverged"}
    if not scorable(a).all(axis=1).any():
        return {**found, "verdict": "undecided"}
    comparison = compare(a, b)
    return {**found, **{name: getattr(comparison, name) for name in COMPARED}}


def _geometric(rows: pd.DataFrame, group: str) -> float:
    values = rows.loc[rows["group"] == group, "value"].to_numpy(float)
    return float(np.exp(np.log(values).mean())) if len(values) else float("nan")


def _sizes(parameters: pd.DataFrame, group: str, baseline: str) -> dict[str, float]:
    own, other = mean_of(parameters, group), mean_of(parameters, baseline)
    return {"parameters": own, "parameter_ratio": own / other}

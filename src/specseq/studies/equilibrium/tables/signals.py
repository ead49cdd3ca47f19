"""Which measurements tell an equilibrium that Euler would leave from one that it keeps.

One row a signal and seed, over all evaluations of all runs of the sweep ``wall`` with that seed at which
there was an equilibrium:

- ``auc``: area under the receiver operating characteristic, the probability that the signal is larger at an
  unstable evaluation than at a stable one; 0.5 is no signal, 1 separates them. Unstable means ε_crit < 0.1 by
  the exact spectrum: no matter which solver found the root, Euler at 0.1 leaves it. ``evaluations`` and
  ``unstable`` count; where all are of one kind there is nothing to tell, and no value;
- ``share_positive``: how many of the equilibria that are stable for the flow (α < 0) have ω > 0.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from specseq.tables import read_parquet

STEP = 0.1
SIGNALS = ("alpha", "rotation", "omega", "gap", "jacobian_norm", "force_residual")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``long``, all results of the study.
        params: ``scale``.
    """
    long = read_parquet(inputs["long"][0])
    rows = long[long["group"].str.startswith("equilibrium/wall/") & (long["task"] == "valid")]
    rows = rows.assign(metric=rows["metric"].str.removeprefix("valid/"))
    made = [row for seed, own in rows.groupby("seed") for row in _seed(int(str(seed)), own)]
    columns = ["signal", "seed", "metric", "value", "evaluations", "unstable"]
    return pd.DataFrame(made, columns=columns).assign(scale=params["scale"])


def _seed(seed: int, own: pd.DataFrame) -> Iterator[tuple[str, int, str, float, int, int]]:
    wide = own.pivot_table(index=["run", "step"], columns="metric", values="value").reindex(
        columns=["eps_crit", *SIGNALS]
    )
    wide = wide.dropna(subset=["eps_crit"])
    unstable = (wide["eps_crit"] < STEP).to_numpy()
    for name in SIGNALS:
        signal = wide[name].to_numpy()
        known = np.isfinite(signal)
        value = area(signal[known], unstable[known])
        yield name, seed, "auc", value, int(known.sum()), int(unstable[known].sum())
    stable = wide.loc[wide["alpha"] < 0, "omega"].dropna()
    share = float((stable > 0).mean()) if len(stable) else float("nan")
    yield "omega", seed, "share_positive", share, len(stable), 0


def area(signal: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive's signal exceeds a negative's, ties half; NaN without both kinds."""
    pairs = positive.sum() * (~positive).sum()
    if pairs == 0:
        return float("nan")
    ranks = stats.rankdata(signal)
    return float((ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2) / pairs)

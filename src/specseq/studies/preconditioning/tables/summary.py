"""Every run, filter and reversal of the preconditioning study beside its baseline.

One row a (run group, forecaster, filter, reversal), seeds pooled. ``mase_raw`` and ``crps_raw`` are plain
geometric means over configs and seeds; ``mase_low`` and ``mase_high`` are Student's 95 % interval of
``mase_raw`` over seeds, the configs being what they are (NaN for one seed); ``mase_normalised`` divides each
config by seasonal naive first. The ratio compares MASE with the plain forecast of the baseline
(``baseline``), paired over configs and seeds, with an interval over both; ``seed_sd`` is the standard
deviation over seeds of its logarithm. It stands on the ``paired_configs``, those with an error above zero on
both sides. A variant that was lost on a config has no ratio and the verdict ``diverged``, whatever it is on
the others. A trained run's baseline is a run of as many steps, those of the run that it began from among
them; a frozen forecaster's is itself without a filter. ``leaked`` counts configs whose data set the training
corpus of a run holds too. Oracle rows use future data and are no forecasts; beside each stands seasonal naive
under the same oracle, as a row and, in ``control``, as its ratio. Rows of a trained model under ``fir`` use
the finite inverse that was learned with it, if one was.
``files``: see :mod:`specseq.studies.preconditioning.tables.shared`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.errors import InputError
from specseq.report.leakage import leaked_configs
from specseq.scoring.comparison import student_interval
from specseq.studies.preconditioning.tables.shared import (
    BASELINE,
    GROUP,
    controls,
    files,
    geometric,
    ratio,
    read_runs,
    unfiltered,
    wide,
)


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, long evaluation results; ``corpus``, manifest of the training corpus.
        params: ``scale``; ``baselines``, group -> the group it is compared with where that is another.
    """
    (corpus,) = inputs["corpus"]
    table = wide(read_runs(inputs["runs"]))
    naive = _seasonal_naive(table)
    plain = unfiltered(table)
    made = []
    for keys, rows in table.groupby(GROUP, sort=True):
        named = dict(zip(GROUP, map(str, keys), strict=True))
        against, baseline = _baseline(named, plain, params.get("baselines", {}))
        made.append({**named, **_summary(rows, naive), **ratio(rows, baseline), "baseline": against})
        made[-1] |= {"leaked": _leaked(named, rows, corpus), "files": files(rows)}
    summary = pd.DataFrame(made)
    return summary.assign(control=controls(summary, ["benchmark"], "ratio"), scale=params["scale"])


def _seasonal_naive(table: pd.DataFrame) -> pd.DataFrame:
    plain = unfiltered(table)
    plain = plain[plain["forecaster"] == "seasonal_naive"]
    if plain.empty:
        raise InputError(
            "preconditioning table", "no plain seasonal naive among the runs", "add it to a sweep"
        )
    return plain.drop_duplicates(["benchmark", "task"]).set_index(["benchmark", "task"])


def _baseline(
    named: dict[str, str], plain: pd.DataFrame, baselines: dict[str, str]
) -> tuple[str, pd.DataFrame]:
    """What a row is compared with, and its name: the trained baseline, or the forecaster without a filter."""
    group = named["group"]
    if named["forecaster"] == "trained":
        group = baselines.get(group, BASELINE)
    own = plain["forecaster"] == named["forecaster"]
    return group, plain[own & (plain["group"] == group) & (plain["benchmark"] == named["benchmark"])]


def _leaked(named: dict[str, str], rows: pd.DataFrame, corpus: Path) -> float:
    """NaN for a forecaster that was trained elsewhere, on who knows what."""
    if named["forecaster"] in ("trained", "moirai2"):
        return leaked_configs(named["benchmark"], rows["task"], corpus)
    return 0.0 if named["forecaster"] in ("seasonal_naive", "naive") else float("nan")


@np.errstate(divide="ignore", invalid="ignore")  # an error of zero is one, if none that can be compared
def _summary(rows: pd.DataFrame, naive: pd.DataFrame) -> dict[str, Any]:
    reference = naive.loc[rows.iloc[0]["benchmark"]]
    relative = rows["MASE"].to_numpy() / reference.loc[rows["task"], "MASE"].to_numpy()
    crps = "CRPS" if rows["benchmark"].iloc[0] == "gift_eval" else "WQL"
    low, high = _interval(rows)
    return {
        "configs": rows["task"].nunique(),
        "seeds": rows["seed"].nunique(),
        "spectral_radius": _median(rows["spectral_radius"]),
        "noise_gain": _median(rows["noise_gain"]),
        "mase_raw": geometric(rows["MASE"]),
        "mase_low": low,
        "mase_high": high,
        "mase_normalised": geometric(relative),
        "crps_raw": geometric(rows[crps]),
    }


def _median(values: "pd.Series[float]") -> float:
    """Of those that are known: a run without a filter has none, and neither has a seed that was lost."""
    known = values.dropna().to_numpy(float)
    return float(np.median(known)) if len(known) else float("nan")


def _interval(rows: pd.DataFrame) -> tuple[float, float]:
    """Student's 95 % interval of the geometric mean over the seeds' own."""
    logs = np.log([geometric(own) for _, own in rows.groupby("seed")["MASE"]])
    low, high = student_interval(logs)
    return float(np.exp(low)), float(np.exp(high))

"""What the algebra predicts of a filter around a frozen forecaster, beside what was measured.

One row a (group, forecaster, filter, task), and one with the task ``all``: geometric means over tasks. Seeds
are pooled. Measured, as ratios of MASE:

- ``self_ratio``, ``oracle_ratio``: that reversal against the same forecaster without a filter;
- ``self_over_oracle``: what undoing the filter with forecasts instead of the truth costs.

The oracle leaves the error E of the filtered-space forecast, self reversal e = E/A. Predicted, as means over
the steps t < H of the horizon of standard deviations:

- ``predicted_white`` of self_over_oracle, if E is white: the mean of √v(t), v(t) = Σ_{k ≤ t} h_k²;
- ``predicted_residual`` of self_over_oracle, if E has the autocovariance that the forecaster's errors have
  without a filter (measured before the test windows). Matched filters minimise it and hope that E is no
  larger than those errors, so that it is their self_ratio;
- ``predicted_oracle`` of oracle_ratio, if the forecaster commutes with the filter, as linear ones do: E is
  then the filtered error, whatever was learned, and self_ratio is 1.

The last two are NaN where there are no residuals.

Filters whose reversal diverged have NaN for what was measured and ``diverged`` true.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.filters import Filter, predicted_oracle_error, predicted_self_error
from specseq.report.tables.long_results import group_of
from specseq.report.tables.preconditioning_shared import FROZEN, geometric, read_runs, unfiltered, wide
from specseq.tables import read_parquet

KEYS = ["benchmark", "group", "forecaster"]
MEASURED = ["self_ratio", "oracle_ratio", "self_over_oracle"]
PREDICTED = ["predicted_white", "predicted_residual", "predicted_oracle"]
SIZES = ["spectral_radius", "noise_gain", "absolute_gain", "tap_sum", "tap_norm", "tap_max"]
Values = NDArray[np.float64]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, long evaluation results; ``filters``, the design stage's table; ``matched``, the
            same of filters designed for a run's residuals; ``residuals``, from which they were.
        params: ``scale``.
    """
    rows = read_runs(inputs["runs"])
    rows = rows[rows["group"].str.startswith(FROZEN)]
    horizons = _horizons(rows)
    errors = _residuals(inputs.get("residuals", []))
    filters = _filters(inputs["filters"], inputs.get("matched", []))
    made = []
    for keys, own in _measured(wide(rows)).groupby([*KEYS, "filter"]):
        named = dict(zip([*KEYS, "filter"], map(str, keys), strict=True))
        filter, sizes = filters.get((named["group"], named["filter"])) or filters["", named["filter"]]
        single: list[dict[str, Any]] = []
        for row in _records(own):
            autocovariance = errors.get((named["benchmark"], named["group"], row["task"]))
            horizon = horizons[named["benchmark"], row["task"]]
            single.append(row | _predicted(filter, horizon, autocovariance))
        pooled = {name: geometric([row[name] for row in single]) for name in [*MEASURED, *PREDICTED]}
        made += [{**row, **sizes} for row in [{**named, "task": "all", **pooled}, *single]]
    columns = [*KEYS, "filter", "task", *SIZES, *MEASURED, *PREDICTED]
    table = pd.DataFrame(made, columns=columns)
    return table.assign(diverged=table["self_ratio"].isna(), scale=params["scale"])


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Ratios by filter and task, seeds pooled; of forecasters that were scored under the self reversal."""
    cell = [*KEYS, "task", "seed"]
    plain = unfiltered(table)[[*cell, "MASE"]].rename(columns={"MASE": "none"})
    reversed_ = table[table["reversal"].isin(["self", "oracle"])]
    both = reversed_.pivot(index=[*cell, "filter"], columns="reversal", values="MASE")
    both = both.reset_index().merge(plain, on=cell)
    # Where there is only the oracle, it is the control of another forecaster.
    scored = reversed_.loc[reversed_["reversal"] == "self", KEYS].drop_duplicates()
    both = both.merge(scored, on=KEYS)
    logs = pd.DataFrame(
        {
            "self_ratio": np.log(both["self"] / both["none"]),
            "oracle_ratio": np.log(both["oracle"] / both["none"]),
            "self_over_oracle": np.log(both["self"] / both["oracle"]),
        }
    )
    keys = [*KEYS, "filter", "task"]
    # A seed that diverged makes the mean NaN.
    mean = pd.concat([both[keys], logs.fillna(np.inf)], axis=1).groupby(keys)[MEASURED].mean()
    found = mean.apply(np.exp).reset_index()
    return found.replace({name: {np.inf: np.nan} for name in MEASURED})


def _horizons(rows: pd.DataFrame) -> dict[tuple[str, str], int]:
    last = rows.groupby(["benchmark", "task"])["step"].max()
    return {(str(key[0]), str(key[1])): int(step) for key, step in zip(last.index, last, strict=True)}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _filters(
    designed: list[Path], matched: list[Path]
) -> dict[tuple[str, str], tuple[Filter, dict[str, float]]]:
    """Filters and their sizes by (group, name); the group is empty for those that all forecasters share.

    Of matched filters, which differ between the seeds of a group, the first seed's stands for all.
    """
    found: dict[tuple[str, str], tuple[Filter, dict[str, float]]] = {}
    for path in [*designed, *matched]:
        group = "" if path in designed else _group(path)
        for row in _records(read_parquet(path)):
            filter = Filter(row["family"], tuple(row["taps"]), int(row["stride"]), name=row["name"])
            found.setdefault((group, row["name"]), (filter, {size: row[size] for size in SIZES}))
    return found


def _group(path: Path) -> str:
    """The group of a file in a run's folder, ``.../<study>/<sweep>/<point>/<file>``."""
    return str(group_of(pd.Series(["/".join(path.parts[-4:-1])])).iloc[0])


def _residuals(paths: list[Path]) -> dict[tuple[str, str, str], Values]:
    """Autocovariance by (benchmark, group, task), normalised, seeds averaged."""
    if not paths:
        return {}
    rows = pd.concat([read_parquet(path) for path in paths], ignore_index=True)
    rows = rows[rows["metric"] == "residual_autocovariance"].assign(group=lambda x: group_of(x["run"]))
    found: dict[tuple[str, str, str], Values] = {}
    for (benchmark, group, task), own in rows.groupby(["benchmark", "group", "task"]):
        lags = own.pivot(index="seed", columns="step", values="value").to_numpy()
        found[str(benchmark), str(group), str(task)] = (lags / lags[:, :1]).mean(axis=0)
    return found


def _predicted(filter: Filter, horizon: int, autocovariance: Values | None) -> dict[str, float]:
    white = float(np.sqrt(predicted_self_error(filter, np.ones(1), horizon)).mean())
    found = {"predicted_white": white, "predicted_residual": np.nan, "predicted_oracle": np.nan}
    if autocovariance is not None:
        self_error = predicted_self_error(filter, autocovariance, horizon)
        oracle_error = predicted_oracle_error(filter, autocovariance, horizon)
        found["predicted_residual"] = float(np.sqrt(self_error).mean())
        found["predicted_oracle"] = float(np.sqrt(oracle_error).mean())
    return found

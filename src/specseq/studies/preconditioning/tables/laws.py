"""What the algebra predicts of a filter around a frozen forecaster, beside what was measured.

Shapes: F filter, T task, R resample.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.filters import Filter, impulse_response, predicted_oracle_error, predicted_self_error
from specseq.report.pairing import geometric, scorable
from specseq.report.tidy import group_of
from specseq.seeding import generator
from specseq.studies.preconditioning.tables.runs import (
    CONTROL,
    FROZEN,
    OF_FROZEN,
    SIZES,
    WHOLE,
    Values,
    autocovariances,
    files,
    horizons,
    known_filters,
    parts,
    read_runs,
    records,
    step_errors,
    unfiltered,
    wide,
)
from specseq.tables import read_all, read_parquet

KEYS = ["benchmark", "group", "forecaster"]
MEASURED = ["self_ratio", "oracle_ratio", "control_ratio", "self_over_oracle"]
PREDICTED = ["predicted_white", "predicted_residual", "predicted_oracle"]
FILTER_KEYS = [*KEYS, "filter"]
STEP_PREDICTED = ["predicted_white", "predicted_residual", "worst_case"]
QUANTITIES = ("self_ratio", "self_over_oracle")
PREDICTORS = (
    *("absolute_gain", "noise_gain", "tap_sum", "tap_norm", "tap_max"),
    *("predicted_white", "predicted_residual"),
)
RESAMPLES = 2000
RANK_COLUMNS = [
    *("benchmark", "group", "forecaster", "quantity", "size", "filters", "number", "tasks"),
    *("spearman", "low", "high", "files", "scale"),
]


def theory(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """What the algebra predicts of a filter around a frozen forecaster, beside what was measured.

    One row per (group, forecaster, filter, task), and one with the task ``all``: geometric means over tasks.
    Seeds are pooled. Measured, as ratios of MASE:

    - ``self_ratio``, ``oracle_ratio``: each reversal against the same forecaster without a filter;
    - ``control_ratio``: seasonal naive under the same oracle against seasonal naive;
    - ``self_over_oracle``: what undoing the filter with forecasts instead of the truth costs.

    The oracle leaves the error E of the filtered-space forecast, self reversal e = E/A. Predicted, as
    standard deviations averaged over the steps t < H of the horizon:

    - ``predicted_white`` of self_over_oracle, if E is white: the mean of √v(t), v(t) = Σ_{k ≤ t} h_k²;
    - ``predicted_residual`` of self_over_oracle, if E has the autocovariance that the forecaster's errors
      have without a filter (measured before the test windows). Matched filters minimise it; it would be their
      self_ratio if E were no larger than those errors;
    - ``predicted_oracle`` of oracle_ratio, if the forecaster commutes with the filter, as linear ones do: E
      is then the filtered error, whatever was learned, and self_ratio is 1.

    The last two are NaN where there are no residuals.

    Configs on which the forecaster without a filter has no error above zero are left out (``left_out`` counts
    them). Filters whose self reversal diverged on any other config have ``diverged`` true, and NaN in place
    of its measurements.
    """
    rows = read_runs(inputs["runs"], OF_FROZEN & WHOLE)
    steps = horizons(inputs["runs"])
    errors = autocovariances(inputs.get("residuals", []))
    filters = known_filters(inputs["filters"], inputs.get("matched", []))
    sources = {key: files(own) for key, own in rows.groupby(["benchmark", "group"])}
    made = []
    for keys, own in _measured(wide(rows)).groupby(FILTER_KEYS):
        named = dict(zip(FILTER_KEYS, map(str, keys), strict=True))
        filter, sizes = filters.get((named["group"], named["filter"])) or filters["", named["filter"]]
        single: list[dict[str, Any]] = []
        for row in records(own):
            autocovariance = errors.get((named["benchmark"], named["group"], row["task"]))
            horizon = steps[named["benchmark"], row["task"]]
            single.append(row | _predicted(filter, horizon, autocovariance))
        pooled = {name: geometric([row[name] for row in single]) for name in [*MEASURED, *PREDICTED]}
        together = {**named, "task": "all", **pooled, "diverged": own["diverged"].any()}
        together["left_out"] = own["left_out"].iloc[0]
        shared = {**sizes, "files": sources[named["benchmark"], named["group"]]}
        made += [{**row, **shared} for row in [together, *single]]
    columns = [*FILTER_KEYS, "task", *SIZES, *MEASURED, *PREDICTED, "files", "diverged", "left_out"]
    return pd.DataFrame(made, columns=columns).astype({"diverged": bool}).assign(scale=params["scale"])


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Ratios by filter and task, seeds pooled, for forecasters that were scored under the self reversal."""
    if table.empty:
        return pd.DataFrame(columns=[*FILTER_KEYS, "task", *MEASURED, "diverged", "left_out"])
    cell = ["benchmark", "group", "seed", "task"]
    both = _beside_plain(table, unfiltered(table), cell, "MASE")
    # A forecaster with oracle rows alone is the control of another forecaster.
    scored = table.loc[table["reversal"] == "self", [*cell, "forecaster", "filter", "diverged"]]
    both = both.merge(scored, on=[*cell, "forecaster", "filter"])
    usable = scorable(both["none"]).groupby([both[name] for name in [*KEYS, "task"]]).transform("all")
    unusable_tasks = both.assign(task=both["task"].where(~usable))
    both["left_out"] = unusable_tasks.groupby(KEYS)["task"].transform("nunique")
    both = both[usable]
    keys = [*FILTER_KEYS, "task"]
    # A seed that diverged makes the mean NaN.
    found = _geometric(both, keys, _ratios(both).fillna(np.inf)).replace(np.inf, np.nan)
    return found.join(both.groupby(keys)[["diverged", "left_out"]].max()).reset_index()


def _beside_plain(rows: pd.DataFrame, plain: pd.DataFrame, cell: list[str], error: str) -> pd.DataFrame:
    """Errors under ``self`` and ``oracle`` beside that without a filter (``none``), and the ``control``: what
    the same oracle makes of seasonal naive. They agree in the columns ``cell``.
    """
    chosen = rows[rows["reversal"].isin(["self", "oracle"])]
    both = chosen.pivot(index=[*cell, "forecaster", "filter"], columns="reversal", values=error)
    plain = plain[[*cell, "forecaster", error]].rename(columns={error: "none"})
    both = both.reindex(columns=["self", "oracle"]).reset_index().merge(plain, on=[*cell, "forecaster"])
    naive = both[both["forecaster"] == CONTROL]
    control = naive[[*cell, "filter"]].assign(control=naive["oracle"] / naive["none"])
    return both.merge(control, on=[*cell, "filter"], how="left")


def _ratios(both: pd.DataFrame) -> pd.DataFrame:
    """Each measured ratio."""
    ratios = {
        "self_ratio": both["self"] / both["none"],
        "oracle_ratio": both["oracle"] / both["none"],
        "control_ratio": both["control"],
        "self_over_oracle": both["self"] / both["oracle"],
    }
    return pd.DataFrame(ratios)


def _geometric(rows: pd.DataFrame, keys: list[str], ratios: pd.DataFrame) -> pd.DataFrame:
    """Geometric means of ratios by the keys of their rows."""
    logs = ratios.astype(float).apply(np.log)
    return logs.groupby([rows[key] for key in keys]).mean().apply(np.exp)


def _predicted(filter: Filter, horizon: int, autocovariance: Values | None) -> dict[str, float]:
    white = float(np.sqrt(predicted_self_error(filter, np.ones(1), horizon)).mean())
    found = {"predicted_white": white, "predicted_residual": np.nan, "predicted_oracle": np.nan}
    if autocovariance is not None:
        self_error = predicted_self_error(filter, autocovariance, horizon)
        oracle_error = predicted_oracle_error(filter, autocovariance, horizon)
        found["predicted_residual"] = float(np.sqrt(self_error).mean())
        found["predicted_oracle"] = float(np.sqrt(oracle_error).mean())
    return found


def theory_steps(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Predicted and measured cost of undoing a filter at each step of the horizon, config by config.

    One row per (group, forecaster, filter, task, step), and one with the task ``all``: geometric means over
    the tasks that reach the step. Seeds are pooled. Measured are ratios of the scaled absolute error of the
    median at that step: ``self_ratio`` and ``oracle_ratio`` against the same forecaster without a filter,
    ``control_ratio`` of seasonal naive under the same oracle, and ``self_over_oracle``. They are NaN where a
    reversal diverged, in ``all`` if it diverged on any task. Predicted for self_over_oracle at step t:

    - ``predicted_white``: √v(t - 1), v(H) = Σ_{k ≤ H} h_k², if the error that the oracle leaves is white;
    - ``predicted_residual``: the same if it has the autocovariance of the forecaster's errors without a
      filter;
    - ``worst_case``: Σ_{k < t} |h_k|, the most by which the largest error so far can be multiplied.
    """
    filters = known_filters(inputs["filters"], inputs.get("matched", []))
    errors = autocovariances(inputs.get("residuals", []))
    lengths = horizons(inputs["runs"])
    scored = read_all(inputs["runs"], OF_FROZEN & WHOLE, ["benchmark", "run"]).drop_duplicates()
    scored = scored.assign(group=group_of(scored["run"]))
    sources = {key: files(own) for key, own in scored.groupby(["benchmark", "group"])}
    made: list[pd.DataFrame] = []
    for rows in parts(inputs["runs"], start=FROZEN):
        made += _laws_beside(_measured_by_step(rows), filters, errors, lengths)
    columns = [*FILTER_KEYS, "task", "step", *MEASURED, *STEP_PREDICTED]
    single = pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=columns)
    both = pd.concat([_pooled_steps(single), single], ignore_index=True)[columns]
    both = both.replace({name: {np.inf: np.nan} for name in MEASURED})
    both["files"] = [sources[key] for key in zip(both["benchmark"], both["group"], strict=True)]
    return both.sort_values([*FILTER_KEYS, "task", "step"], ignore_index=True).assign(scale=params["scale"])


def _laws_beside(
    measured: pd.DataFrame,
    filters: Mapping[tuple[str, str], tuple[Filter, dict[str, float]]],
    errors: Mapping[tuple[str, str, str], Values],
    lengths: Mapping[tuple[str, str], int],
) -> Iterator[pd.DataFrame]:
    """Measurements by step of each (filter, task), beside the predictions."""
    for keys, own in measured.groupby([*FILTER_KEYS, "task"]):
        benchmark, group, _, name, task = map(str, keys)
        filter, _ = filters.get((group, name)) or filters["", name]
        law = step_laws(filter, lengths[benchmark, task], errors.get((benchmark, group, task)))
        places = own["step"].to_numpy() - 1
        yield own.assign(**{column: law[column][places] for column in STEP_PREDICTED})


def step_laws(filter: Filter, horizon: int, autocovariance: Values | None) -> dict[str, Values]:
    """Each prediction at the steps 1 … H, ``[H]``; ``predicted_residual`` is NaN without residuals."""
    strided = np.zeros(horizon)
    strided[:: filter.stride] = impulse_response(filter.array, -(-horizon // filter.stride))
    with np.errstate(over="ignore", invalid="ignore"):
        found = {"predicted_white": np.sqrt(np.cumsum(strided**2)), "worst_case": np.abs(strided).cumsum()}
    found["predicted_residual"] = np.full(horizon, np.nan)
    if autocovariance is not None:
        found["predicted_residual"] = np.sqrt(predicted_self_error(filter, autocovariance, horizon))
    return found


def _measured_by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Ratios by filter, task and step, seeds pooled, for forecasters scored under the self reversal."""
    rows = step_errors(rows)
    if not rows["reversal"].isin(["self", "oracle"]).any():
        return pd.DataFrame(columns=[*FILTER_KEYS, "task", "step", *MEASURED])
    cell = ["benchmark", "group", "seed", "task", "step"]
    plain = unfiltered(rows)
    both = _beside_plain(rows, plain[np.isfinite(plain["value"])], cell, "value")
    both = both.merge(both.loc[both["self"].notna(), FILTER_KEYS].drop_duplicates(), on=FILTER_KEYS)
    lost = np.isinf(both["self"]) | np.isinf(both["oracle"])
    ratios = _ratios(both)
    ratios["self_over_oracle"] = ratios["self_over_oracle"].mask(lost, np.inf)
    return _geometric(both, [*FILTER_KEYS, "task", "step"], ratios).reset_index()


def _pooled_steps(single: pd.DataFrame) -> pd.DataFrame:
    means = _geometric(single, [*FILTER_KEYS, "step"], single[[*MEASURED, *STEP_PREDICTED]])
    return means.reset_index().assign(task="all")


def ranks(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """What orders the cost of self reversal: Spearman's correlation over filters, with a bootstrap interval.

    One row per (group, forecaster, measured quantity, size, set of filters). Measured are ``self_ratio`` and
    ``self_over_oracle``, the gap, as in the table ``preconditioning_theory``; sizes are those of the filter
    and the two predictions. A reversal that diverged is the costliest of all. The set ``stable`` leaves out
    filters whose reversal is unstable. Intervals resample tasks, at least two, and keep the filters. If all
    filters cost the same, because all diverged, the correlation is NaN.
    """
    table = read_parquet(inputs["theory"][0])
    made = []
    for keys, own in table.groupby(KEYS):
        named = dict(zip(KEYS, keys, strict=True))
        for name, rows in (("all", own), ("stable", own[own["spectral_radius"] < 1])):
            shared = {**named, "filters": name, "files": own["files"].iloc[0]}
            made += [shared | found for found in _correlations(rows)]
    return pd.DataFrame(made, columns=RANK_COLUMNS[:-1]).assign(scale=params["scale"])


def _correlations(rows: pd.DataFrame) -> list[dict[str, Any]]:
    pooled = rows[rows["task"] == "all"].set_index("filter")
    single = rows[rows["task"] != "all"]
    if len(pooled) < 3:
        return []
    made = []
    for quantity in QUANTITIES:
        logs_FT = _log_costs(single, quantity).loc[pooled.index].to_numpy()
        tasks = logs_FT.shape[1]
        if not tasks:
            continue
        shares = generator(0, "ranks", tasks).multinomial(tasks, np.full(tasks, 1 / tasks), RESAMPLES) / tasks
        measured_F = logs_FT.mean(axis=1)
        # An infinite cost stays infinite in every resample that holds it; elsewhere it must not spread.
        infinite_FT = np.isinf(logs_FT)
        resampled_RF = shares @ np.where(infinite_FT, 0, logs_FT).T
        resampled_RF[shares @ infinite_FT.T > 0] = np.inf
        for size in PREDICTORS:
            sizes_F = pooled[size].to_numpy(float)
            if np.isnan(sizes_F).any():
                continue
            value, low, high = float(spearman(measured_F[None], sizes_F)[0]), np.nan, np.nan
            if tasks > 1 and np.isfinite(value):
                low, high = np.nanquantile(spearman(resampled_RF, sizes_F), [0.025, 0.975])
            made.append(
                {"quantity": quantity, "size": size, "number": len(pooled), "tasks": tasks}
                | {"spearman": value, "low": float(low), "high": float(high)}
            )
    return made


def _log_costs(single: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Logarithms by filter and task, for tasks measured for all; infinite where the reversal diverged."""
    logs = single.assign(cost=np.log(single[quantity].mask(single["diverged"], np.inf)))
    return logs.pivot(index="filter", columns="task", values="cost").dropna(axis=1)


def spearman(values_RF: Values, against_F: Values) -> Values:
    """Rank correlation of each row with one vector, ties at their mean rank; NaN where one is constant."""
    from scipy.stats import rankdata

    ranks_RF, other_F = rankdata(values_RF, axis=1), rankdata(against_F)
    ranks_RF = ranks_RF - ranks_RF.mean(axis=1, keepdims=True)
    other_F = other_F - other_F.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.sqrt((ranks_RF**2).sum(axis=1) * (other_F**2).sum())
        return np.asarray(ranks_RF @ other_F / norms)

"""Does a filter make forecasts better: every run, filter and reversal beside its baseline.

Shapes: F filter, T task, S seed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from scipy.special import stdtrit

from specseq.report.gates import Gate, no_gate, worst
from specseq.report.leakage import NONE, UNKNOWN, leak_columns, read_leakage
from specseq.report.pairing import compared, geometric, matrix, paired, scorable
from specseq.scoring.comparison import paired_ratio, student_interval
from specseq.studies.preconditioning.tables.runs import (
    BASELINE,
    CONTROL,
    FROZEN,
    GROUP,
    STEP_METRIC,
    TRIVIAL,
    WHOLE,
    Values,
    controls,
    files,
    gate_of,
    parts,
    read_runs,
    seasonal_naive,
    step_errors,
    unfiltered,
    wide,
)
from specseq.tables import read_all

RATIO = (
    *("ratio", "low", "high", "seed_sd", "config_sd"),
    *("paired_seeds", "paired_configs", "wins", "verdict"),
)
REVERSALS = ("self", "plug_in", "hybrid", "fir")
BEST_COLUMNS = [
    *("benchmark", "group", "forecaster", "reversal", "set", "filters", "diverged", "filter"),
    *("ratio", "low", "high", "chosen", "chosen_ratio", "chosen_low", "chosen_high", "verdict"),
    *("configs", "left_out", "seeds", "seed_sd", "config_sd"),
    *("worth", "worth_low", "worth_high", "gate", "files", "scale"),
]
STEP_COLUMNS = ("configs", "error", "ratio", "low", "high", "reference", "control", "files")
NUMBERS = ("error", "ratio", "low", "high")


def summary(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Every run, filter and reversal of the preconditioning study beside its baseline.

    One row per (run group, forecaster, filter, reversal), seeds pooled. ``mase_raw`` and ``crps_raw`` are
    plain geometric means over configs and seeds; ``mase_low`` and ``mase_high`` are Student's 95 % interval
    of ``mase_raw`` over seeds with the configs held fixed (NaN for one seed); ``mase_normalised`` divides
    each config by seasonal naive first. The ratio compares MASE with the plain forecast of the baseline
    (``baseline``), paired over configs and seeds, with an interval over both; ``seed_sd`` and ``config_sd``
    are the standard deviations over seeds and configs of its logarithm. It covers the ``paired_configs``,
    those with an error above zero on both sides. A variant that was lost on any config has no ratio and the
    verdict ``diverged``. A trained run's baseline is a run of as many steps, including those of the run that
    it began from; a frozen forecaster's baseline is itself without a filter. ``worth`` is the baseline's MASE
    over that of seasonal naive (``reference``) on the same configs and seeds, with its 95 % interval
    ``worth_low`` to ``worth_high``; the two values are ``baseline_value`` and ``reference_value``. If the
    baseline is no better than seasonal naive, ``gate`` says so and the verdict is *not decidable at this
    scale*; otherwise ``gate`` is ``decidable``. ``leaked`` counts configs with a test point in the training
    corpus, ``leaked_share`` is the share of all test points that lie there, and ``history`` counts configs
    whose earlier parts the corpus holds, which is not a leak. Oracle rows use future data and are not
    forecasts; beside each stands seasonal naive under the same oracle, as a row and, in ``control``, as its
    ratio. Rows of a trained model under ``fir`` use the finite inverse that was learned with it, if there is
    one. ``files``: see :mod:`specseq.studies.preconditioning.tables.runs`.
    """
    leakage = read_leakage(inputs.get("leakage", []))
    table = wide(read_runs(inputs["runs"], WHOLE))
    naive = seasonal_naive(table)
    plain = unfiltered(table)
    made = []
    for keys, rows in table.groupby(GROUP, sort=True):
        named = dict(zip(GROUP, map(str, keys), strict=True))
        against, baseline = _baseline_of(named, plain, params.get("baselines", {}))
        ours, theirs = matrix(rows, "MASE"), matrix(baseline, "MASE")
        ratio = compared(ours, theirs, diverged=bool(rows["diverged"].any()))
        made.append({**named, **_summary(rows, naive), **{name: ratio[name] for name in RATIO}})
        made[-1]["baseline"] = against
        if named["forecaster"] in TRIVIAL:
            made[-1] |= no_gate()
        else:
            gate = gate_of(rows, baseline, naive)
            made[-1] |= {**gate.columns(), "verdict": gate.verdict(made[-1]["verdict"])}
        made[-1] |= {**_leaked(named, rows, leakage), "files": files(rows)}
    summary = pd.DataFrame(made)
    return summary.assign(control=controls(summary, ["benchmark"]), scale=params["scale"])


def _baseline_of(
    named: dict[str, str], plain: pd.DataFrame, baselines: dict[str, str]
) -> tuple[str, pd.DataFrame]:
    """Baseline of a row, and its name: the trained baseline, or the forecaster without a filter."""
    group = named["group"]
    if named["forecaster"] == "trained":
        group = baselines.get(group, BASELINE)
    own = plain["forecaster"] == named["forecaster"]
    return group, plain[own & (plain["group"] == group) & (plain["benchmark"] == named["benchmark"])]


def _leaked(named: dict[str, str], rows: pd.DataFrame, leakage: pd.DataFrame) -> dict[str, float]:
    """Leaks into the training corpus; NaN for a forecaster trained elsewhere, on unknown data."""
    if named["forecaster"] in ("trained", "moirai2"):
        return leak_columns(leakage, named["benchmark"], rows["task"])
    return NONE if named["forecaster"] in TRIVIAL else UNKNOWN


@np.errstate(divide="ignore", invalid="ignore")  # an error of zero is valid, though it cannot be compared
def _summary(rows: pd.DataFrame, naive: pd.DataFrame) -> dict[str, Any]:
    reference = naive.loc[rows.iloc[0]["benchmark"]]
    relative = rows["MASE"].to_numpy() / reference.loc[rows["task"], "MASE"].to_numpy()
    crps = "CRPS" if rows["benchmark"].iloc[0] == "gift_eval" else "WQL"
    low, high = _seed_interval(rows)
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
    """Median of the known values: a run without a filter has none, nor has a seed that was lost."""
    known = values.dropna().to_numpy(float)
    return float(np.median(known)) if len(known) else float("nan")


def _seed_interval(rows: pd.DataFrame) -> tuple[float, float]:
    """Student's 95 % interval of the geometric mean over the seeds' own."""
    logs = np.log([geometric(own) for _, own in rows.groupby("seed")["MASE"]])
    low, high = student_interval(logs)
    return float(np.exp(low)), float(np.exp(high))


def best(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Does any filter beat the baseline once it is undone? One row per set of candidates and reversal.

    ``set`` is ``all`` or ``matched`` filters around a frozen forecaster, or ``trained``, the configurations
    that were trained with a filter of their own. Candidates that are the identity or that diverged are left
    out (``diverged`` counts the latter), as are configs on which the baseline or some candidate has no error
    above zero (``left_out``). All ratios are of MASE to no filter, or to the trained run's baseline.

    ``filter`` is the best in hindsight with its ``ratio``, 95 % interval ``low``, ``high``, and the standard
    deviations of the ratio's logarithm over seeds and configs, ``seed_sd`` and ``config_sd``. As the least
    of many it looks better than it is, so ``chosen_ratio`` with ``chosen_low`` and ``chosen_high`` gives the
    result of an honest choice: for each config, the filter that is best on all other configs (``chosen``
    lists these filters, each with its number of configs). ``verdict`` is *better* if that interval lies below
    1, *worse* if even the best in hindsight lies above 1, and *undecided* otherwise; it is *not decidable at
    this scale* where ``gate`` says that the baseline, or one of several, is no better than seasonal naive
    (``worth`` times its MASE).
    """
    table = wide(read_runs(inputs["runs"], WHOLE))
    naive = seasonal_naive(table)
    made = [*_around_frozen(table, naive), *_of_trained(table, naive, params.get("baselines", {}))]
    made = [row for row in made if row]
    return pd.DataFrame(made, columns=BEST_COLUMNS[:-1]).assign(scale=params["scale"])


def _around_frozen(table: pd.DataFrame, naive: pd.DataFrame) -> Iterator[dict[str, Any] | None]:
    frozen = table[table["group"].str.startswith(FROZEN)]
    for keys, own in frozen.groupby(["benchmark", "group", "forecaster"]):
        named = dict(zip(("benchmark", "group", "forecaster"), keys, strict=True))
        plain = matrix(unfiltered(own), "MASE")
        trivial = named["forecaster"] in TRIVIAL
        gate = None if trivial else gate_of(own, unfiltered(own), naive)
        for reversal in REVERSALS:
            rows = own[own["reversal"] == reversal]
            candidates = {str(name): (part, plain) for name, part in rows.groupby("filter")}
            matched = {name: pair for name, pair in candidates.items() if name.startswith("matched")}
            for kind, chosen in (("all", candidates), ("matched", matched)):
                named_set = {**named, "reversal": reversal, "set": kind, "files": files(own)}
                yield _best_row(named_set, chosen, gate)


def _of_trained(
    table: pd.DataFrame, naive: pd.DataFrame, baselines: dict[str, str]
) -> Iterator[dict[str, Any] | None]:
    trained = table[table["forecaster"] == "trained"]
    for benchmark, own in trained.groupby("benchmark"):
        plain = {str(group): rows for group, rows in unfiltered(own).groupby("group")}
        candidates, gates = {}, {}
        for group, rows in own[own["reversal"] == "self"].groupby("group"):
            against = baselines.get(str(group), BASELINE)
            if against in plain:
                candidates[str(group)] = (rows, matrix(plain[against], "MASE"))
                gates[against] = gate_of(rows, plain[against], naive)
        named = {"benchmark": benchmark, "group": "preconditioning", "forecaster": "trained"}
        sources = f"runs/preconditioning/*/*/{benchmark}.parquet"
        named |= {"reversal": "self", "set": "trained", "files": sources}
        yield _best_row(named, candidates, worst(gates.values()))


def _best_row(
    named: dict[str, Any], candidates: dict[str, tuple[pd.DataFrame, pd.DataFrame]], gate: Gate | None
) -> dict[str, Any] | None:
    """The row of a set of candidates, each with its scores and its baseline's; None for an empty set."""
    logs, diverged, all_tasks = {}, 0, set[Any]()
    for name, (rows, plain) in candidates.items():
        if (rows["noise_gain"] == 1).all():
            continue
        ours, theirs = paired(matrix(rows, "MASE"), plain)
        all_tasks.update(rows["task"])
        if not np.isfinite(ours.to_numpy()).all():
            diverged += 1
            continue
        above_zero = scorable(ours).all(axis=1)
        if above_zero.any():
            logs[name] = (ours / theirs)[above_zero].apply(np.log)
    if not logs:
        return None
    tasks, seeds = next(iter(logs.values())).axes
    for found in logs.values():
        tasks, seeds = tasks.intersection(found.index), seeds.intersection(found.columns)
    if not len(tasks) or not len(seeds):
        return None
    logs_FTS = np.stack([found.loc[tasks, seeds].to_numpy() for found in logs.values()])
    names = list(logs)
    best = int(logs_FTS.mean(axis=(1, 2)).argmin())
    hindsight = paired_ratio(logs_FTS[best])
    chosen, honest = "", (np.nan, np.nan, np.nan)
    if len(tasks) > 1:
        chosen_T = left_out_choice(logs_FTS)
        counted = pd.Series([names[place] for place in chosen_T]).value_counts()
        chosen = ", ".join(f"{name} ({count})" for name, count in counted.items())
        honest = paired_ratio(logs_FTS[chosen_T, np.arange(len(tasks))])
    verdict = "better" if honest[2] < 1 else "worse" if hindsight[1] > 1 else "undecided"
    return {
        **named,
        **(gate.columns() if gate else no_gate()),
        "filters": len(logs),
        "diverged": diverged,
        "filter": names[best],
        **dict(zip(("ratio", "low", "high"), hindsight, strict=True)),
        "chosen": chosen,
        **dict(zip(("chosen_ratio", "chosen_low", "chosen_high"), honest, strict=True)),
        "verdict": gate.verdict(verdict) if gate else verdict,
        "configs": len(tasks),
        "left_out": len(all_tasks) - len(tasks),
        "seeds": len(seeds),
        "seed_sd": _sd(logs_FTS[best].mean(axis=0)),
        "config_sd": _sd(logs_FTS[best].mean(axis=1)),
    }


def _sd(values: Values) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def left_out_choice(logs_FTS: Values) -> Any:
    """For each task, the candidate with the least mean over all other tasks and all seeds: indices [T]."""
    means_FT = logs_FTS.mean(axis=2)
    return (means_FT.sum(axis=1, keepdims=True) - means_FT).argmin(axis=0)


def steps(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Error by horizon step: each filter and reversal against the same forecaster without a filter.

    One row per (group, forecaster, filter, reversal, horizon step), seeds and configs pooled. ``error`` is
    the geometric mean over configs of the scaled absolute error of the median. ``ratio`` is the geometric
    mean of its ratio to the plain forecast of the same model at the same step, or for a trained model to the
    baseline's; ``low`` and ``high`` are Student's 95 % interval over configs. Configs end at their horizons,
    so later steps cover fewer of them (``configs``). A step that was lost on a config, because the reversal
    diverged there, has no numbers. For an oracle, ``control`` is the ratio of seasonal naive under the same
    oracle; ``reference`` is the ratio of plain seasonal naive to the same plain forecast at that step.
    """
    naive, baselines = _naive_steps(inputs["runs"]), params.get("baselines", {})
    made, runs = [], []
    for part in parts(inputs["runs"], baselines):
        rows = _beside_plain(step_errors(part), baselines)
        if len(rows):
            made.append(_by_step(rows.merge(naive, on=["benchmark", "task", "step"], how="left")))
            runs.append(rows[["benchmark", "group", "run"]].drop_duplicates())
    if not made:
        return pd.DataFrame(columns=[*GROUP, "step", *STEP_COLUMNS, "scale"])
    table = pd.concat(made).sort_values([*GROUP, "step"], ignore_index=True)
    sources = {key: files(own) for key, own in pd.concat(runs).groupby(["benchmark", "group"])}
    table["control"] = controls(table, ["benchmark", "step"])
    table["files"] = [sources[key] for key in zip(table["benchmark"], table["group"], strict=True)]
    return table.assign(scale=params["scale"])


def _naive_steps(paths: list[Path]) -> pd.DataFrame:
    """The error of plain seasonal naive at each (benchmark, task, step), as ``naive``."""
    scored = (pc.field("metric") == STEP_METRIC) & (pc.field("value") > 0) & (pc.field("value") < np.inf)
    plain = (pc.field("forecaster") == CONTROL) & (pc.field("reversal") == "none")
    rows = read_all(paths, scored & plain, ["benchmark", "task", "step", "value"])
    return rows.drop_duplicates(["benchmark", "task", "step"]).rename(columns={"value": "naive"})


def _beside_plain(rows: pd.DataFrame, baselines: dict[str, str]) -> pd.DataFrame:
    """A part's own rows that can be compared, with the error without a filter as ``plain``."""
    against = rows["group"].map(baselines).fillna(BASELINE)
    rows["against"] = against.where(rows["forecaster"] == "trained", rows["group"])
    cell = ["benchmark", "seed", "task", "step", "forecaster"]
    plain = rows.loc[(rows["reversal"] == "none") & np.isfinite(rows["value"]), [*cell, "group", "value"]]
    plain = plain.rename(columns={"group": "against", "value": "plain"})
    return rows[rows["own"]].merge(plain, on=[*cell, "against"])


def _by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Errors and ratios by group and step, seeds and configs pooled."""
    rows["log_ratio"], rows["log_error"] = np.log(rows["value"] / rows["plain"]), np.log(rows["value"])
    rows["log_reference"] = np.log(rows["naive"] / rows["plain"])
    # Seeds first, so that only configs are left to vary.
    logs = ["log_ratio", "log_error", "log_reference"]
    by_task = rows.groupby([*GROUP, "step", "task"], as_index=False)[logs].mean()
    grouped = by_task.groupby([*GROUP, "step"])
    made = grouped["log_ratio"].agg(["mean", "std", "size"])
    reach = stdtrit(made["size"] - 1, 0.975) * made["std"] / np.sqrt(made["size"])
    table = pd.DataFrame(
        {
            "configs": made["size"],
            "error": np.exp(grouped["log_error"].mean()),
            "ratio": np.exp(made["mean"]),
            "low": np.exp(made["mean"] - reach),
            "high": np.exp(made["mean"] + reach),
            "reference": np.exp(grouped["log_reference"].mean()),
        }
    )
    return table.reset_index().replace({name: {np.inf: np.nan} for name in NUMBERS})

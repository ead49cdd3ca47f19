"""What the tables of the preconditioning study share: reading runs, naming them, ratios to a baseline.

Every table has a column ``files``: the result files below ``results/<scale>/`` that a row comes from, with
the seeds in braces that a shell expands.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.filters import Filter
from specseq.report.gates import Gate, ratio_gate
from specseq.report.pairing import matrix
from specseq.report.tidy import group_of
from specseq.tables import read_all, read_parquet

GROUP = ["benchmark", "group", "forecaster", "filter", "reversal"]
BASELINE = "preconditioning/baseline"
FROZEN = "preconditioning/frozen"
CONTROL = "seasonal_naive"
TRIVIAL = (CONTROL, "naive")
REFERENCE = "Seasonal Naive"
STEP_METRIC = "scaled_absolute_error"
# Most rows of a paper-scale evaluation are errors by step, which only some tables need, or other metrics.
WHOLE = (pc.field("step") == -1) & pc.field("metric").isin(["MASE", "CRPS", "WQL", "diverged"])
BY_STEP = pc.field("metric").isin([STEP_METRIC, "diverged"])
OF_FROZEN = pc.starts_with(pc.field("run"), FROZEN)
SIZES = ["spectral_radius", "noise_gain", "absolute_gain", "tap_sum", "tap_norm", "tap_max"]
Values = NDArray[np.float64]


def read_runs(paths: Sequence[Path], where: pc.Expression | None = None) -> pd.DataFrame:
    """Long evaluation results, all or those ``where``, with ``group``, the run without its seed.

    A trained model is named after its run, seed included. To pool the seeds it is renamed: ``trained``, or
    ``moirai2`` where it is the baseline with filters around it.
    """
    rows = read_all(paths, where)
    rows["group"] = group_of(rows["run"])
    own = rows["forecaster"].str.contains(r"seed\d+$").to_numpy(bool)
    frozen = rows["group"].str.startswith(FROZEN).to_numpy(bool)
    rows.loc[own, "forecaster"] = np.where(frozen[own], "moirai2", "trained")
    lost = _lost_variants(rows)
    return rows if lost.empty else pd.concat([rows, lost], ignore_index=True)


def _lost_variants(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows ``diverged`` for seeds whose training diverged, under each reversal that the other seeds have.

    Such a seed is scored only as a plain forecast. Without these rows, its group under a reversal would
    consist of the remaining seeds.
    """
    own = rows[rows["forecaster"] == "trained"]
    reversed_ = own[own["reversal"] != "none"]
    lost = own[(own["metric"] == "diverged") & ~own["run"].isin(reversed_["run"])]
    variants = reversed_[GROUP].drop_duplicates()
    same = ["benchmark", "group", "forecaster"]
    return lost.drop(columns=["filter", "reversal"]).merge(variants, on=same)[list(rows.columns)]


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per (group, forecaster, filter, reversal, seed, task) with a column per metric.

    ``diverged`` is true of what was lost: the reversal diverged, or training did.
    """
    keys = [*GROUP, "seed", "task"]
    whole = rows[rows["step"] == -1]
    metrics = whole.pivot(index=keys, columns="metric", values="value")
    metrics["diverged"] = metrics.get("diverged", pd.Series(np.nan, metrics.index)).notna()
    first = whole.groupby(keys)[["spectral_radius", "noise_gain", "run"]].first()
    return metrics.join(first).reset_index()


def files(rows: pd.DataFrame) -> str:
    """The evaluations that rows of one group and benchmark come from, see the module's docstring."""
    runs, benchmark = sorted(set(rows["run"])), rows["benchmark"].iloc[0]
    if len(runs) == 1:
        return f"runs/{runs[0]}/{benchmark}.parquet"
    parts = [re.fullmatch(r"(.*seed)(\d+)", str(run)) for run in runs]
    seeds = sorted(int(part[2]) for part in parts if part)
    stem = next(part[1] for part in parts if part)
    return f"runs/{stem}{{{','.join(map(str, seeds))}}}/{benchmark}.parquet"


def controls(rows: pd.DataFrame, keys: Sequence[str]) -> Values:
    """For each oracle row, the ratio of seasonal naive under the same oracle; NaN in all other rows.

    A row and its control agree in group, filter and ``keys``.

    Raises:
        InputError: an oracle row has no control.
    """
    shared = ["group", "filter", *keys]
    oracle = (rows["reversal"] == "oracle").to_numpy()
    own = rows[oracle & (rows["forecaster"] == CONTROL).to_numpy()].set_index(shared)["ratio"]
    wanted = pd.MultiIndex.from_frame(rows.loc[oracle, shared])
    if not (known := wanted.isin(own.index)).all():
        group, filter = wanted[~known][0][:2]
        raise InputError(
            "preconditioning tables",
            f"{group}: oracle rows of {filter} without seasonal naive under the same oracle",
            "evaluate the run again; the control comes along by itself",
        )
    found = np.full(len(rows), np.nan)
    found[oracle] = own.reindex(wanted).to_numpy(float)
    return found


def known_filters(
    designed: Sequence[Path], matched: Sequence[Path]
) -> dict[tuple[str, str], tuple[Filter, dict[str, float]]]:
    """Filters and their :data:`SIZES` by (group, name); the group is empty for filters that all groups share.

    Matched filters differ between the seeds of a group; the first seed's stands for all.
    """
    found: dict[tuple[str, str], tuple[Filter, dict[str, float]]] = {}
    for path in [*designed, *matched]:
        group = "" if path in designed else _group(path)
        for row in records(read_parquet(path)):
            filter = Filter(row["family"], tuple(row["taps"]), int(row["stride"]), name=row["name"])
            found.setdefault((group, row["name"]), (filter, {size: row[size] for size in SIZES}))
    return found


def _group(path: Path) -> str:
    """The group of a file in a run's folder, ``.../<study>/<sweep>/<point>/<file>``."""
    return str(group_of(pd.Series(["/".join(path.parts[-4:-1])])).iloc[0])


def autocovariances(paths: Sequence[Path]) -> dict[tuple[str, str, str], Values]:
    """Autocovariances of a forecaster's errors by (benchmark, group, task), normalised, seeds averaged."""
    if not paths:
        return {}
    rows = read_all(paths, pc.field("metric") == "residual_autocovariance")
    rows = rows.assign(group=group_of(rows["run"]))
    found: dict[tuple[str, str, str], Values] = {}
    for (benchmark, group, task), own in rows.groupby(["benchmark", "group", "task"]):
        lags = own.pivot(index="seed", columns="step", values="value").to_numpy()
        found[str(benchmark), str(group), str(task)] = (lags / lags[:, :1]).mean(axis=0)
    return found


def horizons(paths: Sequence[Path]) -> dict[tuple[str, str], int]:
    """Steps of each (benchmark, task) that frozen forecasters were scored on."""
    found: dict[tuple[str, str], int] = {}
    for path in paths:
        rows = read_parquet(path, ["benchmark", "task", "step"], OF_FROZEN)
        last = rows.groupby(["benchmark", "task"])["step"].max()
        for key, step in zip(last.index, last, strict=True):
            named = str(key[0]), str(key[1])
            found[named] = max(int(step), found.get(named, -1))
    return found


def parts(
    paths: Sequence[Path], baselines: Mapping[str, str] = MappingProxyType({}), start: str = ""
) -> Iterator[pd.DataFrame]:
    """Rows by step, one (benchmark, group) at a time; for frozen forecasters, one filter at a time.

    All of them at once would not fit into memory. Each part also holds the plain forecasts of the group and
    of its baseline (by default :data:`BASELINE`), with ``own`` false where they do not belong to the part.
    Groups that do not begin with ``start`` are left out.
    """
    held = pd.concat([_variants(path) for path in paths], ignore_index=True)
    for (benchmark, group), own in held[held["group"].str.startswith(start)].groupby(["benchmark", "group"]):
        frozen = str(group).startswith(FROZEN)
        against = group if frozen else baselines.get(str(group), BASELINE)
        beside = held[(held["benchmark"] == benchmark) & held["group"].isin([group, against])]
        of_group = pc.field("run").isin(list(own["run"].unique()))
        for name in own["filter"].unique() if frozen else [None]:
            of_part = of_group if name is None else of_group & (pc.field("filter") == name)
            wanted = (pc.field("benchmark") == benchmark) & (of_part | (pc.field("reversal") == "none"))
            rows = read_runs([Path(path) for path in beside["path"].unique()], BY_STEP & wanted)
            rows["own"] = (rows["group"] == group) & (name is None or rows["filter"] == name)
            yield rows


def _variants(path: Path) -> pd.DataFrame:
    """The runs, benchmarks and filters of a file, with its ``path``."""
    rows = read_parquet(path, ["run", "benchmark", "filter"]).drop_duplicates(ignore_index=True)
    return rows.assign(group=group_of(rows["run"]), path=str(path))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def step_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """The errors above zero by horizon step in long rows; infinite at every step of a task that was lost.

    A variant that diverged on a task has no errors by step there. If the task were left out, the variant's
    average would be over the other tasks alone.
    """
    steps = rows[rows["metric"] == STEP_METRIC]
    reached = steps[["benchmark", "task", "step"]].drop_duplicates()
    lost = rows[rows["metric"] == "diverged"].drop(columns="step").merge(reached, on=["benchmark", "task"])
    steps = steps[steps["value"] > 0]
    if lost.empty:
        return steps.reset_index(drop=True)
    lost = lost.assign(metric=STEP_METRIC, value=np.inf)[list(rows.columns)]
    return pd.concat([steps, lost], ignore_index=True)


def unfiltered(rows: pd.DataFrame) -> pd.DataFrame:
    """The plain forecasts among the rows."""
    return rows[rows["reversal"] == "none"]


def seasonal_naive(table: pd.DataFrame) -> pd.DataFrame:
    """The scores of plain seasonal naive by benchmark and task, from a table of :func:`wide`.

    Raises:
        InputError: it is not among the runs.
    """
    plain = unfiltered(table)
    plain = plain[plain["forecaster"] == CONTROL]
    if plain.empty:
        raise InputError(
            "preconditioning table", "no plain seasonal naive among the runs", "add it to a sweep"
        )
    return plain.drop_duplicates(["benchmark", "task"]).set_index(["benchmark", "task"])


def gate_of(rows: pd.DataFrame, baseline: pd.DataFrame, naive: pd.DataFrame) -> Gate:
    """Gate of a baseline: its plain forecasts against seasonal naive.

    It is on the configs and seeds that ``rows``, of one benchmark, share with them.
    """
    errors = matrix(baseline, "MASE")
    tasks, seeds = (
        axis.intersection(pd.Index(rows[name]))
        for axis, name in zip(errors.axes, ("task", "seed"), strict=True)
    )
    return ratio_gate(
        "MASE", REFERENCE, errors.loc[tasks, seeds], naive.loc[rows["benchmark"].iloc[0], "MASE"]
    )


def percent(value: Any) -> Any:
    """A ratio as a change in per cent."""
    return 100 * (value - 1)


def taps_text(taps: Sequence[float], digits: int = 4) -> str:
    """Taps as tables print them."""
    return "[" + ", ".join(f"{tap:.{digits}g}" for tap in taps) + "]"

"""Tables of the zeta study: all results, models beside reference predictors, and the worth of data."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from specseq.report import tidy
from specseq.report.gates import difference_gate, no_gate
from specseq.scoring.comparison import student_interval
from specseq.settings import read
from specseq.spacings.config import SpacingModelConfig
from specseq.tables import read_parquet, read_provenance
from specseq.tables.joint import fitted
from specseq.tables.long import kinds_in_pandas, pandas_types

SPECTRAL = ("zeta/size/", "zeta/beyond/spectral")
MEANS = ("nll", "nll_long", "mae", "crps", "pit_mean", "pit_std", "predictive_entropy")
STEPS = (10, 100)
ORDERS = (1, 32, 64, 127)
ROW = 256  # spacings in a row of the note, whose NLL is over the contexts 1 to 255
REFERENCES = "zeta/references/"
OF_ROLLOUTS = pc.field("benchmark") == "rollout"
NOT_MODELS = ("zeta/references/data", "zeta/references/ar")  # nothing that predicts all of a window


def of_runs(*starts: str) -> pc.Expression:
    """Rows of runs whose ids begin in one of these ways."""
    return pc.match_substring_regex(pc.field("run"), f"^(?:{'|'.join(map(re.escape, starts))})")


def long(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pa.RecordBatchReader:
    """All results of the zeta study as they are (:mod:`specseq.report.tidy`).

    Besides its columns there is ``length``: spacings per window of the run's model, missing for runs without
    a model.
    """
    results = tidy.make(inputs, params)
    records = [read_provenance(path) for paths in inputs.values() for path in paths]
    lengths = {
        record["run"]: read(SpacingModelConfig, record["parameters"]["model"], "model").length
        for record in records
        if "model" in record["parameters"]
    }
    runs, values = pa.array(list(lengths), pa.string()), pa.array(list(lengths.values()), pa.int64())
    schema = results.schema.append(pa.field("length", values.type))
    schema = schema.with_metadata(pandas_types({**kinds_in_pandas(schema), "length": "Int64"}))
    batches = (
        batch.append_column("length", values.take(pc.index_in(batch["run"], runs))) for batch in results
    )
    return fitted(batches, schema)


def summary(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Every model of the zeta study beside the reference predictors.

    One row per run group and test set, seeds pooled: ``seeds`` counts those that were scored, ``diverged``
    those whose training was ended early and which are not scored. ``length`` is the model's window in
    spacings, ``windows`` the number of test windows per seed. ``nll``, ``mae``, ``crps`` one step ahead over
    all positions of a window, ``nll_long`` with at least half of it known, ``err_10`` and ``err_100`` of mean
    rollouts from ``context``, the longest there is: each is the mean over seeds, and not comparable between
    models of different ``length``. ``nll_low`` and ``nll_high`` bound the NLL over seeds and test windows:
    the half-widths of Student's interval over seeds and of the block bootstrap of the test band, added in
    quadrature; the latter alone for one seed. ``leak`` is NLL without the future less NLL with it at the
    longest context. ``causality_violation`` is the largest change of an output by a later input, in float64;
    where it is zero, so is the leak, and any difference between the two float32 scores is rounding.

    ``wigner``, ``ar1``, ``ar32``, ``ar64`` and ``ar127`` are the NLL of these references on the same set, the
    autoregressions over the contexts of the model's window, 1 to ``length`` - 1, of lower order where fewer
    spacings are known. Rows of autoregressions have instead ``nll_row``, that NLL over the contexts of the
    note's rows of 256 spacings, 1 to 255; ``nll_row_low`` and ``nll_row_high`` are as far from it as the ends
    of the block bootstrap are from ``nll``, which is at full order. ``worth`` is the NLL of the model's
    ``baseline`` there less that of AR(1), the ``reference``, with its 95 % interval ``worth_low`` to
    ``worth_high``, of the values ``baseline_value`` and ``reference_value``. ``gate`` is ``decidable`` where
    the baseline is better; otherwise it names both numbers, and comparisons with that baseline say nothing
    about trained models.
    """
    results = read_parquet(inputs["long"][0], where=OF_ROLLOUTS | of_runs(REFERENCES))
    scored = results[(results["benchmark"] == "rollout") & ~results["group"].isin(NOT_MODELS)]
    rows = [
        {"group": group, "set": str(task).split("/")[0], **_summary(runs), "scale": params["scale"]}
        for (group, task), runs in scored.groupby(["group", "task"], sort=False)
    ]
    # Whole numbers that may be missing: a reference has no window, a run that diverged is not rolled out.
    table = pd.DataFrame(rows).astype(dict.fromkeys(("length", "windows", "context"), "Int64"))
    references = pd.DataFrame([_references(results, row) for _, row in table.iterrows()], index=table.index)
    as_noted = pd.DataFrame([_over_a_row(results, row) for _, row in table.iterrows()], index=table.index)
    return _gated(table.join(references).join(as_noted))


def _over_a_row(results: pd.DataFrame, row: "pd.Series[Any]") -> dict[str, float]:
    """A reference's NLL over the contexts of a row of the note with its interval; missing for other rows."""
    order = str(row["group"]).removeprefix("zeta/references/ar")
    nll = (
        autoregression_nll(results, f"{row['set']}/test", int(order), ROW)
        if order.isdigit()
        else float("nan")
    )
    ends = {f"nll_row_{end}": nll + row[f"nll_{end}"] - row["nll"] for end in ("low", "high")}
    return {"nll_row": nll, **ends}


def _references(results: pd.DataFrame, row: "pd.Series[Any]") -> dict[str, float]:
    """NLL of the reference predictors at a row's set and contexts; missing for rows of references."""
    if pd.isna(row["length"]):
        return dict.fromkeys(("wigner", *(f"ar{order}" for order in ORDERS)), float("nan"))
    task = f"{row['set']}/test"
    wigner = results[(results["run"] == "zeta/references/wigner") & (results["task"] == task)]
    return {
        "wigner": _mean(wigner, "nll"),
        **{f"ar{p}": autoregression_nll(results, task, p, int(row["length"])) for p in ORDERS},
    }


def autoregression_nll(results: pd.DataFrame, task: str, order: int, length: int) -> float:
    """NLL of AR(``order``) over the contexts 1 to ``length`` - 1 of a window, in nats per spacing.

    With fewer than ``order`` spacings known it is of that many; NaN where the results do not hold it.
    """
    rows = results[(results["run"] == "zeta/references/ar") & (results["task"] == task)]
    by_context = rows.loc[rows["metric"] == "nll_at"].set_index("context")["value"]
    orders = np.minimum(np.arange(1, length), order)
    return float(by_context.reindex(orders).mean(skipna=False)) if len(by_context) else float("nan")


def _gated(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each model's ``baseline`` and the gate of comparisons with it."""
    scored = table.set_index(["group", "set"])[["nll", "nll_low", "nll_high"]]
    rows = [_gate_columns(row, scored) for _, row in table.iterrows()]
    columns = pd.DataFrame(rows, index=table.index)
    return table.join(columns.astype({name: object for name in ("baseline", "reference", "gate")}))


def _gate_columns(row: "pd.Series[Any]", scored: pd.DataFrame) -> dict[str, Any]:
    baseline = "zeta/leak/causal" if row["group"].startswith("zeta/leak/") else "zeta/models/baseline"
    key = (baseline + ("" if row["set"] == "real" else f"_{row['set']}"), row["set"])
    if pd.isna(row["length"]) or key not in scored.index or pd.isna(row["ar1"]):
        return {"baseline": None, **no_gate()}
    nll, low, high = scored.loc[key].astype(float)
    gate = difference_gate("NLL", "AR(1)", np.array([nll]), np.array([row["ar1"]]), (low, high))
    return {"baseline": key[0], **gate.columns()}


def _summary(runs: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {**_seeds(runs), "length": runs["length"].max(), "windows": _mean(runs, "windows")}
    row |= {metric: _mean(runs, metric) for metric in MEANS}
    row["nll_low"], row["nll_high"] = _interval(runs)
    errors = runs[runs["metric"] == "err_mean"]
    row["context"] = errors["context"].max()
    errors = errors[errors["context"] == row["context"]]
    row |= {f"err_{step}": float(errors.loc[errors["step"] == step, "value"].mean()) for step in STEPS}
    violation = float(runs.loc[runs["metric"] == "causality_violation", "value"].max())
    return {**row, "leak": 0.0 if violation == 0 else _leak(runs), "causality_violation": violation}


def _seeds(runs: pd.DataFrame) -> dict[str, int]:
    """Numbers of seeds that were scored and that diverged."""
    # A constant predictor has an error, but no likelihood.
    counted = {"seeds": ["nll", "mae"], "diverged": ["diverged"]}
    return {
        name: runs.loc[runs["metric"].isin(metrics), "seed"].nunique() for name, metrics in counted.items()
    }


def _mean(runs: pd.DataFrame, metric: str) -> float:
    return float(runs.loc[runs["metric"] == metric, "value"].mean())


def _interval(runs: pd.DataFrame) -> tuple[float, float]:
    """Interval of the NLL over windows, and over seeds where there are several."""
    values = runs.loc[runs["metric"] == "nll"].groupby("seed")["value"].mean().to_numpy()
    low, high = _mean(runs, "nll_low"), _mean(runs, "nll_high")
    if len(values) < 2:
        return low, high
    middle, (least, most) = float(values.mean()), student_interval(values)
    if np.isnan(high - low):  # references have no windows of their own
        return least, most
    return middle - np.hypot(middle - least, middle - low), middle + np.hypot(most - middle, high - middle)


def _leak(runs: pd.DataFrame) -> float:
    seeing, truncated = (
        runs[runs["metric"] == name].groupby("context")["value"].mean()
        for name in ("nll_at", "nll_truncated")
    )
    shared = seeing.index.intersection(truncated.index)
    return float(truncated[shared[-1]] - seeing[shared[-1]]) if len(shared) else float("nan")


def size(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """How much more training data improve the spectral model.

    One row per run group of the sweep ``size`` and of the spectral runs of ``beyond``, seeds pooled:

    - ``seeds``: how many were scored; ``diverged``: how many diverged and were not scored;
    - ``training_spacings``: distinct spacings to train on; ``spacings_read``: spacings read in training;
    - ``nll``, ``mae`` of the test band over all positions, ``nll_long``, ``mae_long`` with at least half a
      window known, ``err_10`` and ``err_100`` of mean rollouts from the longest context: means over seeds;
    - ``<metric>_low`` and ``<metric>_high``: the least and the greatest of the seeds, or the block-bootstrap
      interval of a single one.
    """
    scored = read_parquet(inputs["long"][0], where=OF_ROLLOUTS & of_runs(*SPECTRAL))
    rows = [
        {"group": group, "set": str(task).split("/")[0], **_worth(runs), "scale": params["scale"]}
        for (group, task), runs in scored.groupby(["group", "task"], sort=False)
    ]
    # Without such runs the table has no rows, but its columns.
    table = pd.DataFrame(rows, columns=["group", "set", *_worth(scored.head(0)), "scale"])
    # Whole numbers that may be missing: a group may have no run that was scored.
    whole = table.astype(dict.fromkeys(("training_spacings", "spacings_read"), "Int64"))
    return whole.sort_values(["set", "training_spacings"], ignore_index=True)


def _worth(runs: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = _seeds(runs)
    for count in ("training_spacings", "spacings_read"):
        row[count] = runs.loc[runs["metric"] == count, "value"].max()
    errors = runs[runs["metric"].str.startswith("err_mean")]
    errors = errors[errors["context"] == errors["context"].max()]
    for step in STEPS:
        at = errors[errors["step"] == step]
        row |= _band(at.assign(metric=at["metric"].str.replace("err_mean", f"err_{step}")), f"err_{step}")
    for metric in ("nll", "nll_long", "mae", "mae_long"):
        row |= _band(runs, metric)
    return row


def _band(runs: pd.DataFrame, metric: str) -> dict[str, float]:
    values, low, high = (
        runs.loc[runs["metric"] == name, "value"] for name in (metric, f"{metric}_low", f"{metric}_high")
    )
    if len(values) > 1:
        low, high = values, values
    return {metric: values.mean(), f"{metric}_low": low.min(), f"{metric}_high": high.max()}

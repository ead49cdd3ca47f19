"""Tables of the STU study: forecasts beside attention, and what the models cost, lose and leak."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from specseq.report.gates import Gate, ratio_gate
from specseq.report.leakage import leak_columns, read_leakage
from specseq.report.pairing import compared, geometric, matrix
from specseq.scoring.comparison import student_interval
from specseq.sweeps import without_seed
from specseq.tables import read_all, read_parquet, read_provenance

CRPS = {"gift_eval": "CRPS", "fev": "WQL"}
METRICS = {"gift_eval": ("MASE", "CRPS", "MSE", "MAE"), "fev": ("MASE", "WQL", "SQL")}
COMPARED = (
    *("ratio", "low", "high", "seed_sd", "config_sd"),
    *("wins", "losses", "wilcoxon_p", "verdict", "paired_seeds"),
)
COSTS = ("step_seconds", "mixing_seconds")
MEASURED = ("parameters", "standardised_nll", *COSTS, "steps_per_second")
LEAKS = ("packing_error", "alone_error", "causality_error", "causality_error_circular")
ATTENTION = "stu/layout/attention"
WHOLE = pc.field("step") == -1


def summary(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Forecasts of the STU study's models beside attention's: one row per (group, benchmark, term), seeds
    pooled.

    ``mase`` and ``crps`` are plain geometric means over configs and seeds. ``ratio`` compares MASE with that
    of ``baseline``, which was trained alike with attention alone, paired over configs and seeds; ``low`` and
    ``high`` are its 95 % interval over both, ``seed_sd`` and ``config_sd`` the standard deviations of its
    logarithm over seeds and over configs, ``wins`` and ``losses`` count configs, ``wilcoxon_p`` tests over
    them; where a config was lost in some seed, the verdict is ``diverged``. ``worth`` is the MASE of
    ``baseline`` over that of seasonal naive (``reference``) on the same configs and seeds, with its 95 %
    interval ``worth_low`` to ``worth_high``; the two values are ``baseline_value`` and ``reference_value``.
    If it is above 1, ``gate`` says so and the verdict is *not decidable at this scale*; otherwise ``gate`` is
    ``decidable``. The term ``all`` pools the terms. ``leaked`` counts configs with a test point in the
    training corpus, ``leaked_share`` is the share of all test points that lie there, and ``history`` counts
    configs whose earlier parts the corpus holds, which is not a leak; ``parameter_ratio`` says whether the
    models are matched.
    """
    long, leakage = inputs["long"][0], read_leakage(inputs.get("leakage", []))
    naive = _seasonal_naive(inputs.get("naive", []))
    rows = read_parquet(long, where=pc.field("benchmark").isin(list(CRPS)) & WHOLE)
    several = rows["benchmark"].eq("gift_eval") & rows["task"].str.contains("/")
    rows["term"] = rows["task"].str.rsplit("/", n=1).str[-1].where(several, "all")
    made = list(_rows(rows, params.get("baselines", {}), leakage, naive))
    sizes = read_parquet(long, where=pc.field("metric") == "parameters").groupby("group")["value"].mean()
    for row in made:
        own, other = (sizes.get(row[name], np.nan) for name in ("group", "baseline"))
        row |= {"parameters": own, "parameter_ratio": own / other}
    return pd.DataFrame(made).assign(scale=params["scale"])


def metrics(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Forecasts beside attention's by metric: one row per (group, benchmark, metric), terms and seeds pooled.

    ``value`` is the plain geometric mean over configs and seeds. ``ratio`` compares it with that of
    ``baseline``, paired over configs and seeds, with its 95 % interval over both, ``low`` to ``high``;
    ``wins`` and ``losses`` count configs. The ``gate``, by MASE, and the verdicts are those of the table
    ``stu``.
    """
    naive = _seasonal_naive(inputs.get("naive", []))
    baselines, made = params.get("baselines", {}), []
    for benchmark, names in METRICS.items():
        scored = read_parquet(inputs["long"][0], where=(pc.field("benchmark") == benchmark) & WHOLE)
        mase = scored[scored["metric"] == "MASE"]
        for name in names:
            rows = scored[scored["metric"] == name]
            for group in rows["group"].unique():
                against = baselines.get(group, ATTENTION)
                found, gate = _beside(rows, mase, group, against, naive)
                own = rows[rows["group"] == group]
                made.append(
                    {
                        "group": group,
                        "baseline": against,
                        "benchmark": benchmark,
                        "metric": name,
                        "configs": own["task"].nunique(),
                        "seeds": own["seed"].nunique(),
                        "value": geometric(own["value"]),
                        **{key: found[key] for key in ("ratio", "low", "high", "wins", "losses", "verdict")},
                        "gate": gate.text,
                    }
                )
    return pd.DataFrame(made).assign(scale=params["scale"])


def leakage(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """How much of each config or task is in the training corpus: :func:`specseq.scoring.leakage.leakage`.

    Adds the column ``leaked_share``, the leaked share of the test points.
    """
    measured = read_leakage(inputs["leakage"]).reset_index()
    share = measured["leaked_points"] / measured["points"]
    return measured.assign(leaked_share=share, scale=params["scale"])


def _seasonal_naive(paths: list[Path]) -> "pd.Series[float]":
    """MASE of plain seasonal naive by benchmark and task; empty where no run scores it."""
    if not paths:
        nothing = pd.MultiIndex.from_arrays([[], []], names=["benchmark", "task"])
        return pd.Series(dtype=float, index=nothing)
    of_naive = (pc.field("forecaster") == "seasonal_naive") & (pc.field("reversal") == "none")
    plain = read_all(paths, of_naive & (pc.field("metric") == "MASE") & WHOLE)
    return plain.drop_duplicates(["benchmark", "task"]).set_index(["benchmark", "task"])["value"]


def _rows(
    rows: pd.DataFrame, baselines: dict[str, str], leakage: pd.DataFrame, naive: "pd.Series[float]"
) -> Iterator[dict[str, Any]]:
    for benchmark, own in rows.groupby("benchmark", sort=False):
        terms = list(own["term"].unique())
        for term in ["all", *terms] if len(terms) > 1 else terms:
            chosen = own if term == "all" else own[own["term"] == term]
            mase = chosen[chosen["metric"] == "MASE"]
            crps = chosen[chosen["metric"] == CRPS[str(benchmark)]]
            for group in mase["group"].unique():
                against = baselines.get(group, ATTENTION)
                found, gate = _beside(mase, mase, group, against, naive)
                scored = mase[mase["group"] == group]
                yield {
                    "group": group,
                    "baseline": against,
                    "benchmark": benchmark,
                    "term": term,
                    "configs": scored["task"].nunique(),
                    **leak_columns(leakage, str(benchmark), scored["task"]),
                    "seeds": scored["seed"].nunique(),
                    "mase": geometric(scored["value"]),
                    "crps": geometric(crps.loc[crps["group"] == group, "value"]),
                    **found,
                    **gate.columns(),
                }


def _beside(
    rows: pd.DataFrame, mase: pd.DataFrame, group: str, baseline: str, naive: "pd.Series[float]"
) -> tuple[dict[str, Any], Gate]:
    """A group's errors beside its baseline's, as :data:`COMPARED`, and how the baseline's MASE compares with
    that of seasonal naive on the configs and seeds that both models have.
    """

    def errors(rows: pd.DataFrame, group: str) -> pd.DataFrame:
        return matrix(rows[rows["group"] == group], "value")

    ours, theirs = errors(mase, group), errors(mase, baseline)
    tasks, seeds = (a.intersection(b) for a, b in zip(ours.axes, theirs.axes, strict=True))
    trivial = naive[naive.index.get_level_values(0) == rows["benchmark"].iloc[0]].droplevel(0)
    gate = ratio_gate("MASE", "Seasonal Naive", theirs.loc[tasks, seeds], trivial)
    found = compared(errors(rows, group), errors(rows, baseline))
    verdict = "baseline" if group == baseline else gate.verdict(found["verdict"])
    return {name: found[name] for name in COMPARED} | {"verdict": verdict}, gate


def models(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """What the STU study's models cost, lose and leak: one row per group, seeds pooled.

    All of it is measured on the same batches (stage ``measure``). Columns:

    - ``parameters`` and ``parameter_ratio`` to ``baseline``, which was trained alike with attention alone;
    - ``nll``: the standardised negative log-likelihood after training; ``nll_difference`` from the
      baseline's, the mean over paired seeds, with Student's 95 % interval ``nll_low`` to ``nll_high`` (NaN
      for one seed);
    - ``step_ratio``, ``mixing_ratio``: CPU seconds of a training step, and of its token mixing, over the
      baseline's, mean over paired seeds; ``steps_per_second``;
    - ``device`` of the training, and ``trained_per_second``: its steps per second of wall time, with its
      evaluations and checkpoints; ``trained_ratio`` to the baseline's, mean over paired seeds, where both ran
      on one kind of accelerator: on a processor, runs may slow each other down;
    - ``packing_error``, ``alone_error``, ``causality_error``, ``causality_error_circular``: the largest of
      all seeds;
    - ``diverged``: runs that were ended early.
    """
    speeds = _speeds(inputs.get("training", []))
    whole = read_parquet(inputs["long"][0], where=(pc.field("benchmark") == "measurement") & WHOLE)
    wide = whole.pivot(index=["group", "seed"], columns="metric", values="value")
    wide = wide.reindex(columns=[*MEASURED, *LEAKS, "diverged"])
    rows = []
    for group in whole["group"].unique():
        baseline = params.get("baselines", {}).get(group, ATTENTION)
        rows.append({**_model_row(wide, group, baseline), **_speed_row(speeds, group, baseline)})
    return pd.DataFrame(rows).assign(scale=params["scale"])


def _speeds(paths: list[Path]) -> pd.DataFrame:
    """Device and steps per second of each training, by group and seed."""
    rows = []
    for record in map(read_provenance, paths):
        seconds = float(record.get("costs", {}).get("seconds_per_step", float("nan")))
        run = {"group": without_seed(record["run"]), "seed": record["seed"]}
        rows.append({**run, "device": record["device"], "trained_per_second": 1 / seconds})
    return pd.DataFrame(rows, columns=["group", "seed", "device", "trained_per_second"]).set_index("seed")


def _speed_row(speeds: pd.DataFrame, group: str, baseline: str) -> dict[str, Any]:
    own, other = (speeds[speeds["group"] == name] for name in (group, baseline))
    devices = sorted(set(own["device"]) | set(other["device"]))
    ratio = (own["trained_per_second"] / other["trained_per_second"]).mean()
    # Ratios of runs on unlike devices, or beside others on one processor, say nothing about the models.
    alike = len(devices) == 1 and devices[0] != "cpu"
    return {
        "device": ", ".join(sorted(set(own["device"]))),
        "trained_per_second": own["trained_per_second"].mean(),
        "trained_ratio": float(ratio) if alike else float("nan"),
    }


def _model_row(wide: pd.DataFrame, group: str, baseline: str) -> dict[str, Any]:
    own, other = (
        wide[wide.index.get_level_values("group") == name].droplevel("group") for name in (group, baseline)
    )
    seeds = own.index.intersection(other.index)
    ours, theirs = own.loc[seeds], other.loc[seeds]
    difference = (ours["standardised_nll"] - theirs["standardised_nll"]).dropna()
    low, high = student_interval(difference.to_numpy())
    ratios = {name: float((ours[name] / theirs[name]).mean()) for name in ("parameters", *COSTS)}
    return {
        "group": group,
        "baseline": baseline,
        "seeds": len(own),
        "parameters": own["parameters"].mean(),
        "parameter_ratio": ratios["parameters"],
        "nll": own["standardised_nll"].mean(),
        "nll_difference": difference.mean(),
        "nll_low": low,
        "nll_high": high,
        "step_ratio": ratios["step_seconds"],
        "mixing_ratio": ratios["mixing_seconds"],
        "steps_per_second": own["steps_per_second"].mean(),
        **{name: float(own[name].max()) for name in LEAKS},
        "diverged": int(own["diverged"].sum()),
    }

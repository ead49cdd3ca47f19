"""The tables that the note prints, row by row, and the taps behind them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from specseq.filters import Filter, design, diagnose
from specseq.report.tidy import group_of
from specseq.studies.preconditioning.tables.runs import FROZEN, known_filters, percent, taps_text
from specseq.tables import read_parquet, read_provenance

REVERSALS = ("oracle", "self", "plug_in", "hybrid", "fir")
TRAINING_COLUMNS = (
    *("benchmark", "group", "taps", "norm", "mase_raw", "mase_normalised"),
    *("percent", "low", "high", "seed_sd", "verdict", "baseline", "worth", "worth_low", "worth_high", "gate"),
    *("fir_percent", "plug_in_percent", "hybrid_percent", "oracle_percent", "control_percent"),
    *("basis", "configs", "seeds", "files"),
)
GATE = ("worth", "worth_low", "worth_high", "gate")
SIZES = ("tap_sum", "noise_gain", "absolute_gain", "spectral_radius")
TAP_COLUMNS = [
    *("group", "seed", "stride", "degree", "tap", "designed", "first", "value", "steps"),
    *("tap_norm", "tap_sum", "noise_gain", "absolute_gain", "spectral_radius", "files", "scale"),
]


def reversal(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """The note's tables of section 1: a frozen forecaster behind each filter, under each reversal.

    One row per (benchmark, forecaster, filter). ``row`` is the note's name of the row and ``source`` says
    whether its taps are those the note prints or those that minimise its objective; both are empty for
    filters that the note does not have. ``*_mase`` are plain (``basis``: raw) geometric means over configs
    and seeds, ``*_percent`` their change against the same forecaster without a filter, with 95 % intervals;
    ``control_percent`` is what seasonal naive "gains" under the same oracle, and ``gap`` self minus oracle in
    points. Percentages cover the ``configs`` that can be scored, and are NaN for a reversal that diverged on
    one of them. Taps of a matched filter are those for the first seed. ``worth`` is the forecaster's MASE
    without a filter over that of seasonal naive; if it is above 1, ``gate`` says that no change is decidable.
    """
    summary = read_parquet(inputs["summary"][0])
    frozen = summary[summary["group"].str.startswith(FROZEN)]
    filters = known_filters(inputs["filters"], inputs.get("matched", []))
    lams = read_parquet(inputs["filters"][0]).set_index("name")["lam"]
    scored = frozen.loc[frozen["reversal"] == "self", ["group", "forecaster"]].drop_duplicates()
    frozen = frozen.merge(scored, on=["group", "forecaster"])
    made = []
    for (benchmark, group, forecaster), own in frozen.groupby(["benchmark", "group", "forecaster"]):
        plain = own[own["reversal"] == "none"].iloc[0]
        for name, rows in own[own["reversal"] != "none"].groupby("filter", sort=False):
            row: dict[str, Any] = {"benchmark": benchmark, "group": group, "forecaster": forecaster}
            row |= {"filter": name, **_note_row(str(name))}
            known = filters.get((str(group), str(name))) or filters.get(("", str(name)))
            if known is not None:
                filter, sizes = known
                row |= {"degree": filter.degree, "lam": lams.get(name, float("nan"))}
                row |= {"coefficients": taps_text(filter.taps)}
                row |= {"largest": sizes["tap_max"], "absolute_gain": sizes["absolute_gain"]}
            row |= {"baseline_mase": plain["mase_raw"]}
            for scored_row in rows.to_dict("records"):
                if scored_row["reversal"] in REVERSALS:
                    row |= _reversal_scores(scored_row)
                if scored_row["reversal"] == "oracle":
                    row["control_percent"] = percent(scored_row["control"])
            row["gap"] = row.get("self_percent", float("nan")) - row.get("oracle_percent", float("nan"))
            row |= {"basis": "raw", "configs": plain["paired_configs"], "seeds": plain["seeds"]}
            row |= {name: plain[name] for name in GATE}
            made.append({**row, "files": plain["files"]})
    return pd.DataFrame(made).assign(scale=params["scale"])


def _reversal_scores(row: dict[Any, Any]) -> dict[str, float]:
    mode = row["reversal"]
    return {f"{mode}_mase": row["mase_raw"]} | {
        f"{mode}_{name}": percent(row[column])
        for name, column in (("percent", "ratio"), ("low", "low"), ("high", "high"))
    }


def _note_row(name: str) -> dict[str, str]:
    """``printed_lyapunov_d3_l1`` and ``lyapunov_d3_l1`` are the note's row lyap_d3_l1."""
    found = re.fullmatch(r"(printed_)?(lyapunov_d[34]_l[1-5]|chebyshev_d[345])", name)
    if found is None:
        return {"row": "", "source": ""}
    return {"row": found[2].replace("lyapunov", "lyap"), "source": "printed" if found[1] else "recomputed"}


def training(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """The note's tables of sections 2 and 3: every trained configuration against a baseline of as many steps.

    One row per (benchmark, group). ``mase_raw`` is the plain geometric mean over configs and seeds and is
    what the note prints, ``mase_normalised`` divides by seasonal naive first; ``percent`` with ``low`` and
    ``high`` is the change against ``baseline``, paired over configs and seeds, and ``seed_sd`` the spread of
    single seeds, in per cent. A forecast of a trained model undoes its own filter by the self reversal.
    ``fir_percent``, ``plug_in_percent``, ``hybrid_percent`` and ``oracle_percent`` are the same models under
    the other reversals, against the same baseline; ``control_percent`` is what seasonal naive "gains" under
    that oracle. They are NaN where there is nothing to undo, or where a reversal was not asked for. ``basis``
    says what ``percent`` is of; ``taps`` and ``norm`` are means over seeds of what was learned. ``worth`` is
    the baseline's MASE over that of seasonal naive; where that is above 1, ``gate`` says so and no change is
    decidable.
    """
    summary = read_parquet(inputs["summary"][0])
    own = summary[summary["forecaster"] == "trained"]
    rows = own[own["reversal"] == "none"]
    others = own.drop_duplicates(["benchmark", "group", "reversal"])
    others = others.set_index(["reversal", "benchmark", "group"])[["ratio", "control"]]
    learned = read_parquet(inputs["taps"][0])
    means = learned.groupby(["group", "tap"])["value"].mean()
    norms = learned.groupby("group")["tap_norm"].mean()
    made = []
    for row in rows.to_dict("records"):
        group = row["group"]

        def other(reversal: str, column: str = "ratio", row: dict[Any, Any] = row) -> float:
            key = (reversal, row["benchmark"], row["group"])
            return percent(others.at[key, column]) if key in others.index else float("nan")

        made.append(
            {
                **{name: row[name] for name in TRAINING_COLUMNS if name in row},
                "taps": taps_text(means[group], 3) if group in norms.index else "",
                "norm": norms.get(group, float("nan")),
                "percent": percent(row["ratio"]),
                "low": percent(row["low"]),
                "high": percent(row["high"]),
                "seed_sd": 100 * row["seed_sd"],
                **{f"{name}_percent": other(name) for name in ("fir", "plug_in", "hybrid", "oracle")},
                "control_percent": other("oracle", "control"),
                "basis": "raw",
                "configs": row["paired_configs"],
            }
        )
    return pd.DataFrame(made, columns=list(TRAINING_COLUMNS)).assign(scale=params["scale"])


def norms(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """The note's table of section 4: sizes of designed filters beside those of learned ones.

    ``kind`` is ``designed``, ``printed`` or ``learned``; of a learned filter there is one row per seed.
    ``norm`` is the Euclidean norm of the taps. Equal norms do not mean equal filters: lags count in strides.
    """
    made = []
    for row in read_parquet(inputs["filters"][0]).to_dict("records"):
        kind = "printed" if row["name"].startswith("printed_") else "designed"
        found = {"source": row["name"], "kind": kind, "seed": -1, "stride": row["stride"]} | _sizes(row)
        made.append({**found, "files": "filters.parquet"})
    learned = read_parquet(inputs["taps"][0])
    for (group, seed), own in learned.sort_values("tap").groupby(["group", "seed"]):
        row = {**own.iloc[0].to_dict(), "taps": own["value"].tolist()}
        found = {"source": group, "kind": "learned", "seed": seed, "stride": row["stride"]} | _sizes(row)
        made.append({**found, "files": row["files"]})
    return pd.DataFrame(made).assign(scale=params["scale"])


def _sizes(row: dict[Any, Any]) -> dict[str, Any]:
    sizes = {"coefficients": taps_text(row["taps"], 3), "norm": row["tap_norm"]}
    return sizes | {name: row[name] for name in SIZES}


def taps(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Taps that were learned: one row per (group, seed, tap), with the size of the whole filter.

    ``first`` is the tap at the first recorded step, ``value`` at the last; ``designed`` is where it began.
    ``tap_norm``, ``tap_sum``, ``noise_gain``, ``absolute_gain`` and ``spectral_radius`` are of all taps
    together.
    """
    made = [row for path in inputs["runs"] for row in _tap_rows(path)]
    return pd.DataFrame(made, columns=TAP_COLUMNS[:-1]).assign(scale=params["scale"])[TAP_COLUMNS]


def _tap_rows(path: Path) -> Iterator[dict[str, Any]]:
    taps = pc.match_substring_regex(pc.field("metric"), r"^tap_\d+$")
    learned = read_parquet(path, where=taps).sort_values("step")
    if learned.empty:
        return
    curves = learned.pivot(index="step", columns="metric", values="value")
    curves = curves[sorted(curves.columns, key=lambda name: int(str(name).removeprefix("tap_")))]
    spec = read_provenance(path)["parameters"]["filter"]
    taps = tuple(float(tap) for tap in curves.iloc[-1])
    found = diagnose(Filter("learned", taps, int(spec.get("stride", 1))))
    sizes = ("tap_norm", "tap_sum", "noise_gain", "absolute_gain", "spectral_radius")
    for number, designed in enumerate(design(spec).taps):
        yield {
            "group": group_of(learned["run"].iloc[:1]).iloc[0],
            "seed": int(learned["seed"].iloc[0]),
            "stride": int(spec.get("stride", 1)),
            "degree": len(taps),
            "tap": number + 1,
            "designed": designed,
            "first": float(curves.to_numpy()[0, number]),
            "value": taps[number],
            "steps": int(curves.index[-1]),
            **{name: getattr(found, name) for name in sizes},
            "files": f"runs/{learned['run'].iloc[0]}/pretrain.parquet",
        }

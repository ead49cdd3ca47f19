"""Does any filter beat the baseline once it is undone? One row a set of candidates and reversal.

``set`` is ``all`` or ``matched`` filters around a frozen forecaster, or ``trained``, the configurations that
were trained with a filter of their own. Candidates that are the identity or that diverged are left out
(``diverged`` counts those), and configs without an error above zero of the baseline and of every candidate
(``left_out``). All ratios are of MASE to no filter, or to the trained run's baseline.

``filter`` is the best in hindsight with its ``ratio`` and 95 % interval ``low``, ``high``. As the least of
many it looks better than it is, so ``chosen_ratio`` with ``chosen_low`` and ``chosen_high`` is what an honest
choice brings: for each config the filter that is best on all the others (``chosen``, and on how many).
``verdict`` is *better* if that interval lies below 1, *worse* if even the best in hindsight lies above 1, and
*undecided* otherwise.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.report.pairing import paired, scorable
from specseq.scoring.comparison import paired_ratio
from specseq.studies.preconditioning.tables.shared import (
    BASELINE,
    FROZEN,
    Values,
    files,
    matrix,
    read_runs,
    unfiltered,
    wide,
)

REVERSALS = ("self", "plug_in", "hybrid", "fir")
COLUMNS = [
    *("benchmark", "group", "forecaster", "reversal", "set", "filters", "diverged", "filter"),
    *("ratio", "low", "high", "chosen", "chosen_ratio", "chosen_low", "chosen_high", "verdict"),
    *("configs", "left_out", "seeds", "files", "scale"),
]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, long evaluation results.
        params: ``scale``; ``baselines``, group -> the group it is compared with where that is another.
    """
    table = wide(read_runs(inputs["runs"]))
    made = [row for row in [*_frozen(table), *_trained(table, params.get("baselines", {}))] if row]
    return pd.DataFrame(made, columns=COLUMNS[:-1]).assign(scale=params["scale"])


def _frozen(table: pd.DataFrame) -> Iterator[dict[str, Any] | None]:
    frozen = table[table["group"].str.startswith(FROZEN)]
    for keys, own in frozen.groupby(["benchmark", "group", "forecaster"]):
        named = dict(zip(("benchmark", "group", "forecaster"), keys, strict=True))
        plain = matrix(unfiltered(own))
        for reversal in REVERSALS:
            rows = own[own["reversal"] == reversal]
            candidates = {str(name): (part, plain) for name, part in rows.groupby("filter")}
            matched = {name: pair for name, pair in candidates.items() if name.startswith("matched")}
            for kind, chosen in (("all", candidates), ("matched", matched)):
                yield _row({**named, "reversal": reversal, "set": kind, "files": files(own)}, chosen)


def _trained(table: pd.DataFrame, baselines: dict[str, str]) -> Iterator[dict[str, Any] | None]:
    trained = table[table["forecaster"] == "trained"]
    for benchmark, own in trained.groupby("benchmark"):
        plain = {str(group): matrix(rows) for group, rows in unfiltered(own).groupby("group")}
        candidates = {}
        for group, rows in own[own["reversal"] == "self"].groupby("group"):
            against = baselines.get(str(group), BASELINE)
            if against in plain:
                candidates[str(group)] = (rows, plain[against])
        named = {"benchmark": benchmark, "group": "preconditioning", "forecaster": "trained"}
        sources = f"runs/preconditioning/*/*/{benchmark}.parquet"
        yield _row({**named, "reversal": "self", "set": "trained", "files": sources}, candidates)


def _row(
    named: dict[str, Any], candidates: dict[str, tuple[pd.DataFrame, pd.DataFrame]]
) -> dict[str, Any] | None:
    """The row of a set of candidates, each its scores and those of its baseline; None of an empty set."""
    logs, diverged, all_tasks = {}, 0, set[Any]()
    for name, (rows, plain) in candidates.items():
        if (rows["noise_gain"] == 1).all():
            continue
        ours, theirs = paired(matrix(rows), plain)
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
    return {
        **named,
        "filters": len(logs),
        "diverged": diverged,
        "filter": names[best],
        **dict(zip(("ratio", "low", "high"), hindsight, strict=True)),
        "chosen": chosen,
        **dict(zip(("chosen_ratio", "chosen_low", "chosen_high"), honest, strict=True)),
        "verdict": "better" if honest[2] < 1 else "worse" if hindsight[1] > 1 else "undecided",
        "configs": len(tasks),
        "left_out": len(all_tasks) - len(tasks),
        "seeds": len(seeds),
    }


def left_out_choice(logs_FTS: Values) -> Any:
    """Of each task, the candidate with the least mean over all other tasks and all seeds, ``[T]`` indices."""
    means_FT = logs_FTS.mean(axis=2)
    return (means_FT.sum(axis=1, keepdims=True) - means_FT).argmin(axis=0)

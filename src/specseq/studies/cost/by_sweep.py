"""Costs of runs put together by sweep: the table that ``specseq cost`` prints."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil
from pathlib import Path

import pandas as pd

from specseq.errors import InputError
from specseq.studies.cost.estimate import Cost
from specseq.tables import read_parquet

KEYS = ["study", "sweep"]


def by_sweep(costs: Iterable[Cost]) -> pd.DataFrame:
    """One row per sweep, then one per study and one for all (with ``*`` for what is summed over).

    Runs, kinds and hours are sums, steps and FLOPs means, seconds and GiB per step the largest of the sweep.
    All but the hours of evaluations are of the runs that are trained: none in a sweep of forecasters that are
    used as they are.
    """
    runs = pd.DataFrame([vars(cost) for cost in costs])
    if runs.empty:
        return pd.DataFrame(columns=[*KEYS, "runs"])
    of_steps = runs[["kind", "steps", "step_flops", "bound"]].where(runs["steps"] > 0)
    runs = runs.assign(gpu_hours=runs["training_hours"], **of_steps)
    every = [
        _summed(runs, KEYS),
        _summed(runs, ["study"]).assign(sweep="*"),
        _summed(runs.assign(all="*"), ["all"]).rename(columns={"all": "study"}).assign(sweep="*"),
    ]
    order = {study: place for place, study in enumerate([*dict.fromkeys(runs["study"]), "*"])}
    table = pd.concat(every, ignore_index=True)
    table = table.sort_values("study", key=lambda names: names.map(order), kind="stable", ignore_index=True)
    return table[[*KEYS, *(name for name in table.columns if name not in KEYS)]]


def _summed(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    groups = runs.groupby(keys, sort=False)
    table = groups.agg(
        runs=("steps", "count"),
        kinds=("kind", "nunique"),
        steps=("steps", "mean"),
        tflop_per_step=("step_flops", lambda flops: flops.mean() / 1e12),
        gib_per_step=("step_bytes", lambda peak: peak.max() / 2**30),
        seconds_per_step=("step_seconds", "max"),
        bound=("bound", lambda bounds: next(iter(bounds.value_counts().index), "")),
        gpu_hours=("gpu_hours", "sum"),
        host_cpu_hours=("host_hours", "sum"),
        evaluation_gpu_hours=("evaluation_gpu_hours", "sum"),
        evaluation_cpu_hours=("evaluation_cpu_hours", "sum"),
        jobs=("segments", "sum"),
        most_segments=("segments", "max"),
        disk_gb=("disk_bytes", lambda size: size.sum() / 1e9),
        measured=("measured", "mean"),
    )
    return table.fillna({"steps": 0, "tflop_per_step": 0}).reset_index()


def with_measurements(
    costs: Iterable[Cost], measured: pd.DataFrame, limit: Callable[[str], int]
) -> list[Cost]:
    """The costs, with time and memory per step as a rehearsal measured them on a run of the same kind.

    Rows of runs that failed, or with smaller batches than published, are ignored. ``limit`` gives the time
    limit of a run's training job, in minutes.
    """
    estimates = list(costs)
    kinds = {cost.run: (cost.study, cost.kind) for cost in estimates if cost.steps}
    full = measured[measured["batch"] == measured["published_batch"]]
    rows = full.dropna(subset="seconds_per_step").to_dict("records")
    found = {kinds[row["run"]]: row for row in rows if row["run"] in kinds}
    changed = []
    for cost in estimates:
        row = found.get(kinds[cost.run]) if cost.run in kinds else None
        if row is None:
            changed.append(cost)
            continue
        more = cost.steps * (float(row["seconds_per_step"]) - cost.step_seconds) / 3600
        hours = max(cost.training_hours + more, 0.0)
        changed.append(
            replace(
                cost,
                step_seconds=float(row["seconds_per_step"]),
                step_bytes=2**20 * peak if (peak := float(row["device_peak_mb"])) > 0 else cost.step_bytes,
                training_hours=hours,
                segments=max(1, ceil(60 * hours / limit(cost.run))),
                measured=True,
            )
        )
    return changed


def read_rehearsal(path: Path) -> pd.DataFrame:
    """The measurements of a rehearsal.

    Raises:
        InputError: no such file, or it lacks a column.
    """
    table = read_parquet(path)
    needed = ["run", "batch", "published_batch", "seconds_per_step", "device_peak_mb"]
    if missing := [name for name in needed if name not in table.columns]:
        raise InputError(
            path, f"has no column {missing[0]!r}", "give the file that the scale rehearsal writes"
        )
    return table

"""``specseq cost``: what a scale takes, before anything is run."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from specseq.commands.plan import add_config, plan_of
from specseq.errors import InputError
from specseq.settings import near

SHOWN = {
    "runs": "{:.0f}",
    "kinds": "{:.0f}",
    "steps": "{:.0f}",
    "tflop_per_step": "{:.3g}",
    "gib_per_step": "{:.3g}",
    "seconds_per_step": "{:.3g}",
    "bound": "{}",
    "gpu_hours": "{:.3g}",
    "host_cpu_hours": "{:.3g}",
    "evaluation_gpu_hours": "{:.3g}",
    "evaluation_cpu_hours": "{:.3g}",
    "jobs": "{:.0f}",
    "disk_gb": "{:.3g}",
}


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="specseq cost",
        description="Estimate the cost of training and of the evaluations after it, sweep by sweep. FLOPs "
        "and memory of a step or a forecast are metered on tensors without values and converted to hours at "
        "the rates of a device; evaluations whose resources name no GPU take core-hours. Phases of "
        "equilibrium propagation count with their full budgets unless their solver is known to settle.",
    )
    parser.add_argument(
        "--gpu", default=None, help="h100, h200, a100, rtx4090, cpu (one core) or a YAML file of your own; "
        "default: h100 if any training asks for a GPU, else cpu",
    )  # fmt: skip
    parser.add_argument(
        "--utilisation", type=float, help="share of the rated FLOP/s that matrix products reach (0.5)"
    )
    parser.add_argument("--only", metavar="STUDY", help="only this study")
    parser.add_argument(
        "--rehearsal", type=Path, help="rehearsal.parquet, whose measurements replace estimates"
    )
    parser.add_argument("--by-run", action="store_true", help="one row per run instead of per sweep")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per row")
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    add_config(parser)
    return parser.parse_args(given)


def main(given: Sequence[str]) -> None:
    """Print the table."""
    from dataclasses import replace
    from math import isnan

    import pandas as pd

    from specseq.launch.settings import SlurmSettings
    from specseq.settings import read
    from specseq.studies.cost.by_sweep import by_sweep, read_rehearsal, with_measurements
    from specseq.studies.cost.cache import UsageCache, cache_folder
    from specseq.studies.cost.devices import read_device
    from specseq.studies.cost.estimate import Estimator
    from specseq.studies.planning import Planning

    options = _arguments(given)
    plan, scale = plan_of(options)
    planning, given_slurm = Planning(plan), plan.config.content.get("slurm") or {}
    wants_gpu = any(planning.resources(scale, "pretrain", run).gpus for run in plan.runs(scale))
    device = read_device(options.gpu or ("h100" if wants_gpu else "cpu"))
    if options.utilisation is not None:
        if not 0 < options.utilisation <= 1:
            raise InputError(
                "--utilisation", f"{options.utilisation:g} is not a share", "give one from 0 to 1"
            )
        device = replace(device, utilisation=options.utilisation)
    if options.only not in (None, *plan.study_names):
        raise InputError(
            "--only", f"no study is called '{options.only}'", near(options.only, plan.study_names)
        )

    def limit(run: str) -> int:
        return read(SlurmSettings, planning.slurm(scale, run, given_slurm), "slurm").minutes

    cache = UsageCache(cache_folder())
    estimator = Estimator(plan, scale, device, limit, cache)
    runs = [run for run in plan.runs(scale) if options.only in (None, run.split("/")[0])]
    try:
        costs = [cost for run in runs if (cost := estimator.cost(run)) is not None]
    finally:
        cache.save()
    if options.rehearsal is not None:
        costs = with_measurements(costs, read_rehearsal(options.rehearsal), limit)
    table = pd.DataFrame([vars(cost) for cost in costs]) if options.by_run else by_sweep(costs)
    if options.csv is not None:
        table.to_csv(options.csv, index=False)
    if options.json:
        print(json.dumps(json.loads(table.to_json(orient="records")), indent=1))
        return
    print(f"{scale} on {device.name}, products at {device.utilisation:.0%} of its rates")
    _print(table)
    if unknown := [cost.run for cost in costs if isnan(cost.evaluation_gpu_hours)]:
        print(
            f"{len(unknown)} runs evaluate a forecaster from elsewhere, of unknown cost ({unknown[0]})",
            file=sys.stderr,
        )
    if largest := [cost for cost in costs if cost.step_bytes > 1e9 * device.memory]:
        worst = max(largest, key=lambda cost: cost.step_bytes)
        print(
            f"{len(largest)} runs need more than the {device.memory:g} GB of {device.name}, up to "
            f"{worst.step_bytes / 1e9:.0f} GB ({worst.run}): raise training.micro_batches",
            file=sys.stderr,
        )


def _print(table: "pd.DataFrame") -> None:  # type: ignore[name-defined]  # noqa: F821
    if "runs" not in table:
        print(table.to_string(index=False))
        return
    cells = [["sweep", *(name.replace("_", " ") for name in SHOWN)]]
    for row in table.to_dict("records"):
        name = "/".join(part for part in (row["study"], row["sweep"]))
        cells.append([name, *(form.format(row[key]) for key, form in SHOWN.items())])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        figures = (f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        print(line[0].ljust(widths[0]), *figures)

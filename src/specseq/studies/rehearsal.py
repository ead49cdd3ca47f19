"""What a rehearsal runs, and what the full training of each of its runs may take."""

import os
from typing import Any

from specseq.studies.planning import Params, Planning

PUBLISHED, REHEARSAL = "paper", "rehearsal"


def rehearsed(planning: Planning, scale: str) -> dict[str, dict[str, Any]]:
    """The runs that are trained at a scale and at ``paper``: their training sections at both, by run."""
    published = planning.plan.runs(PUBLISHED)
    return {
        run: {"here": params["training"], "published": published[run]["training"]}
        for run, params in planning.plan.runs(scale).items()
        if "training" in params and run in published
    }


def rehearsal_results(planning: Planning, scale: str) -> list[str]:
    """The results of training that a rehearsal's table is made from; in a partial plan, those that exist."""
    files = [f"results/{scale}/runs/{run}/pretrain.parquet" for run in rehearsed(planning, scale)]
    return [file for file in files if os.path.exists(file)] if planning.partial else files


def rehearsal_params(planning: Planning, scale: str, signal_delay_s: int) -> Params:
    """The runs of a rehearsal, each with what its training at scale ``paper`` takes."""
    runs = []
    for run, training in rehearsed(planning, scale).items():
        asked = planning.resources(PUBLISHED, "pretrain", run)
        here, published = training["here"], training["published"]
        runs.append(
            {
                "run": run,
                "result": f"results/{scale}/runs/{run}/pretrain.parquet",
                "steps": published["steps"],
                "batch": here["batch"],
                "published_batch": published["batch"],
                "minutes": asked.minutes,
                "mem_mb": asked.mem_mb,
                "gpus": asked.gpus,
                "signal_delay_s": signal_delay_s,
            }
        )
    return {"runs": runs}

"""``specseq score``: score a forecaster on a benchmark."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from specseq.commands.options import format_rows
from specseq.errors import InputError
from specseq.scoring import lsf, monash
from specseq.scoring.aggregate import geometric_mean
from specseq.scoring.config import ScoreRequest
from specseq.scoring.fev_tasks import METRICS, official_tasks
from specseq.scoring.gift_eval_data import reference
from specseq.scoring.score import score_benchmark
from specseq.series.evaluation import TERMS
from specseq.settings import read
from specseq.tables.files import check_target

_SHOWN = {
    "gift_eval": {"MASE": "eval_metrics/MASE[0.5]", "CRPS": "eval_metrics/mean_weighted_sum_quantile_loss"},
    "fev": {name: name for name in METRICS},
    "lsf": {"MSE": "MSE", "MAE": "MAE"},
    "monash": {"MAE": "MAE", "Naive": "naive_MAE", "normalised": "normalised_MAE"},
}
_LOADING = ("context_length", "batch_size", "device")


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq score",
        description="Score a forecaster: one row per config or task, with metrics and names as in the "
        "published results. A config with fewer series or windows than the benchmark has is an error, never "
        "a row. If interrupted, give the same command again to continue.",
        epilog="example: specseq score gift_eval --forecaster seasonal_naive --data data/gift_eval "
        "--out seasonal_naive.parquet",
    )
    parser.add_argument("benchmark", choices=sorted(_SHOWN))
    parser.add_argument(
        "--forecaster",
        metavar="NAME_OR_CHECKPOINT",
        help="seasonal_naive, naive, chronos2, a folder or hub id of Chronos-2 or MOIRAI, a checkpoint of "
        "uni2ts, the weights.safetensors of a trained run, or a class of another package as "
        "package.module:Class",
    )
    parser.add_argument(
        "--forecasts",
        type=Path,
        metavar="DIR",
        help="score forecasts made elsewhere instead, <config or task>.parquet; see docs/evaluation.md",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="argument of the forecaster's class; the value is parsed as JSON if possible, else text",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, .parquet")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these data sets or tasks")
    parser.add_argument("--terms", nargs="+", choices=list(TERMS), help="GIFT-Eval: only these terms")
    parser.add_argument(
        "--tasks",
        type=Path,
        metavar="FILE",
        help="FEV-Bench: a tasks.yaml (default: the one in --data, else the 100 tasks)",
    )
    parser.add_argument("--model", metavar="NAME", help="name of the model in the result")
    parser.add_argument("--context-length", type=int, metavar="N", help="history given to a model")
    parser.add_argument("--batch-size", type=int, metavar="N", help="windows a model forecasts at once")
    parser.add_argument("--device", metavar="NAME", help="where a model runs, e.g. cuda")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Score, write the result and print it."""
    options = build_parser().parse_args(arguments)
    check_target(options.out, "--out")
    given = [name for name in (*_LOADING, "option") if getattr(options, name) not in (None, [])]
    if options.forecasts and given:
        option = given[0].replace("_", "-")
        raise InputError(f"--{option}", "has no effect on --forecasts", "leave it out")
    loading = {name: getattr(options, name) for name in _LOADING}
    request = {
        "benchmark": options.benchmark,
        "forecaster": {"name": options.forecaster, **loading} if options.forecaster else None,
        "forecasts": options.forecasts and str(options.forecasts),
        "data": str(options.data),
        "out": str(options.out),
        "layout": "published",
        "tasks": options.tasks and str(options.tasks),
        "terms": options.terms,
        "only": options.only,
        "model": options.model,
        "arguments": dict(map(_argument, options.option)),
    }
    try:
        rows = score_benchmark(read(ScoreRequest, request, "-"))
    except InputError as error:
        if not error.where.startswith("-."):
            raise
        option = error.where.rpartition(".")[2].replace("_", "-")
        option = "forecaster" if option == "name" else option
        raise InputError(f"--{option}", error.fault, error.remedy) from None
    _show(rows, options.benchmark)
    if options.benchmark == "monash" and len(rows) > 1:
        mean = geometric_mean(np.array([row["normalised_MAE"] for row in rows]))
        print(f"normalised MAE over {len(rows)} tasks, geometric mean: {mean:.4f}")
    print(f"written: {options.out}")


def _argument(text: str) -> tuple[str, Any]:
    """Name and value of an argument ``KEY=VALUE``."""
    key, found, value = text.partition("=")
    if not found or not key.isidentifier():
        raise InputError("--option", f"{text!r} is not KEY=VALUE", "for example season=24")
    try:
        return key, json.loads(value, parse_constant=str)
    except json.JSONDecodeError:
        return key, value


def _show(rows: Sequence[dict[str, Any]], benchmark: str) -> None:
    columns = _SHOWN[benchmark]
    published: set[str]
    if benchmark == "gift_eval":
        name, kind, published = "config", "configs", {config.name for config in reference().values()}
    elif benchmark == "fev":
        name, kind, published = "task_name", "tasks", set(official_tasks())
    elif benchmark == "lsf":
        name, kind, published = "task", "tasks", {f"{name}/{h}" for name in lsf.DATA for h in lsf.HORIZONS}
    else:
        name, kind, published = "task", "tasks", set(monash.SETS)
    names = {name: name} | columns
    print(format_rows([{key: row[column] for key, column in names.items()} for row in rows], list(names)))
    known = len(published & {row[name] for row in rows})
    if known:
        print(f"{known} of the {len(published)} published {kind}", end="")
        print(
            "" if known == len(published) else ": aggregates over them are not comparable with published ones"
        )
    if other := len(rows) - known:
        print(f"{other} {kind} of other data")
    sys.stdout.flush()

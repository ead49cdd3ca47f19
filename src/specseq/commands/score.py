"""``specseq score``: score a forecaster on GIFT-Eval or FEV-Bench."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from specseq.errors import InputError
from specseq.models.registry import load_forecaster
from specseq.scoring.evaluation import fev_evaluations, gift_evaluations
from specseq.scoring.fev_tasks import METRICS, official_tasks
from specseq.scoring.gift_eval import TERMS, reference
from specseq.scoring.opening import fingerprint
from specseq.scoring.score import NAME_COLUMN, score_all
from specseq.tables.files import check_target

_SHOWN = {
    "gift_eval": {"MASE": "eval_metrics/MASE[0.5]", "CRPS": "eval_metrics/mean_weighted_sum_quantile_loss"},
    "fev": {name: name for name in METRICS},
}


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq score",
        description="Score a forecaster: one row a config, metrics and names as in the published results. "
        "A config with fewer series or windows than the benchmark has is an error, never a row. "
        "Run it again to go on where it stopped.",
        epilog="example: specseq score gift_eval --forecaster seasonal_naive --data data/gift_eval "
        "--out seasonal_naive.parquet",
    )
    parser.add_argument("benchmark", choices=sorted(NAME_COLUMN))
    parser.add_argument(
        "--forecaster",
        required=True,
        metavar="NAME_OR_CHECKPOINT",
        help="seasonal_naive, naive, chronos2, a folder or hub id of Chronos-2, or the weights.safetensors "
        "of a trained run",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, .parquet")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these data sets or tasks only")
    parser.add_argument(
        "--terms", nargs="+", choices=list(TERMS), default=list(TERMS), help="GIFT-Eval: these terms only"
    )
    parser.add_argument(
        "--tasks",
        type=Path,
        metavar="FILE",
        help="FEV-Bench: a tasks.yaml (default: that of --data, else the 100)",
    )
    parser.add_argument("--model", metavar="NAME", help="name in the result")
    parser.add_argument("--context-length", type=int, metavar="N", help="history given to a model")
    parser.add_argument("--batch-size", type=int, metavar="N", help="windows a model forecasts at once")
    parser.add_argument("--device", metavar="NAME", help="where a model runs, e.g. cuda")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Score, write the result and print it."""
    options = build_parser().parse_args(arguments)
    check_target(options.out, "--out")
    benchmark = options.benchmark
    if benchmark == "gift_eval":
        if options.tasks:
            raise InputError("--tasks", "GIFT-Eval has no tasks.yaml", "leave it out")
        evaluations = gift_evaluations(options.data, options.terms, options.only)
        published = {config.name for config in reference().values()}
    else:
        evaluations = fev_evaluations(options.data, options.tasks, options.only)
        published = set(official_tasks())
    forecaster = load_forecaster(
        options.forecaster,
        benchmark,
        context_length=options.context_length,
        batch_size=options.batch_size,
        device=options.device,
    )
    parameters = {
        "benchmark": benchmark,
        "forecaster": fingerprint(options.forecaster),
        "context_length": forecaster.context_length,
        "model": options.model or forecaster.name,
    }
    frame = score_all(benchmark, evaluations, forecaster, options.out, parameters, options.model)
    _show(frame, benchmark, published)
    print(f"written: {options.out}")


def _show(frame: pd.DataFrame, benchmark: str, published: set[str]) -> None:
    name, columns = NAME_COLUMN[benchmark], _SHOWN[benchmark]
    kind = "tasks" if benchmark == "fev" else "configs"
    shown = frame[[name, *columns.values()]].rename(columns={column: key for key, column in columns.items()})
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    known = len(published & set(frame[name]))
    if known:
        print(f"{known} of the {len(published)} published {kind}", end="")
        print("" if known == len(published) else ": no aggregate over them compares with a published one")
    if other := len(frame) - known:
        print(f"{other} {kind} of other data")
    sys.stdout.flush()

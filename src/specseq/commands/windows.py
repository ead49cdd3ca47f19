"""``specseq windows``: write the windows of GIFT-Eval or FEV-Bench for forecasters in any language."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from specseq.errors import InputError
from specseq.scoring.config import ScoredBenchmark
from specseq.scoring.score import open_evaluations
from specseq.scoring.window_files import write_windows
from specseq.series.evaluation import TERMS


def main(arguments: Sequence[str]) -> None:
    """Write a file per config or task and name it."""
    parser = argparse.ArgumentParser(
        prog="specseq windows",
        description="Write the contexts and cut-offs of a benchmark: one Parquet file per config or task. "
        "Nothing after the last cut-off is written. Score forecasts of them with: "
        "specseq score ... --forecasts DIR",
        epilog="example: specseq windows gift_eval --data data/gift_eval --only ett1 --out windows",
    )
    parser.add_argument("benchmark", choices=get_args(ScoredBenchmark))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these data sets or tasks")
    parser.add_argument("--terms", nargs="+", choices=list(TERMS), help="GIFT-Eval: only these terms")
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="FEV-Bench: a tasks.yaml")
    options = parser.parse_args(arguments)
    for benchmark, option in (("gift_eval", "terms"), ("fev", "tasks")):
        if options.benchmark != benchmark and getattr(options, option):
            raise InputError(f"--{option}", f"does not apply to {options.benchmark}", "leave it out")
    if options.out.exists() and not options.out.is_dir():
        raise InputError("--out", f"{options.out} is not a folder", "give another")
    evaluations = open_evaluations(
        options.benchmark, options.data, options.tasks, options.terms, options.only
    )
    for evaluation in evaluations:
        print(write_windows(evaluation, options.out))
        evaluation.close()

"""``specseq leakage``: how much of what a benchmark tests on lies in a training corpus."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from specseq.scoring.config import Benchmark
from specseq.scoring.leakage import LeakageRequest, measure_leakage
from specseq.tables.files import check_target


def main(arguments: Sequence[str]) -> None:
    """Write a row per config or task, and print those with a leak."""
    parser = argparse.ArgumentParser(
        prog="specseq leakage",
        description="Search a prepared training corpus for the test points of a benchmark, by their values. "
        "Writes one row per config or task: how many points the corpus holds, and in which sub-datasets.",
        epilog="example: specseq leakage gift_eval --data data/gift_eval --corpus results/laptop/data/lotsa "
        "--out leakage.parquet",
    )
    parser.add_argument("benchmark", choices=get_args(Benchmark))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument(
        "--corpus",
        type=Path,
        required=True,
        metavar="DIR",
        help="a corpus made by prepare_lotsa, such as results/laptop/data/lotsa",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="Parquet file to write")
    options = parser.parse_args(arguments)
    check_target(options.out, "--out")
    table = measure_leakage(LeakageRequest(**vars(options)))
    leaked = table[table["leaked_points"] > 0]
    for row in leaked.itertuples():
        print(f"{row.task}: {row.leaked_points} of {row.points} test points, from {row.leaked_from}")
    known = int((table["history_series"] > 0).sum())
    print(f"{len(leaked)} of {len(table)} leak; the corpus holds earlier parts of {known}")

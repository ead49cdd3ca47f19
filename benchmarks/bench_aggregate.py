"""Aggregation beside fev's: bootstrap of win rate and skill score in one process, and a cold leaderboard.

    python benchmarks/bench_aggregate.py [--published DIR] [--json FILE]

The 97 x 120 table is drawn at random: the cost does not depend on its values. DIR holds published GIFT-Eval
results, a CSV file a model; without it the leaderboard is left out.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from fev.analysis import _skill_score, _win_rate, bootstrap

from specseq.scoring import aggregate


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Best of several runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def ours(errors: np.ndarray, resamples: int) -> tuple[aggregate.Estimate, aggregate.Estimate]:
    weights = aggregate.bootstrap_weights(len(errors), resamples)
    return aggregate.win_rate(errors, weights), aggregate.skill_score(errors, weights)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published", type=Path, help="folder of published GIFT-Eval results")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for models in (30, 120):
        errors = np.random.default_rng(0).lognormal(0, 0.5, (97, models))
        theirs_s, ours_s = float("inf"), float("inf")
        for _ in range(2):  # interleaved, so that both see the same load
            ours_s = min(ours_s, seconds(partial(ours, errors, options.resamples), 5))
            start = time.perf_counter()
            win = bootstrap(errors, _win_rate, n_resamples=options.resamples)
            skill = bootstrap(errors, _skill_score, n_resamples=options.resamples)
            theirs_s = min(theirs_s, time.perf_counter() - start)
        mine = ours(errors, options.resamples)
        worst = max(
            float(np.abs(a - b).max())
            for estimate, other in zip(mine, (win, skill), strict=True)
            for a, b in zip((estimate.point, estimate.low, estimate.high), other, strict=True)
        )
        what = f"bootstrap {options.resamples} x {models} models x 97"
        ratio = theirs_s / ours_s
        rows.append(
            {"what": what, "ours_s": ours_s, "fev_s": theirs_s, "ratio": ratio, "largest_difference": worst}
        )
    if options.published:
        call = [
            sys.executable,
            "-m",
            "specseq.cli",
            "leaderboard",
            "gift_eval",
            "--results",
            str(options.published),
        ]
        cold = seconds(lambda: subprocess.run(call, check=True, capture_output=True), 3)
        rows.append({"what": "cold leaderboard of the folder", "ours_s": cold})
    for row in rows:
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

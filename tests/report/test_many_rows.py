"""Tables over millions of rows keep those that they need in memory, and one file beside them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from specseq.studies.preconditioning.tables.runs import BY_STEP, WHOLE, read_runs
from specseq.tables import Provenance, write_parquet

FILES, ROWS = 20, 100_000
MEASURE = """
import resource, sys
from pathlib import Path
from specseq.studies.preconditioning.tables.runs import WHOLE, read_runs
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
files = sorted(Path(sys.argv[1]).glob("*.parquet"))
read_runs(files[:1], WHOLE)
before = peak()
rows = read_runs(files, WHOLE)
print(len(rows), peak() - before)
"""


def write_results(folder: Path, files: int, rows: int) -> list[Path]:
    """Evaluations of which one row in fifty is a whole score and the others are errors by step."""
    number = np.arange(rows)
    whole = number % 50 == 0
    paths = []
    for seed in range(files):
        run = f"preconditioning/lyapunov/lam5_seed{seed}"
        table = {
            "study": np.full(rows, "preconditioning"),
            "run": np.full(rows, run),
            "seed": np.full(rows, seed),
            "benchmark": np.full(rows, "gift_eval"),
            "task": np.char.add("task", (number // 1000).astype(str)),
            "step": np.where(whole, -1, number % 50),
            "forecaster": np.full(rows, run.replace("/", "_")),
            "filter": np.full(rows, "lyapunov_d4_l5"),
            "reversal": np.where(number % 2, "none", "self"),
            "spectral_radius": np.full(rows, 0.9),
            "noise_gain": np.full(rows, 1.5),
            "metric": np.where(whole, "MASE", "scaled_absolute_error"),
            "value": np.random.default_rng(seed).random(rows),
        }
        paths.append(folder / f"{seed:02d}.parquet")
        write_parquet(paths[-1], pa.table(table), Provenance("evaluate"))
    return paths


def test_two_million_rows_take_the_memory_of_what_is_kept(tmp_path: Path) -> None:
    write_results(tmp_path, FILES, ROWS)
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, megabytes = map(float, done.stdout.split())
    assert kept == FILES * ROWS / 50
    # All rows at once are some 400 MB as columns of pandas.
    assert megabytes < 120


@pytest.mark.parametrize("where", [WHOLE, BY_STEP])
def test_rows_are_those_of_the_whole_table(tmp_path: Path, where: pa.compute.Expression) -> None:
    paths = write_results(tmp_path, 3, 500)
    every = read_runs(paths)
    keep = every["step"] == -1 if where is WHOLE else every["metric"] == "scaled_absolute_error"
    pd.testing.assert_frame_equal(read_runs(paths, where), every[keep].reset_index(drop=True))

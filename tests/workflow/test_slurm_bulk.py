"""Every kind of stage and many short jobs on a cluster: every result is there, the same as without one.

``SPECSEQ_ARRAY_RUNS=1000 pytest -m slurm -k arrays`` sends as many runs through job arrays; by default there
are few, for the time that each takes.
"""

import os
from pathlib import Path

import pandas as pd
import pytest

from specseq.tables import read_parquet
from tests.slurm import faults
from tests.workflow.workspace import Workspace, copy_workflow

pytestmark = faults.needs_cluster
MANY = int(os.environ.get("SPECSEQ_ARRAY_RUNS", "6"))
ARRAY = 50 if MANY > 50 else 4
TABLE = "results/smoke/tables/stu_long.parquet"
RUNS = {
    "preconditioning/frozen_moirai2/seed0": ["gift_eval"],
    "stu/layout/alternating_seed0": ["gift_eval"],
    "equilibrium/wall/euler_seed0": ["audit", "spectrum", "fingerprint"],
    "zeta/models/baseline_seed0": ["rollout"],
}
COSTS = {"step_seconds", "mixing_seconds", "steps_per_second", "step_ratio", "mixing_ratio"}


def submitted(output: str, what: str) -> int:
    return sum(what in line for line in output.splitlines())


def untimed(path: Path) -> pd.DataFrame:
    """A table without what a clock measured: metrics, columns made of them, and the claims they decide."""
    frame = read_parquet(path)
    for name, what in {"metric": COSTS, "id": {"002.speed.measured", "002.speed.cause"}}.items():
        if name in frame:
            frame = frame[~frame[name].isin(what)]
    return frame.drop(columns=COSTS & set(frame)).reset_index(drop=True)


def same_results(found: Path, expected: Path) -> int:
    """All Parquet files below a folder hold the rows of those of another; returns how many there are."""
    names = [path.relative_to(found) for path in found.rglob("*.parquet")]
    for name in names:
        pd.testing.assert_frame_equal(
            untimed(found / name), untimed(expected / name), check_exact=True, obj=str(name)
        )
    return len(names)


def test_runs_of_all_studies_are_the_same_as_without_a_cluster(tmp_path: Path, finished: Workspace) -> None:
    workspace = copy_workflow(tmp_path)
    small = {"partition": "gpu", "gpus_per_node": 1, "cpus_per_task": 1, "mem": "1GB", "time": 30}
    workspace.edit(lambda config: config.update(scale="smoke", slurm=small))
    grouped = ("--groups", "evaluate=short", "rollout=short", "--group-components", "short=4")
    targets = [f"results/smoke/runs/{run}/{name}.parquet" for run, names in RUNS.items() for name in names]
    output = workspace.snakemake(*faults.PROFILE, *grouped, "--", *targets, TABLE)
    assert submitted(output, "has been submitted with SLURM jobid") >= 5
    assert same_results(tmp_path / "results/smoke", finished.folder / "untouched/smoke") > 12
    tickets = list((tmp_path / "results/smoke/jobs").rglob("ticket.json"))
    assert tickets
    assert all('"cluster": "slurm"' in path.read_text() for path in tickets)
    assert not faults.jobs(tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Workspace:
    """A sweep of forecasters that need no training."""
    base = {"model": None, "forecaster": {"name": "seasonal_naive"}}
    workspace = copy_workflow(tmp_path)
    faults.shrink(workspace, many={"base": base, "over": {"seed": list(range(MANY))}})
    return workspace


def test_job_arrays_lose_nothing(many: Workspace) -> None:
    targets = [f"results/smoke/runs/preconditioning/many/seed{k}/gift_eval.parquet" for k in range(MANY)]
    arrays = ("--slurm-array-jobs", "evaluate", "--slurm-array-limit", str(ARRAY), "--jobs", str(MANY))
    output = many.snakemake(*faults.PROFILE, *arrays, "--", *targets)
    assert MANY / ARRAY <= submitted(output, "Submitted array job") <= 2 * MANY / ARRAY
    frames = [read_parquet(many.folder / target) for target in targets]
    assert [frame.run.unique().tolist() for frame in frames] == [
        [f"preconditioning/many/seed{k}"] for k in range(MANY)
    ]
    for frame in frames[1:]:
        pd.testing.assert_series_equal(frame.value, frames[0].value, check_exact=True)
    assert not faults.jobs(many.folder)


def test_an_array_that_outgrows_one_command_is_refused(many: Workspace) -> None:
    arrays = ("--slurm-array-jobs", "evaluate", "--slurm-array-limit", "100")
    target = "results/smoke/runs/preconditioning/many/seed0/gift_eval.parquet"
    output = many.snakemake(*faults.PROFILE, *arrays, "--", target, check=False)
    assert "slurm-array-limit: 100 is more than" in output
    assert not submitted(output, "ubmitted")

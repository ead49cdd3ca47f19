"""The one call on SLURM at a shrunken ``paper``: from folders in the hub's layout to a page, past losses."""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from specseq.equilibrium.text.sources import docstring_corpus
from specseq.launch.files import read_json
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus, write_evaluation
from specseq.tables import read_parquet, read_provenance
from tests.slurm import faults
from tests.workflow.workspace import BIN, Workspace

pytestmark = faults.needs_cluster

NAN, CANCELLED = "preconditioning/chebyshev/degree2_seed0", "stu/layout/alternating_seed0"
OBSTRUCTED, STUCK = "stu/layout/attention_seed0/fev", "zeta/models/baseline_seed0"
SWEEPS: dict[str, Any] = {
    "equilibrium": [{"wall": {"runs": [{"euler": {"audit": {"samples": 1, "budget": 200}}}]}}],
    "preconditioning": ["baseline", {"chebyshev": {"over": {"filter.degree": [2]}}}],
    "stu": [{"layout": {"over": {"model.stu": ["attention", "alternating"]}}}],
    "zeta": [{"models": {"runs": ["baseline"]}}],
}
DIVERGED = "Training runs that diverged"
CALL = [str(BIN / "snakemake"), *faults.PROFILE, "--retries", "0"]


def write_data(folder: Path) -> dict[str, Any]:
    """Write every source that ``paper`` has from the hub, in the hub's layout; gives the section ``data``."""
    sets = embedded_sets(0, EmbeddedSizes(("H", "M"), series=12, steps=256, evaluated=3))
    write_corpus(folder / "lotsa", sets)
    write_evaluation(folder / "gift_eval", sets)
    hours = pd.date_range("2012-01-09", periods=600, freq="h")
    price = np.random.default_rng(0).gamma(4, 8, len(hours))
    columns = {
        "id": pa.array(["DE"]),
        "timestamp": pa.array([list(hours)], pa.list_(pa.timestamp("us"))),
        "target": pa.array([price], pa.list_(pa.float32())),
    }
    (folder / "fev/epf_de").mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "fev/epf_de/train-00000-of-00001.parquet")
    (folder / "text").mkdir()
    (folder / "text/TinyStories-train.txt").write_text(docstring_corpus()[:200_000])
    own = {name: str(folder / name) for name in ("lotsa", "gift_eval", "fev")}
    return {**own, "text": {"source": {"kind": "path", "path": str(folder / "text")}}}


def shrink_paper(workspace: Workspace) -> None:
    """Give scale ``paper`` the sizes of smoke and few runs of each study; lose some of them."""
    scales = workspace.folder / "workflow/scales"
    smoke, paper = (yaml.safe_load((scales / f"{name}.yaml").read_text()) for name in ("smoke", "paper"))
    for study, sweeps in SWEEPS.items():
        smoke["studies"][study]["sweeps"] = sweeps
    text = {"tokeniser": smoke["data"].pop("text")["tokeniser"]}
    paper = {"studies": smoke["studies"], "data": {**smoke["data"], **paper["data"], "text": text}}
    (scales / "paper.yaml").write_text(yaml.safe_dump(paper, sort_keys=False))
    data = write_data(workspace.folder / "own")

    def lossy(config: dict[str, Any]) -> None:
        config["data"] |= data
        config["resources"] = {"all": {"mem_mb": 900, "cpus": 1}, "zeta": {"rollout": {"minutes": 1}}}
        config["slurm"]["signal_delay_s"] = 20
        absurd = {"base": {"training": {"lr": 1e30}}}
        config["studies"] = {"preconditioning": {"sweeps": {"chebyshev": absurd}}}

    workspace.edit(lossy)


def verdicts_of_nan(results: Path) -> set[str]:
    """Verdicts of the run that turned NaN, in the study's table."""
    table = read_parquet(results / "tables/preconditioning.parquet")
    return set(table.loc[table["group"] == NAN.removesuffix("_seed0"), "verdict"])


def waiting_claims(results: Path) -> int:
    """How many claims wait for a run that the scale has."""
    explanations = read_parquet(results / "claims.parquet")["explanation"]
    return int(explanations.str.contains("no result of it is there yet").sum())


def test_the_one_call_names_what_it_lost_and_the_next_completes_it(workspace: Workspace) -> None:
    shrink_paper(workspace)
    folder, log = workspace.folder, workspace.folder / "snakemake.log"
    results = folder / "results/paper"
    file = results / "checkpoints" / OBSTRUCTED
    file.parent.mkdir(parents=True)
    file.write_text("a file where the folder of an evaluation's parts is to be")
    # Nobody writes to the pipe, so the rollout that looks there for its parts waits until its time limit.
    pipe = results / "checkpoints" / STUCK / "rollout/one_step.json"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    with log.open("w") as out:
        first = subprocess.Popen(CALL, cwd=folder, stdout=out, stderr=out, env=environment)
    try:
        ticket = results / "jobs" / CANCELLED / "ticket.json"
        job = faults.until(lambda: (read_json(ticket) or {}).get("job_id") or first.poll() is not None)
        subprocess.run(["scancel", str(job)], check=True)
        assert first.wait(1200) != 0
    finally:
        first.kill()
        faults.cancel(folder)

    lost = (read_json(results / "lost.json") or {})["jobs"]
    failed = {(job["rule"], job["name"]): job["reason"] for job in lost if job["failed"]}
    assert failed.keys() == {("pretrain", CANCELLED), ("evaluate", OBSTRUCTED), ("rollout", STUCK)}
    assert "SLURM says CANCELLED" in failed["pretrain", CANCELLED]
    assert "SLURM says TIMEOUT" in failed["rollout", STUCK]
    page = (results / "report/index.html").read_text()
    assert "What is missing" in page
    assert all(name in page for _, name in failed)
    assert DIVERGED in page
    assert "diverged" in verdicts_of_nan(results)
    without = read_provenance(results / "tables/stu_long.parquet")["without"]
    assert set(without) >= {f"{CANCELLED}/pretrain.parquet", f"{OBSTRUCTED}.parquet"}
    assert waiting_claims(results)

    file.unlink()
    pipe.unlink()
    workspace.edit(lambda config: [config.pop("studies"), config["resources"].pop("zeta")])
    again = subprocess.run(CALL, cwd=folder, capture_output=True, text=True, env=environment)
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
    long = pd.concat(read_parquet(results / f"tables/{study}_long.parquet") for study in ("stu", "zeta"))
    found = set(zip(long["run"], long["benchmark"], strict=True))
    assert {(CANCELLED, "gift_eval"), (CANCELLED, "measurement"), (STUCK, "rollout")} <= found
    assert tuple(OBSTRUCTED.rsplit("/", 1)) in found
    page = (results / "report/index.html").read_text()
    assert not any(words in page for words in ("What is missing", DIVERGED))
    assert "diverged" not in verdicts_of_nan(results)
    assert not waiting_claims(results)
    assert not (results / "lost.json").exists()
    assert not faults.jobs(folder)
    third = subprocess.run([*CALL, "--dry-run"], cwd=folder, capture_output=True, text=True, env=environment)
    assert "Nothing to be done" in third.stdout + third.stderr

"""The one call on SLURM: from data to page at a shrunken scale ``paper``, past lost jobs."""

import os
import subprocess
from typing import Any

import yaml

from specseq.launch.files import read_json
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus, write_evaluation
from specseq.tables import read_parquet
from tests.slurm import faults
from tests.workflow.workspace import BIN, Workspace

pytestmark = faults.needs_cluster

LOST, KEPT = "stu/layout/alternating_seed0", "stu/layout/attention_seed0"
CALL = [str(BIN / "snakemake"), *faults.PROFILE, "--retries", "0"]


def shrink_paper(workspace: Workspace) -> None:
    """Give scale ``paper`` the sizes of smoke and one study, on folders in the layout of the hub."""
    folder = workspace.folder
    sets = embedded_sets(0, EmbeddedSizes(("H", "M"), series=12, steps=256, evaluated=3))
    write_corpus(folder / "own/lotsa", sets)
    write_evaluation(folder / "own/gift_eval", sets)
    smoke = yaml.safe_load((folder / "workflow/scales/smoke.yaml").read_text())["studies"]
    paper = yaml.safe_load((folder / "workflow/scales/paper.yaml").read_text())
    paper["studies"] = {**dict.fromkeys(["equilibrium", "preconditioning", "zeta"]), "stu": smoke["stu"]}
    (folder / "workflow/scales/paper.yaml").write_text(yaml.safe_dump(paper, sort_keys=False))

    def own(config: dict[str, Any]) -> None:
        config["data"] |= {"lotsa": "own/lotsa", "gift_eval": "own/gift_eval", "fev": None}
        config["resources"] = {"all": {"mem_mb": 900, "minutes": 20, "cpus": 1}}
        config["slurm"]["signal_delay_s"] = 20

    workspace.edit(own)


def test_the_one_call_names_what_it_lost_and_the_next_completes_it(workspace: Workspace) -> None:
    shrink_paper(workspace)
    folder, log = workspace.folder, workspace.folder / "snakemake.log"
    results = folder / "results/paper"
    obstacle = results / "checkpoints" / KEPT / "gift_eval"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where the folder of an evaluation's parts is to be")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    with log.open("w") as out:
        call = subprocess.Popen(CALL, cwd=folder, stdout=out, stderr=out, env=environment)
    try:
        ticket = results / "jobs" / LOST / "ticket.json"
        job = faults.until(lambda: (read_json(ticket) or {}).get("job_id") or call.poll() is not None)
        subprocess.run(["scancel", str(job)], check=True)
        assert call.wait(1200) != 0
    finally:
        call.kill()
        faults.cancel(folder)

    page = (results / "report/index.html").read_text()
    assert "What is missing" in page
    lost = (read_json(results / "lost.json") or {})["jobs"]
    failed = {(job["rule"], job["name"]) for job in lost if job["failed"]}
    assert {("pretrain", LOST), ("evaluate", f"{KEPT}/gift_eval")} <= failed
    assert all(name in page for _, name in failed)
    assert len(read_parquet(results / "claims.parquet")) > 500

    obstacle.unlink()
    again = subprocess.run(CALL, cwd=folder, capture_output=True, text=True, env=environment)
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
    rows = read_parquet(results / "tables/stu_long.parquet")
    assert {LOST, KEPT} <= set(rows[rows["benchmark"] == "gift_eval"]["run"])
    assert "What is missing" not in (results / "report/index.html").read_text()
    assert not faults.jobs(folder)

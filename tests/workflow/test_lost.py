"""A lost run withholds only itself: the rest is reported, says what is missing, and is completed later."""

import json
from pathlib import Path
from typing import Any

import pytest

from specseq.errors import InputError
from specseq.studies.lost import last_line, load_lost, lost_file
from specseq.tables import read_parquet, read_provenance
from tests.workflow.workspace import Workspace

RUN = "stu/layout/alternating_seed0"
PAGE = "results/smoke/report/index.html"

pytestmark = pytest.mark.slow


def only_stu(config: dict[str, Any]) -> None:
    config["scale"] = "smoke"
    others = dict.fromkeys(["equilibrium", "preconditioning", "zeta"])
    config["scales"] = {"smoke": {"studies": {**others, "stu": {"sweeps": ["layout"]}}}}


def test_a_lost_run_is_named_and_completed(workspace: Workspace) -> None:
    workspace.edit(only_stu)
    results = workspace.folder / "results/smoke"
    obstacle = results / "checkpoints" / RUN
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where the folder of checkpoints is to be")
    said = workspace.snakemake(check=False)
    assert "Making tables, claims and page of smoke from the results that are there." in said

    page = (results / "report/index.html").read_text()
    assert "What is missing" in page
    assert RUN in page
    lost = json.loads((results / "lost.json").read_text())["jobs"]
    assert {job["rule"]: job["name"] for job in lost if job["failed"]} == {"pretrain": RUN}
    assert not (results / "figures/stu_speed.svg").exists()
    assert {"evaluate", "measure"} <= {job["rule"] for job in lost if not job["failed"]}
    assert set(read_parquet(results / "tables/stu_long.parquet")["run"]) == {"stu/layout/attention_seed0"}
    without = read_provenance(results / "tables/stu_long.parquet")["without"]
    assert without == [f"{RUN}/pretrain.parquet", f"{RUN}/gift_eval.parquet", "stu_measurements.parquet"]
    assert len(read_parquet(results / "claims.parquet")) > 500

    obstacle.unlink()
    workspace.snakemake()
    assert RUN in set(read_parquet(results / "tables/stu_long.parquet")["run"])
    assert "without" not in read_provenance(results / "tables/stu_long.parquet")
    assert "What is missing" not in (results / "report/index.html").read_text()
    assert not (results / "lost.json").exists()
    assert workspace.planned(PAGE) == {}


def test_a_log_of_an_earlier_call_gives_no_reason(tmp_path: Path) -> None:
    log = tmp_path / "stage.log"
    log.write_text("error: no weights\n")
    changed = log.stat().st_mtime
    assert last_line([str(log)], changed) == ("error: no weights", str(log))
    assert last_line([str(log)], changed + 1) == ("", str(log))


def test_a_list_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lost_file("smoke").parent.mkdir(parents=True)
    lost_file("smoke").write_text("")
    with pytest.raises(InputError, match=r"lost.json: is not a list of lost jobs; delete it"):
        load_lost("smoke")

"""Run ids, paths and values are data: nothing they hold is executed, and a refusal is one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.workspace import Workspace, copy_workflow

HOSTILE = [
    "a b",
    "it's",
    'a "b"',
    "$(touch hacked)",
    "`touch hacked`",
    "x; touch hacked",
    "x\ntouch hacked",
    "../../../hacked",
    "{input}",
    "a,b",
    "-rf",
]


def nothing_was_executed(workspace: Workspace) -> None:
    assert not list(workspace.folder.parent.rglob("*hacked*"))


def one_line(output: str, place: str) -> str:
    """The one line of output that names the place at fault."""
    assert "Traceback (most" not in output, output
    lines = [line for line in output.splitlines() if place in line]
    assert len(lines) == 1, output
    return lines[0]


@pytest.fixture
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which plans are made and refused."""
    return copy_workflow(tmp_path_factory.mktemp("refusing") / "workflow")


def sweep(**points: Any) -> dict[str, Any]:
    """One sweep of an untrained forecaster."""
    base = {"seed": 0, "forecaster": {"name": "naive"}, "evaluation": {"terms": ["short"]}}
    return {"preconditioning": {"sweeps": {"toy": {"base": base, **points}}}}


def test_names_of_runs(refusing: Workspace) -> None:
    """Through the library, which is what the workflow calls first."""
    from specseq.errors import InputError
    from specseq.studies.config import load_plan

    for name in HOSTILE:
        refusing.declare(sweep(runs={name: {}}))
        with pytest.raises(InputError, match="cannot be a path") as raised:
            load_plan(refusing.folder).runs("smoke")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["$(touch hacked)", "x\ntouch hacked"])
def test_names_of_runs_in_the_workflow(refusing: Workspace, name: str) -> None:
    refusing.declare(sweep(runs={name: {}}))
    output = refusing.snakemake("--dry-run", "--config", "scale=smoke", check=False)
    assert "cannot be a path" in one_line(output, "studies.preconditioning.sweeps.toy: the run id")
    nothing_was_executed(refusing)


def test_swept_words(refusing: Workspace) -> None:
    refusing.declare(sweep(over={"evaluation.terms": {"$(touch hacked)": ["short"]}}))
    output = refusing.snakemake("--dry-run", "--config", "scale=smoke", check=False)
    assert "cannot be a path" in one_line(output, "studies.preconditioning.sweeps.toy: the run id")
    nothing_was_executed(refusing)


def test_targets(refusing: Workspace) -> None:
    target = "results/smoke/runs/preconditioning/toy/$(touch hacked)/gift_eval.parquet"
    refusing.declare(sweep(runs={"a": {}}))
    output = refusing.snakemake("--", target, check=False)
    assert "no run is called 'preconditioning/toy/$(touch hacked)'" in output
    assert "Traceback (most" not in output
    nothing_was_executed(refusing)


def test_values_on_the_command_line(refusing: Workspace) -> None:
    output = refusing.snakemake("--dry-run", "--config", "scale=$(touch hacked)", check=False)
    assert "is not among the scales" in one_line(output, "--config: scale")
    nothing_was_executed(refusing)


def test_data_folders(refusing: Workspace) -> None:
    """A folder with any name is used as it is called; this one holds no data, and the stage says so."""
    name = 'it\'s "so"; $(touch hacked); touch hacked'
    folder = refusing.folder.parent / "data" / name
    folder.mkdir(parents=True)
    refusing.edit(lambda config: config["data"].update(gift_eval=str(folder)))
    output = refusing.snakemake("--", "results/smoke/data/gift_eval/manifest.json", check=False)
    log = (refusing.folder / "logs/smoke/data/gift_eval.log").read_text()
    assert str(folder) in one_line(log, "error: ")
    assert "Error in rule prepare_gift_eval" in output
    assert not (refusing.folder / "results/smoke/report").exists(), "who asks for one file gets no page"
    assert {path.name for path in folder.parent.iterdir()} == {name}
    assert not list(refusing.folder.rglob("hacked"))


def test_slurm_settings(refusing: Workspace) -> None:
    """They reach a batch script only as plain words, and are refused before anything is made."""

    def change(config: dict[str, Any]) -> None:
        config["launcher"] = "slurm"
        config["slurm"] = {"partition": "it's; $(touch hacked)"}

    refusing.edit(change)
    run = "preconditioning/baseline/seed0"
    output = refusing.snakemake("--", f"results/smoke/runs/{run}/pretrain.parquet", check=False)
    assert "is not a plain word" in one_line(output, "slurm.partition")
    assert not (refusing.folder / "results/smoke/data").exists()
    nothing_was_executed(refusing)


def test_the_workflow_s_own_folder(tmp_path: Path) -> None:
    workspace = copy_workflow(tmp_path / "it's $(touch hacked); `touch hacked`")
    workspace.snakemake("--", "results/smoke/filters.parquet")
    assert (workspace.folder / "results/smoke/filters.parquet").exists()
    assert not list(tmp_path.rglob("hacked"))
    shutil.rmtree(workspace.folder)

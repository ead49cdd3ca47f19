"""A user's own study: a folder of code and a folder of sweeps; no file of the package is touched."""

from specseq.tables import read_parquet
from tests.documented import write_files
from tests.workflow.workspace import Workspace

PAGE, CODE = "docs/extending.md", "own/specseq/studies/toy"
TABLE = "results/smoke/tables/toy.parquet"


def test_a_toy_study_runs_through_the_workflow(workspace: Workspace) -> None:
    write_files(PAGE, workspace.folder, "toy")
    (workspace.folder / CODE / "__init__.py").touch()
    assert workspace.planned(TABLE) == {"pretrain": 2, "table": 1}
    workspace.snakemake("--", TABLE)
    table = read_parquet(workspace.folder / TABLE)
    assert table["run"].tolist() == ["toy/first/target1", "toy/first/target2"]
    assert table["value"].notna().all()
    assert workspace.planned(TABLE) == {}

    log = workspace.folder / "logs/smoke/pretrain/toy/first/target1.log"
    first = log.read_text()
    workspace.snakemake("--forcerun", "pretrain", "--", TABLE)
    assert "step 1/" in first
    assert "step 1/" in log.read_text(), "trained again, not taken from its checkpoint"

    code = workspace.folder / CODE / "training.py"
    code.write_text(code.read_text().replace("last loss", "final loss"))
    assert workspace.planned(TABLE) == {"pretrain": 2, "table": 1}


def test_a_mistake_in_its_sweeps_is_one_line(workspace: Workspace) -> None:
    write_files(PAGE, workspace.folder, "toy")
    (workspace.folder / CODE / "__init__.py").touch()
    sweeps = workspace.folder / "workflow/studies/toy/sweeps.yaml"
    sweeps.write_text(sweeps.read_text().replace("target", "traget"))
    output = workspace.snakemake("--dry-run", "--", TABLE, check=False)
    (line,) = [line for line in output.splitlines() if "traget" in line]
    assert "unknown key; did you mean target?" in line

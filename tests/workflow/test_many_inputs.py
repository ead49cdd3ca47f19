"""Tables of thousands of runs: their files go through a list, for no command line could hold them."""

import shutil
from pathlib import Path

import pytest

from specseq.errors import InputError
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, read_parquet, write_parquet
from tests.workflow.workspace import Workspace

RUNS = 1500


def parsed(*given: str) -> dict[str, list[Path]]:
    made = arguments.parser("a stage")
    arguments.add_inputs(made)
    return arguments.inputs(made.parse_args(given))


def test_files_of_a_list_join_those_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a b.parquet\n$(c).parquet\n")
    found = parsed("--input", "runs=first.parquet", f"@{tmp_path}/list", "--input", f"more=@{tmp_path}/list")
    listed = [Path("a b.parquet"), Path("$(c).parquet")]
    assert found == {"runs": [Path("first.parquet"), *listed], "more": listed}


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x80"])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError, match="list: not a readable list of files"):
        parsed("--input", f"runs=@{tmp_path}/list")


def test_a_table_of_thousands_of_runs(workspace: Workspace) -> None:
    base = {"model": {"kind": "moirai2"}, "training": {"steps": 1}}
    sweep = {"base": base, "over": {"seed": list(range(RUNS))}}
    workspace.declare({"preconditioning": {"sweeps": {"a_sweep_with_a_rather_long_name": sweep}}})
    runs = [f"preconditioning/a_sweep_with_a_rather_long_name/seed{seed}" for seed in range(RUNS)]
    files = [f"results/smoke/runs/{run}/pretrain.parquet" for run in runs]
    assert sum(map(len, files)) > 2**17, "more than an argument can hold"
    row = {"study": "preconditioning", "run": runs[0], "benchmark": "pretrain", "task": "train"}
    first = workspace.folder / files[0]
    write_parquet(first, long_table([{**row, "metric": "tap1", "value": 0.5}]), Provenance("pretrain", {}))
    for file in files[1:]:
        (workspace.folder / file).parent.mkdir(parents=True)
        shutil.copy(first, workspace.folder / file)
    target = "results/smoke/tables/preconditioning_taps.parquet"
    lists = workspace.folder / "results/smoke/lists"
    workspace.snakemake("--dry-run", "--allowed-rules", "table", "--", target)
    assert not lists.exists(), "a dry run writes nothing"
    workspace.snakemake("--allowed-rules", "table", "--", target)
    (listed,) = lists.iterdir()
    assert listed.read_text().splitlines() == files
    read_parquet(workspace.folder / target)

"""Tables of many runs: their files stand in the request, for no command line could hold them."""

import json
import shutil

from specseq.tables import Provenance, long_table, read_parquet, write_parquet
from tests.workflow.workspace import Workspace

RUNS = 550
SWEEP = "a_sweep_with_a_long_name_" * 7 + "indeed"


def test_a_table_of_hundreds_of_runs(workspace: Workspace) -> None:
    base = {"model": {"kind": "moirai2"}, "training": {"steps": 1}}
    sweep = {"base": base, "over": {"seed": list(range(RUNS))}}
    workspace.declare({"preconditioning": {"sweeps": {SWEEP: sweep}}})
    runs = [f"preconditioning/{SWEEP}/seed{seed}" for seed in range(RUNS)]
    files = [f"results/smoke/runs/{run}/pretrain.parquet" for run in runs]
    assert sum(map(len, files)) > 2**17, "more than an argument can hold"
    row = {"study": "preconditioning", "run": runs[0], "benchmark": "pretrain", "task": "train"}
    first = workspace.folder / files[0]
    write_parquet(first, long_table([{**row, "metric": "tap1", "value": 0.5}]), Provenance("pretrain", {}))
    for file in files[1:]:
        (workspace.folder / file).parent.mkdir(parents=True)
        shutil.copy(first, workspace.folder / file)
    target = "results/smoke/tables/preconditioning_taps.parquet"
    workspace.snakemake("--allowed-rules", "table", "--", target)
    (request,) = (workspace.folder / "results/smoke/requests/table").iterdir()
    assert json.loads(request.read_text())["inputs"] == {"runs": files}
    read_parquet(workspace.folder / target)

"""Chronos-2 as a frozen forecaster of the workflow, from the folder that the config names."""

import pytest

from specseq.tables import read_parquet, read_provenance
from tests.models.tiny_chronos2 import tiny_chronos2
from tests.workflow.workspace import Workspace

RUN = "preconditioning/frozen/tiny_chronos2"


@pytest.mark.slow
def test_chronos2_goes_through_filters_and_reversals(workspace: Workspace) -> None:
    weights = tiny_chronos2(workspace.folder / "tiny")
    over = f"{{over: {{forecaster: {{tiny_chronos2: {{name: {weights}}}}}}}}}"
    frozen = f"studies={{preconditioning: {{sweeps: {{frozen: {over}}}}}}}"
    target = f"results/smoke/runs/{RUN}/gift_eval.parquet"
    jobs = workspace.planned(target, config=[frozen])
    assert jobs == {"prepare_gift_eval": 1, "residuals": 1, "design_matched": 1, "evaluate": 1}
    workspace.snakemake("--config", frozen, "--", target)
    rows = read_parquet(workspace.folder / target)
    assert set(rows["forecaster"]) == {"tiny", "seasonal_naive"}
    plain = rows[(rows["forecaster"] == "tiny") & (rows["metric"] == "MASE")]
    assert set(plain["filter"]) == {"none", "lyapunov_d4_l5", "matched_d2"}
    assert set(plain["reversal"]) == {"none", "self", "plug_in", "hybrid", "fir", "oracle"}
    assert read_provenance(workspace.folder / target)["parameters"]["context_length"] == 64

"""Chronos-2 as a frozen forecaster of the workflow, from the folder that the config names."""

from pathlib import Path

import pytest

from specseq.tables import read_parquet, read_provenance
from tests.forecasters.tiny_chronos2 import tiny_chronos2
from tests.workflow.workspace import Workspace

RUN = "preconditioning/frozen/tiny_chronos2"


@pytest.mark.slow
@pytest.mark.xdist_group("finished")
def test_chronos2_goes_through_filters_and_reversals(finished: Workspace, tmp_path: Path) -> None:
    weights = tiny_chronos2(tmp_path / "tiny")
    frozen = f"scales={{smoke: {{values: {{frozen: {{tiny_chronos2: {{name: {weights}}}}}}}}}}}"
    target = f"results/smoke/runs/{RUN}/gift_eval.parquet"
    jobs = finished.planned(target, config=[frozen])
    assert jobs == {"residuals": 1, "design_matched": 1, "evaluate": 1}
    finished.snakemake("--config", frozen, "--", target)
    rows = read_parquet(finished.folder / target)
    assert set(rows["forecaster"]) == {"tiny", "seasonal_naive"}
    plain = rows[(rows["forecaster"] == "tiny") & (rows["metric"] == "MASE")]
    assert set(plain["filter"]) == {"none", "lyapunov_d4_l5", "matched_d2"}
    assert set(plain["reversal"]) == {"none", "self", "plug_in", "hybrid", "fir", "oracle"}
    assert read_provenance(finished.folder / target)["facts"]["context_length"] == 64

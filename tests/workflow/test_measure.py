"""The measurement stands beside the study's runs and needs nothing else."""

from tests.workflow.workspace import Workspace

TARGET = "results/smoke/stu_measurements.parquet"


def test_it_waits_for_the_weights_of_all_runs(workspace: Workspace) -> None:
    assert workspace.planned(TARGET) == {"prepare_lotsa": 1, "pretrain": 2, "measure": 1}


def test_runs_side_by_side_share_the_sizes(workspace: Workspace) -> None:
    layout = {"runs": {"a": {}, "b": {"measurement": {"rows": 3}}}}
    workspace.edit(lambda config: config.update(studies={"stu": {"sweeps": {"layout": layout}}}))
    output = workspace.snakemake("--dry-run", TARGET, check=False)
    assert "stu/layout/b_attention_seed0: measurement: is not that of stu/layout/a_attention_seed0" in output
    assert "Traceback (most" not in output

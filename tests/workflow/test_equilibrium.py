"""The equilibrium study in the DAG: what its results are made from."""

from tests.workflow.workspace import Workspace


def test_only_runs_that_ask_for_it_are_audited(workspace: Workspace) -> None:
    planned = workspace.planned("results/laptop/tables/equilibrium.parquet")
    assert planned["audit"] == 2 * 3, "two runs of three seeds each"
    assert planned["pretrain"] > planned["audit"]
    assert (planned["text"], planned["table"]) == (1, 2)


def test_measurements_of_mechanisms_need_no_run(workspace: Workspace) -> None:
    target = "results/smoke/figures/equilibrium_solvers.svg"
    assert workspace.planned(target) == {"mechanisms": 1, "figure": 1}

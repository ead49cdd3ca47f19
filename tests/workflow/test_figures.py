"""Figures in the DAG: the stage is told whose results it draws."""

from tests.workflow.workspace import Workspace


def test_a_figure_is_told_its_scale(workspace: Workspace) -> None:
    for scale in ("smoke", "paper"):
        target = f"results/{scale}/figures/zeta_masks.svg"
        said = workspace.snakemake("--dry-run", "--printshellcmds", "--", target)
        assert f"""--params '{{"scale": "{scale}"}}' --out results/{scale}/figures/zeta_masks >""" in said

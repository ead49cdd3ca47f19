"""Figures in the DAG: the stage is told whose results it draws."""

import json

import pytest

from tests.workflow.workspace import Workspace


@pytest.mark.slow
def test_a_figure_is_told_its_scale(workspace: Workspace) -> None:
    scales = ("smoke", "paper")
    workspace.snakemake("--", *(f"results/{scale}/figures/zeta_masks.svg" for scale in scales))
    for scale in scales:
        (request,) = (workspace.folder / f"results/{scale}/requests/figure").glob("*.json")
        assert json.loads(request.read_text())["scale"] == scale

"""Copies of the workflow, empty and finished."""

import os
from pathlib import Path

import pytest

from tests.workflow.workspace import Workspace, copy_workflow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh copy without results."""
    return copy_workflow(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which the smoke scale has run to its end; tests put back what they change.

    It is made in the folder that ``SPECSEQ_FINISHED`` names, where there is one, so that several calls of
    pytest that belong together need it once; else in a folder that goes with this call.
    """
    kept = os.environ.get("SPECSEQ_FINISHED")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("finished")
    if (folder / "results/smoke/report/index.html").exists():
        return Workspace(folder)
    made = copy_workflow(folder)
    made.snakemake("--config", "scale=smoke")
    return made

"""Copies of the workflow, empty and finished."""

from pathlib import Path

import pytest

from tests.workflow.workspace import Workspace, copy_workflow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh copy without results."""
    return copy_workflow(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which the smoke scale has run to its end; tests put back what they change."""
    made = copy_workflow(tmp_path_factory.mktemp("finished"))
    made.snakemake("--config", "scale=smoke")
    return made

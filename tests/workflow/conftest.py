"""Copies of the workflow, empty and finished."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.workflow.workspace import Workspace, copy_workflow


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh copy without results."""
    return copy_workflow(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which the smoke scale has run to its end; tests put back what they change.

    It is made in the folder that ``SPECSEQ_FINISHED`` names, where there is one, so that several calls of
    pytest that belong together need it once; else in a folder that goes with this call. ``untouched`` in it
    holds the results as they were made.
    """
    kept = os.environ.get("SPECSEQ_FINISHED")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("finished")
    with FileLock(f"{folder}.lock"):
        if not (folder / "untouched").exists():
            copy_workflow(folder).snakemake("--config", "scale=smoke")
            shutil.copytree(folder / "results", folder / "untouched")
    return Workspace(folder)

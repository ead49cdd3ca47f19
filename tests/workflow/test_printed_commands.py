"""Commands that the ledger and the page print run as they stand, in a fresh checkout."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from specseq.report.claims import ledger
from specseq.report.page import load_sections, render_page
from specseq.studies.config import load_plan
from specseq.studies.reports import load_claims
from specseq.tables import Provenance, write_parquet
from tests.workflow.workspace import BIN, ROOT, Workspace


def printed(folder: Path) -> list[list[str]]:
    """Every printed command, as a shell splits it: of the claims at each scale, of what the page lacks."""
    found: set[str] = set()
    claims, declared = load_claims(ROOT / "workflow/studies"), load_plan().declared()
    for scale in declared:
        found |= {entry.command for entry in ledger(claims, folder / scale, scale, declared)}
    write_parquet(
        folder / "laptop/equilibrium_mechanisms.parquet",
        pd.DataFrame({"name": ["a"]}),
        Provenance("mechanisms"),
    )
    page = render_page(folder / "laptop", load_sections(ROOT / "workflow/studies"), "laptop", root=folder)
    shown = re.findall(r"<code>(snakemake [^<]*)</code>", page)
    found |= {command for command in shown if "results/" in command}
    return [shlex.split(command) for command in sorted(found) if command]


def test_all_are_understood_and_name_what_can_be_made(workspace: Workspace, tmp_path: Path) -> None:
    commands = printed(tmp_path / "results")
    made = [words for words in commands if words[0] == "snakemake"]
    assert all(words[:3] == ["snakemake", "--cores", "all"] for words in made)
    assert {words[0] for words in commands} == {"snakemake", "specseq"}
    targets = sorted({target for words in made for target in words[3:]})
    assert len(targets) > 30
    assert workspace.planned(*targets)


@pytest.mark.parametrize(
    "command",
    ["specseq claims show 002.training.schedule", "snakemake --cores all results/smoke/filters.parquet"],
)
def test_a_sample_runs(workspace: Workspace, command: str) -> None:
    done = subprocess.run(
        command,
        shell=True,
        cwd=workspace.folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(workspace.folder / "src"),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]

"""The claims stage: ledger as Parquet and CSV, complete without any result."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from specseq.report.claims import COLUMNS, VERDICTS
from specseq.tables import Provenance, read_provenance, write_parquet

ROOT = Path(__file__).parents[2]


def run(tmp_path: Path, claims: Path, *more: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "specseq.stages.claims", "--claims", str(claims), "--scale", "laptop"]
    call += ["--results", str(tmp_path / "results"), "--out", str(tmp_path / "claims.parquet")]
    return subprocess.run(
        [*call, *more, "--csv", str(tmp_path / "claims.csv")], capture_output=True, text=True
    )


def test_ledger_without_results_is_complete(tmp_path: Path) -> None:
    done = run(tmp_path, ROOT / "workflow" / "studies")
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "claims.parquet")
    assert tuple(frame.columns) == COLUMNS
    assert set(frame["verdict"]) <= set(VERDICTS)
    assert not frame["verdict"].isna().any()
    assert frame["command"].str.len().min() > 0
    facts = read_provenance(tmp_path / "claims.parquet")
    assert facts["stage"] == "claims"
    assert sum(facts["verdicts"].values()) == len(frame)
    assert len(pd.read_csv(tmp_path / "claims.csv")) == len(frame)


def test_declared_runs_say_where_a_claim_can_be_decided(tmp_path: Path) -> None:
    declared = tmp_path / "declared.txt"
    declared.write_text("laptop stu/layout/attention\npaper stu/layout/sandwich\n")
    rows = {"group": ["stu/layout/attention"], "metric": "standardised_nll", "value": 1.0, "seed": 0}
    rows |= {"run": "stu/layout/attention_seed0", "benchmark": "pretrain", "task": "train", "step": 1}
    table = tmp_path / "results" / "tables" / "stu_long.parquet"
    write_parquet(table, pd.DataFrame(rows), Provenance("table"))
    done = run(tmp_path, ROOT / "workflow" / "studies", "--declared", str(declared))
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(tmp_path / "claims.parquet").set_index("id").loc["002.comparison.sandwich.loss"]
    assert "at scale paper" in found["explanation"]
    assert found["command"] == "snakemake --cores all results/paper/tables/stu_long.parquet"


def test_bad_claims_end_with_one_line_and_no_file(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "claims.parquet").exists()

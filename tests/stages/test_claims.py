"""The claims stage: ledger as Parquet and CSV, complete without any result."""

from pathlib import Path

import pandas as pd
import pytest

from specseq.report.claims import COLUMNS, VERDICTS
from specseq.tables import Provenance, read_provenance, write_parquet
from tests.stage_call import Refused, run

ROOT = Path(__file__).parents[2]


def judge(tmp_path: Path, claims: Path, **fields: object) -> None:
    files = {"parquet": tmp_path / "claims.parquet", "csv": tmp_path / "claims.csv"}
    run("claims", studies=claims, folder=tmp_path / "results", scale="laptop", **files, **fields)


def test_ledger_without_results_is_complete(tmp_path: Path) -> None:
    judge(tmp_path, ROOT / "workflow" / "studies")
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
    declared = {"laptop": ["stu/layout/attention"], "paper": ["stu/layout/sandwich"]}
    rows = {"group": ["stu/layout/attention"], "metric": "standardised_nll", "value": 1.0, "seed": 0}
    rows |= {"run": "stu/layout/attention_seed0", "benchmark": "pretrain", "task": "train", "step": 1}
    table = tmp_path / "results" / "tables" / "stu_long.parquet"
    write_parquet(table, pd.DataFrame(rows), Provenance("table"))
    judge(tmp_path, ROOT / "workflow" / "studies", declared=declared)
    found = pd.read_parquet(tmp_path / "claims.parquet").set_index("id").loc["002.comparison.sandwich.loss"]
    assert "at scale paper" in found["explanation"]
    assert found["command"] == "snakemake --cores all results/paper/tables/stu_long.parquet"


def test_bad_claims_end_with_one_line_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no claim files"):
        judge(tmp_path, tmp_path / "nowhere")
    assert not (tmp_path / "claims.parquet").exists()

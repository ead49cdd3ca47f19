"""``specseq findings`` writes what a scale found, claim by claim."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from specseq import cli
from specseq.report.claims import ledger
from specseq.report.claims.ledger import ledger_frame
from specseq.studies.reports import load_claims
from specseq.tables import Provenance, write_parquet

ROOT = Path(__file__).parents[2]
LOST = {
    "verdict": "does not hold",
    "measured": 1.1,
    "low": 1.01,
    "high": 1.2,
    "verdict_corrected": "undecided",
}
WON = {"verdict": "reproduced", "measured": 0.9, "low": 0.8, "high": 0.95, "verdict_corrected": "undecided"}
OPEN = {
    "verdict": "undecided",
    "measured": 1.0,
    "low": 0.8,
    "high": 1.2,
    "power": "12 seeds would decide it.",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workflow whose only results are a ledger: arithmetic, one claim that holds and one that is open."""
    for name in ("config.yaml", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    claims = [claim for claim in load_claims(ROOT / "workflow/studies") if claim.note in ("002", "004")]
    frame = ledger_frame(ledger(claims, tmp_path / "results/smoke", "smoke"), "smoke")
    planted = {
        "002.comparison.alternating.mase": WON,
        "002.comparison.signed.mase": LOST,
        "004.s6.plain": OPEN,
    }
    for name, values in planted.items():
        assert name in set(frame["id"])
        frame.loc[frame["id"] == name, list(values)] = pd.Series(values).to_numpy()
        frame.loc[frame["id"] == name, ["kind", "relation"]] = ["measured", "< 1"]
    write_parquet(tmp_path / "results/smoke/claims.parquet", frame, Provenance("claims"))
    return tmp_path


def test_each_line_names_its_claim(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = root / "findings.md"
    assert cli.main(["findings", "--root", str(root), "--scale", "smoke", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    studies = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(studies) == 4
    lines = {line.rpartition("(`")[2].split("`")[0]: line for line in text.splitlines() if "(`" in line}
    won, open_ = lines["002.comparison.alternating.mase"], lines["004.s6.plain"]
    assert "*0.9 [0.8, 0.95], to be < 1*" in won
    assert won.endswith("| Holds on its own, undecided after Holm's correction for its search |")
    lost = lines["002.comparison.signed.mase"]
    assert lost.endswith("| Does not hold on its own, undecided after Holm's correction for its search |")
    assert open_.endswith("(`004.s6.plain`) | 12 seeds would decide it. |")
    assert "002.models.matched`, inconsistent)." in text
    assert "are not run." in text


def test_without_a_ledger_it_says_how_to_make_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["findings", "--root", str(root), "--scale", "laptop"]) == 2
    assert "make it: snakemake --cores all" in capsys.readouterr().err
    assert cli.main(["findings", "--root", str(root), "--scale", "latpop"]) == 2
    assert "did you mean laptop?" in capsys.readouterr().err


def test_evidence_is_the_ledger_the_summaries_and_where_they_are_from(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, folder = root / "results/smoke", root / "evidence"
    (results / "claims.csv").write_text("id\n")
    (results / "requirements.lock").write_text("numpy==2\n")
    for name, size in (("stu", 10), ("zeta", 300_000)):
        (results / "tables").mkdir(exist_ok=True)
        (results / f"tables/{name}.csv").write_text("x" * size)
    record = Provenance("pretrain", {}, run="zeta/models/a_seed2", seed=2, facts={"resumed_from": 5})
    write_parquet(results / "runs/zeta/models/a_seed2/pretrain.parquet", pd.DataFrame({"x": [1]}), record)
    asked = ["findings", "--root", str(root), "--scale", "smoke", "--evidence", str(folder)]
    assert cli.main(asked) == 0
    assert "3 files" in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {"claims.csv", "stu.csv", "provenance.json"}
    made = json.loads((folder / "provenance.json").read_text())
    assert (made["scale"], made["seeds"], made["runs"], made["resumed"]) == ("smoke", [2], {"zeta": 1}, 1)
    assert made["lock"] == hashlib.sha256(b"numpy==2\n").hexdigest()
    assert set(made["cpu_hours"]) == {"zeta"}
    assert made["cores"] >= 1

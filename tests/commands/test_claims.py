"""``specseq claims`` lists, filters and shows."""

from pathlib import Path

import pandas as pd
import pytest

from specseq import cli
from specseq.tables import Provenance, write_parquet

CLAIMS = str(Path(__file__).parents[2] / "workflow" / "studies")


def call(*arguments: str, results: Path) -> int:
    return cli.main(["claims", *arguments, "--claims", CLAIMS, "--results", str(results)])


def test_list_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--note", "003", "--kind", "mechanism", "--verdict", "inconsistent", results=tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("1 inconsistent (1 mechanism)")
    assert lines[0].startswith("003.s6.mean  inconsistent · mechanism")
    assert call("--note", "000", "--kind", "mechanism", "--verdict", "inconsistent", results=tmp_path) == 0
    assert capsys.readouterr().out.count("inconsistent · mechanism") == 10
    assert call("--status", "retracted", results=tmp_path) == 0
    assert "004.s5.omega.warm.bound" in capsys.readouterr().out
    for wrong, message in (
        (("--note", "999"), "specseq claims: --note: there is no note '999'; there are 000, 001"),
        (
            ("--scale", "papr"),
            "specseq claims: --scale: no scale is called 'papr'; did you mean paper?",
        ),
        (("list", "000.s1"), "specseq claims: 000.s1: list takes no id; specseq claims show 000.s1"),
    ):
        assert call(*wrong, results=tmp_path) == 2
        assert capsys.readouterr().err.startswith(message)
    assert call("--note", "004", results=tmp_path / "labtop") == 0
    assert "labtop does not exist: only claims that arithmetic decides" in capsys.readouterr().err


def test_show_gives_statement_numbers_rule_and_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("show", "002.models.matched", results=tmp_path) == 0
    shown = capsys.readouterr().out
    for part in (
        "same number of parameters",
        "1.104",
        "inconsistent",
        "specseq claims show 002.models.matched",
    ):
        assert part in shown
    row = {"group": "preconditioning/lyapunov/lam5", "forecaster": "trained", "benchmark": "gift_eval",
           "reversal": "none", "ratio": 0.95, "low": 0.92, "high": 0.98, "seeds": 3}  # fmt: skip
    target = tmp_path / "tables" / "preconditioning.parquet"
    write_parquet(target, pd.DataFrame([row]), Provenance("table"))
    assert call("show", "000.s7.replication.fir.beats_baseline", results=tmp_path) == 0
    shown = capsys.readouterr().out
    for part in (
        "0.95 [0.92, 0.98], to be < 1",
        "reproduced",
        "rule table",
        "snakemake --cores all results/laptop/tables",
    ):
        assert part in shown


def test_show_takes_part_of_an_id_if_it_is_the_only_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("show", "models.matched", results=tmp_path) == 0
    assert call("show", "s5.subspace", results=tmp_path) == 0  # and not s5.subspace_mechanism
    assert "004.s5.subspace\n" in capsys.readouterr().out
    assert call("show", "lyapunov", results=tmp_path) == 2
    assert "claims match" in capsys.readouterr().err
    assert call("show", "nothing_like_it", results=tmp_path) == 2
    assert call("show", results=tmp_path) == 2
    capsys.readouterr()
    mixed = [
        "claims",
        "show",
        "--claims",
        CLAIMS,
        "--scale",
        "smoke",
        "--results",
        str(tmp_path),
        "models.matched",
    ]
    assert cli.main(mixed) == 0
    assert "002.models.matched" in capsys.readouterr().out

"""The findings that the documentation holds are those of the evidence beside it."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq.report.claims.ledger import in_words
from tests.documented import ROOT

PAGE = ROOT / "docs/findings.md"
NUMBER = r"-?\d+\.\d+"
TRIPLE = re.compile(rf"({NUMBER})\s+\[({NUMBER}),\s+({NUMBER})\]")


@cache
def evidence() -> Path:
    """The evidence of the scale that the page says it is of."""
    found = re.search(r"^# Findings at scale (\w+)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert found
    return ROOT / "docs/evidence" / found[1]


@cache
def rows() -> list[np.ndarray]:
    """The numbers of every row of every table of the evidence."""
    frames = [pd.read_csv(path) for path in sorted(evidence().glob("*.csv"))]
    numbers = [frame.select_dtypes("number").to_numpy(dtype=float) for frame in frames]
    return [row[np.isfinite(row)] for table in numbers for row in table]


def holds(row: np.ndarray, said: str) -> bool:
    """Whether one of the row's numbers is the one said, to the digits that are said."""
    return bool((np.abs(row - float(said)) <= 0.5001 * 10.0 ** -len(said.partition(".")[2])).any())


def headlines() -> str:
    """What the README says was found."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition("## What was found\n")[2].partition("\n## ")[0]


def test_every_number_of_a_claim_is_that_of_the_ledger() -> None:
    claims = pd.read_csv(evidence() / "claims.csv").set_index("id")
    found = re.findall(r"\*([^*]+)\* \(`([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(found) > 50
    for said, name in found:
        row = claims.loc[name]
        assert said == in_words(row["measured"], row["low"], row["high"], row["relation"]), name


@pytest.mark.parametrize("said", TRIPLE.findall(headlines()), ids=" ".join)
def test_every_interval_of_the_readme_is_one_row_of_the_evidence(said: tuple[str, str, str]) -> None:
    assert any(all(holds(row, number) for number in said) for row in rows())


def test_every_other_number_of_the_readme_is_in_the_evidence() -> None:
    others = re.findall(NUMBER, TRIPLE.sub("", headlines()))
    explained = set(re.findall(NUMBER, (evidence() / "claims.csv").read_text(encoding="utf-8")))
    missing = [
        said for said in others if said not in explained and not any(holds(row, said) for row in rows())
    ]
    assert not missing


def test_the_readme_names_the_evidence() -> None:
    assert str(evidence().relative_to(ROOT)) in headlines()


def test_evidence_is_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "docs/evidence").rglob("*.*")) < 3_000_000

"""The findings that the documentation holds are those of the evidence beside it."""

import re

import pandas as pd

from specseq.report.claims.ledger import in_words
from tests.documented import ROOT

PAGE, LEDGER = ROOT / "docs/findings.md", ROOT / "docs/evidence/laptop/claims.csv"


def test_every_number_of_a_claim_is_that_of_the_ledger() -> None:
    claims = pd.read_csv(LEDGER).set_index("id")
    found = re.findall(r"\*([^*]+)\* \(`([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(found) > 50
    for said, name in found:
        row = claims.loc[name]
        assert said == in_words(row["measured"], row["low"], row["high"], row["relation"]), name


def test_evidence_is_small() -> None:
    assert sum(path.stat().st_size for path in LEDGER.parent.iterdir()) < 3_000_000

"""The five notes' claims as they stand: complete, decided by arithmetic, each finding explained."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from specseq.report.claims import VERDICTS, Claim, Entry, files, ledger
from specseq.report.claims.language import queries_of
from specseq.studies.claims import load_claims
from specseq.sweeps import load_plan

CLAIMS = Path(__file__).parents[2] / "workflow" / "studies"
AGAINST = ("inconsistent", "contradicted")


@pytest.fixture(scope="module")
def claims() -> list[Claim]:
    return load_claims(CLAIMS)


@pytest.fixture(scope="module")
def entries(claims: list[Claim], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    empty = tmp_path_factory.mktemp("results")
    return {entry.claim.id: entry for entry in ledger(claims, empty, "laptop")}


def test_several_hundred_claims_over_five_notes(claims: list[Claim]) -> None:
    counts = Counter(claim.note for claim in claims)
    assert set(counts) == {"000", "001", "002", "003", "004"}
    assert sum(counts.values()) > 400
    assert min(counts.values()) >= 30


def test_every_claim_gets_a_verdict_and_no_result_is_needed_for_arithmetic(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        verdict = entry.verdict
        assert verdict in VERDICTS
        if entry.claim.compute:
            assert verdict in ("reproduced", *AGAINST), entry.claim.id
            assert math.isfinite(entry.measured)
        else:
            assert verdict in ("not run", "not decidable at this scale"), entry.claim.id


def test_every_finding_against_a_note_is_explained(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        if entry.verdict in AGAINST:
            text = entry.explanation
            assert len(text.split()) >= 25, f"{entry.claim.id}: {text}"
            assert "{" not in text


def test_statements_are_sentences(claims: list[Claim]) -> None:
    for claim in claims:
        assert claim.spec.statement.endswith("."), claim.id
        assert len(claim.spec.statement.split()) >= 4, claim.id


def test_scales_are_those_of_the_config(claims: list[Claim]) -> None:
    """A misspelt scale would leave its claim undecidable for ever."""
    known = load_plan(CLAIMS.parents[1]).scales
    assert {scale for claim in claims for scale in claim.spec.scales} <= set(known)


def _groups(claim: Claim) -> Iterator[str]:
    """The run groups that a claim's queries name."""
    for query in queries_of(claim.quantity):
        groups = query.where.get("group", ())
        yield from groups if isinstance(groups, tuple) else [str(groups)]


def test_every_run_that_a_claim_asks_for_is_declared(claims: list[Claim]) -> None:
    """At a scale where it decides, or else the claim says what is needed that nobody has made."""
    root = CLAIMS.parents[1]
    plan = load_plan(root)
    made = {
        scale: {re.sub(r"_?seed\d+$", "", run).rstrip("/") for run in plan.runs(scale)}
        for scale in plan.scales
    }
    for claim in claims:
        if "not run" not in claim.spec.explain:
            known = set().union(*(made[scale] for scale in claim.spec.scales or made))
            assert set(_groups(claim)) <= known, claim.id


def test_queries_read_tables_of_the_scale(claims: list[Claim]) -> None:
    for claim in claims:
        for file in files(claim.quantity):
            assert file.startswith("tables/")
            assert file.endswith(".parquet")


# Checked by hand: numbers that the findings rest on.
MEASURED = {
    "000.s1.chebyshev.chebyshev_d3.stable": 1.119985,
    "000.s1.chebyshev.chebyshev_d4.stable": 1.125**0.25,
    "000.s1.chebyshev.chebyshev_d5.stable": 1.8751,
    "000.s1.lyapunov.lyap_d3_l1.sup_norm": 1.76,
    "000.s1.lyapunov.lyap_d3_l5.sup_norm": 1.27,
    "000.s1.lyapunov.lyap_d4_l5.oracle_percent": 100 * (0.9624 / 1.0238 - 1),
    "000.s4.norms.learnable_s1.norm": 0.68259,
    "000.s3.one_basis": 100 * (1.3422 / 1.2869 - 1),
    "001.shared.same_floor": 0.089,
    "001.q2.no_integrator": 1 / abs(1 - 2 * (0.26 + 1.37j)),
    "002.models.baseline.parameters": 13_827_528,
    "002.models.hybrid.parameters": 12_527_652,
    "002.training.schedule": 0,
    "003.nll_ratio.summary": 0.689 / 0.069,
    "000.s3.exp1_control": 100 * (1.2386 / 1.2878 - 1),
    "003.s6.baseline_parameters": 4_797_464,
    "003.s6.rows": 781_249,
    "003.s6.count": 200_000_000,
    "004.s5.pair": abs(1 + 0.1 * (0.26 + 1.37j)),
    "004.s5.speed": 1 / 0.72,
}


@pytest.mark.parametrize(("claim", "value"), MEASURED.items())
def test_numbers_behind_the_findings(entries: dict[str, Entry], claim: str, value: float) -> None:
    assert entries[claim].measured == pytest.approx(value, rel=1e-4, abs=1e-9)


EXPECTED = {
    "000.s1.baseline": "contradicted",
    "000.s1.baseline_is_mase": "reproduced",
    "000.s0.best_self": "inconsistent",
    "000.s1.gap_grows": "inconsistent",
    "000.s3.exp1.d2.monic": "reproduced",
    "000.s3.exp1.d3.monic": "inconsistent",
    "000.s5.taps": "reproduced",
    "001.q2.no_integrator": "contradicted",
    "002.models.matched": "inconsistent",
    "003.s0.range": "inconsistent",
    "003.s0.rollout": "reproduced",
    "003.s6.mean": "inconsistent",
    "004.s5.pair": "inconsistent",
    "001.shared.step_residual": "reproduced",
    "001.shared.same_floor": "reproduced",
    "001.shared.not_converged": "inconsistent",
    "003.nll_ratio.summary": "reproduced",
    "003.s5.nll_ratio": "reproduced",
    "003.s9.rollout_comparable": "reproduced",
    "000.s3.exp1_control": "contradicted",
}  # fmt: skip


def test_verdicts_by_arithmetic(entries: dict[str, Entry]) -> None:
    assert {name: entries[name].verdict for name in EXPECTED} == EXPECTED


def test_degree_three_rows_fail_and_degree_four_rows_hold(entries: dict[str, Entry]) -> None:
    for check in ("taps", "gain_over_identity", "sup_norm"):
        for lam in range(1, 6):
            assert entries[f"000.s1.lyapunov.lyap_d3_l{lam}.{check}"].verdict == "inconsistent"
            assert entries[f"000.s1.lyapunov.lyap_d4_l{lam}.{check}"].verdict == "reproduced"


def test_every_printed_percentage_of_section_one_is_against_one_base(entries: dict[str, Entry]) -> None:
    percentages = [
        entry for name, entry in entries.items() if name.startswith("000.s1.") and name.endswith("_percent")
    ]
    assert len(percentages) == 26
    assert {entry.verdict for entry in percentages} == {"reproduced"}


def test_retractions_are_marked(claims: list[Claim]) -> None:
    by_id = {claim.id: claim for claim in claims}
    assert by_id["004.s5.omega.warm.bound"].spec.status == "retracted"
    assert by_id["001.shared.blow_up_is_discrete"].spec.status == "superseded"
    assert by_id["000.s1.baseline"].spec.status == "live"

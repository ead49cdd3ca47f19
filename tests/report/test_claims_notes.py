"""The five notes' claims as they stand: complete, decided by arithmetic, each finding explained."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from specseq.filters.diagnostics import sup_norm
from specseq.filters.stability import noise_gain, spectral_radius
from specseq.report.claims import VERDICTS, Claim, Entry, files, ledger
from specseq.report.claims.language import queries_of
from specseq.studies.config import load_plan
from specseq.studies.reports import load_claims

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
            assert verdict in ("reproduced", entry.claim.against(entry.kind)), entry.claim.id
            assert math.isfinite(entry.measured)
        else:
            assert verdict in ("not run", "not decidable at this scale"), entry.claim.id


def test_only_counts_and_whole_populations_have_no_sampling_error(claims: list[Claim]) -> None:
    """Of results, exact are a mask's violation and what is known of all zeros: no statistic of a sample."""
    exact = {
        (query.where.get("task"), query.where["metric"])
        for claim in claims
        for query in queries_of(claim.quantity)
        if query.exact and query.file == "tables/zeta_long.parquet"
    }
    assert exact == {(None, "causality_violation"), ("real/all", "data_std")}


def test_every_finding_against_a_note_is_explained(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        if entry.verdict in (*AGAINST, "does not hold"):
            text = entry.explanation
            assert len(text.split()) >= 25, f"{entry.claim.id}: {text}"
            assert "{" not in text


def test_every_claim_quotes_the_note_or_says_that_the_test_is_ours(claims: list[Claim]) -> None:
    for claim in claims:
        assert bool(claim.spec.quote) != claim.spec.ours or claim.spec.quote, claim.id


def test_no_test_of_ours_accuses_a_note(entries: dict[str, Entry]) -> None:
    """What the note does not state cannot be held against it, and what it states is shown."""
    for entry in entries.values():
        if entry.verdict in AGAINST:
            assert not entry.claim.spec.ours, entry.claim.id
            assert entry.claim.spec.quote, entry.claim.id


def test_outside_records_can_be_looked_up(entries: dict[str, Entry]) -> None:
    for entry in entries.values():
        for cited in entry.claim.spec.cites:
            assert len(cited.revision) == 40, entry.claim.id
            assert cited.line > 0
        if entry.claim.spec.fails == "contradicted" and entry.kind == "figures":
            assert entry.claim.spec.cites, entry.claim.id


def test_a_fault_is_counted_once(entries: dict[str, Entry]) -> None:
    """No accusations share their explanation, but rows of one template, which are figures of their own."""
    explained: dict[str, set[str]] = {}
    for entry in entries.values():
        if entry.verdict in AGAINST:
            explained.setdefault(entry.explanation, set()).add(entry.claim.family or entry.claim.id)
    assert {text: found for text, found in explained.items() if len(found) > 2} == {}


COUNTS = {"diverged", "parameters", "converged_unstable_roots"}


def test_no_measured_number_is_held_to_an_exact_one(claims: list[Claim]) -> None:
    """Causality in single precision is 0 to rounding: a tolerance of exactly 0 would call rounding a leak."""
    for claim in claims:
        for query in queries_of(claim.quantity):
            relation = claim.spec.relation
            width = relation.within if relation.about is not None else None
            tolerance_free = 0 in (relation.at_most, relation.at_least, width)
            if tolerance_free and query.exact:
                assert query.where.get("metric") in COUNTS, claim.id


def test_what_moves_by_up_to_something_is_the_largest_of_all_seeds(claims: list[Claim]) -> None:
    """A bound that one seed breaks is broken, whatever the mean over seeds."""
    largest = [q for claim in claims for q in queries_of(claim.quantity) if q.exact and q.pick == "max"]
    assert len(largest) > 8
    assert {query.over for query in largest} == {()}


def test_a_figure_of_one_forecaster_is_not_decided_by_another(claims: list[Claim]) -> None:
    for claim in claims:
        for query in queries_of(claim.quantity):
            groups = str(query.where.get("group", ""))
            if claim.spec.published and "Chronos-2" in claim.spec.statement:
                assert "chronos2" in groups, claim.id
            if "seasonal_naive" in groups:
                assert not claim.spec.published, claim.id


OF_TRAINED_OPERATORS = (
    "001.shared.limiting_mode_rotates", "001.shared.walls_measured", "003.s4.on_real",
    "004.s4.hopf", "004.s4.hopf_complex", "004.s4.gradient_is_not_it", "004.s4.break",
    "004.s5.drift", "004.s5.signals.omega",
)  # fmt: skip


def test_what_is_said_of_trained_operators_is_not_decided_by_toys(entries: dict[str, Entry]) -> None:
    for name in OF_TRAINED_OPERATORS:
        assert entries[name].verdict == "not decidable at this scale", name
        assert "scale paper" in entries[name].explanation


WITHDRAWN = (
    "000.s5.taps_digits", "000.s3.pending.stride16_d4_25k.beats_baseline", "000.s1.gap_grows_all",
    "001.q1.small_relocates", "001.q2.no_integrator_measured", "001.q3.anderson_cheaper",
    "001.q3.implicit_cost", "003.s7.peak", "003.s7.peak_factor", "004.s5.pair",
    "000.s2.best.regular5_beats_baseline", "000.s6.fine_tuning_filter", "003.s0.bug_old", "003.s7.residuals",
    "003.s3.ratios.err100",
)  # fmt: skip


def test_what_was_withdrawn_stays_away(entries: dict[str, Entry]) -> None:
    """Exactness nobody claimed, questions taken for predictions, figures of no note, second copies."""
    assert not set(WITHDRAWN) & set(entries)


def test_docs_hold_nothing_against_a_note_that_the_ledger_withdrew() -> None:
    """004.s5.pair was of a multiplier that no note prints; the circular form is not Flash STU's."""
    docs = {path.name: path.read_text(encoding="utf-8") for path in (CLAIMS.parents[1] / "docs").glob("*.md")}
    assert "Hopf pair" not in docs["equilibrium.md"]
    assert "published circular form" not in docs["stu.md"]


def test_an_accusation_quotes_the_sentence_that_it_is_against(entries: dict[str, Entry]) -> None:
    accused = entries["003.s5.flash.err100.best_of_three"]
    assert (accused.verdict, accused.claim.spec.quote) == (
        "inconsistent",
        "Flash модель - лучшая на всех метриках.",
    )


def test_no_two_claims_are_one(claims: list[Claim]) -> None:
    """The same quantity in the same region would be counted twice, whatever its words."""
    decided = Counter((repr(claim.quantity), claim.region.text) for claim in claims)
    assert [key for key, count in decided.items() if count > 1] == []


def test_agreement_in_sign_stands_beside_no_printed_size(claims: list[Claim]) -> None:
    """Decided at any size by its sign alone, a claim says nothing of how large the printed effect is."""
    for claim in claims:
        if not claim.compute and claim.region.text[:1] in "<>" and claim.spec.scales != ("paper",):
            assert not re.search(r"%|\dx$", claim.spec.published), claim.id


def test_agreement_by_construction_is_no_measurement(claims: list[Claim]) -> None:
    """A run beside itself under the identity filter agrees whatever it has learnt."""
    (control,) = (claim for claim in claims if claim.id == "000.s3.exp1_control_measured")
    assert (control.kind, control.spec.ours) == ("mechanism", True)


def test_words_in_place_of_raw_keys(claims: list[Claim]) -> None:
    for claim in claims:
        assert "horizon -1" not in claim.spec.statement, claim.id
        assert not re.search(r"\b(err_mean|weight_entropy|pit_std|pit_mean)\b", claim.spec.statement), (
            claim.id
        )
        if claim.kind == "measured" and not claim.spec.scales:
            assert "GIFT-Eval" not in claim.spec.statement, claim.id


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
            predictors = {name for name in _groups(claim) if "/references/" in name}  # no runs of a sweep
            assert set(_groups(claim)) <= known | predictors, claim.id


def test_queries_read_tables_of_the_scale(claims: list[Claim]) -> None:
    for claim in claims:
        for file in files(claim.quantity):
            assert file.startswith("tables/")
            assert file.endswith(".parquet")


# Checked by hand: numbers that the findings rest on.
MEASURED = {
    "000.s1.lyapunov.lyap_d4_l5.oracle_percent": 100 * (0.9624 / 1.0238 - 1),
    "000.s4.norms.learnable_s1.norm": 0.68259,
    "000.s3.one_basis": 100 * (1.3422 / 1.2869 - 1),
    "001.shared.same_floor": 0.089,
    "002.models.hybrid.parameters": 12_527_652,
    "002.training.schedule": 0,
    "002.models.matched": 13_827_528 / 12_527_652,
    "002.stu.mixture_logits": 1,
    "001.q2.no_integrator": math.exp(0.52),
    "003.s1.never_saw": 1,
    "000.s3.exp1_control": 100 * (1.3147 / 1.2422 - 1),
    "003.nll_ratio.summary": 0.689 / 0.069,
    "003.s6.baseline_parameters": 4_797_464,
    "003.s6.rows": 781_249,
    "003.s6.count": 200_000_000,
}


@pytest.mark.parametrize(("claim", "value"), MEASURED.items())
def test_numbers_behind_the_findings(entries: dict[str, Entry], claim: str, value: float) -> None:
    assert entries[claim].measured == pytest.approx(value, rel=1e-4, abs=1e-9)


EXPECTED = {
    "000.s1.baseline": "contradicted",
    "000.s1.baseline_is_mase": "reproduced",
    "000.s0.best_self": "reproduced",
    "000.s1.gap_grows": "reproduced",
    "000.s3.exp1.d2.monic": "reproduced",
    "000.s3.exp1.d6.monic": "inconsistent",
    "000.s5.taps": "reproduced",
    "001.q2.no_integrator": "reproduced",
    "002.models.matched": "inconsistent",
    "003.s0.range": "inconsistent",
    "003.s0.rollout": "reproduced",
    "003.s6.mean": "inconsistent",
    "001.shared.step_residual": "reproduced",
    "001.shared.same_floor": "reproduced",
    "001.shared.not_converged": "reproduced",
    "003.nll_ratio.summary": "reproduced",
    "003.s5.nll_ratio": "reproduced",
    "003.s9.rollout_comparable": "reproduced",
    "000.s3.exp1_control": "does not hold",
    "000.s4.two_best": "does not hold",
    "000.s3.exp1_base": "does not hold",      # the note does not say how long its baseline was trained
    "000.s4.improvement": "does not hold",    # nor over what stride 16 improves
    "002.stu.mixture_logits": "does not hold",  # it says four components, and there are four
    "002.training.schedule": "does not hold",  # it lists a cosine, and does not say that the rate decays
    "003.s1.horizon_200": "does not hold",    # a default without a result
    "001.q1.bounded_rotation": "does not hold",  # its mode is ours; the note has a damping beside the bound
    "003.s3.pit": "does not hold",            # a hypothesis, by which it means few components
}  # fmt: skip


def test_verdicts_by_arithmetic(entries: dict[str, Entry]) -> None:
    assert {name: entries[name].verdict for name in EXPECTED} == EXPECTED


def test_all_mixture_weights_move_with_one_logit_but_three_stay_equal() -> None:
    """Why a claim on constant weights would accuse wrongly: the softmax has one sum."""
    low, high = (np.exp(logits) / np.exp(logits).sum() for logits in np.array([[0, 0, 0, 0], [2.0, 0, 0, 0]]))
    assert (low != high).all()
    assert (high[1:] == high[1]).all()


def test_what_a_note_does_not_print_is_looked_up(claims: list[Claim]) -> None:
    """The attention mask of the memory models, the layout of the logits, the filter of both branches."""
    cited = {claim.id for claim in claims if claim.spec.cites}
    codes = {"003.leak.memory_published", "003.leak.flash_published", "002.stu.mixture_logits"}
    codes |= {"002.comparison.causal", "000.s1.lyapunov.lyap_d3_l1.taps", "000.s3.exp1.d6.monic"}
    assert codes | {"002.stu.even_lags"} <= cited
    assert not cited & {"003.leak.baseline", "003.leak.memory_causal", "003.leak.flash_causal"}


def test_linear_filters_are_compared_at_the_contexts_of_the_networks(claims: list[Claim]) -> None:
    """An autoregression's NLL at full order is over contexts that a row of 256 only partly has."""
    for claim in claims:
        for query in queries_of(claim.quantity):
            names = f"{query.where.get('run', '')} {query.where.get('group', '')}"
            if "zeta/references/ar" in names and claim.id.startswith("003.references."):
                assert query.where.get("metric") == "err_mean" or query.value == "nll_row", claim.id


def test_degree_three_rows_fail_and_degree_four_rows_hold(entries: dict[str, Entry]) -> None:
    for lam in range(1, 6):
        assert entries[f"000.s1.lyapunov.lyap_d3_l{lam}.taps"].verdict == "inconsistent"
        assert entries[f"000.s1.lyapunov.lyap_d4_l{lam}.taps"].verdict == "reproduced"


def test_numbers_that_explanations_state() -> None:
    """Roots and maxima of the printed lists, and the objective of no filter, which they exceed."""
    lists = {3: [-1.5, 0, 0.75], 4: [0, -2.0, 0, 1.125], 5: [0, 2.5, 0, -3.125, 0, 1.5625]}
    lists |= {6: [-4.5, 0, 6.75, 0, -4.5, 0], 7: [0, 7.0, 0, -14.0, 0, 10.5, 0]}
    for degree, radius in ((3, 1.12), (4, 1.03), (5, 1.875), (6, 4.12), (7, 2.96)):
        assert spectral_radius(np.array(lists[degree])) == pytest.approx(radius, abs=0.005)
        assert sup_norm(np.array(lists[degree])) > 1
    for lam, taps in ((1, [-0.454, 0, -0.306]), (5, [-0.128, 0, -0.142])):
        largest = sup_norm(np.array(taps))
        assert 1.27 <= round(largest, 2) <= 1.76
        assert largest + lam * noise_gain(np.array(taps)) > 1 + lam


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

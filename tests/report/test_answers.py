"""What the page opens a study with, from tables and ledgers whose answers are known."""

from pathlib import Path

import pandas as pd
import pytest

from specseq.report.gates import UNDECIDABLE
from specseq.report.page.answers import Answer, Found, answer_of
from specseq.studies import answers
from specseq.tables import Provenance, write_parquet

CLOSED = f"{UNDECIDABLE}: MASE of the baseline 3, of Seasonal Naive 2, ratio 1.5 [1.2, 1.9]"
OPEN = "decidable: MASE of the baseline 1, of Seasonal Naive 2, ratio 0.5 [0.4, 0.6]"
CLAIMS = pd.DataFrame(
    [
        ("a", "reproduced", "figures", "", None, None, ""),
        ("b", "reproduced", "measured", "undecided", None, None, ""),
        ("c", "does not hold", "measured", "", None, None, ""),
        ("d", "undecided", "measured", "", 9.0, None, "big"),
        ("e", "undecided", "measured", "", 5.0, 60.0, "big"),
        ("f", UNDECIDABLE, "measured", "", None, None, ""),
    ],
    columns=[
        "id",
        "verdict",
        "kind",
        "verdict_corrected",
        "deciding_seeds",
        "deciding_configs",
        "deciding_scale",
    ],
).assign(measured=-0.1, low=-0.2, high=-0.05)
BEST = {
    "benchmark": "gift_eval", "forecaster": "moirai2", "reversal": "self", "set": "all", "filters": 31,
    "ratio": 0.996, "low": 0.957, "high": 1.036,
    "chosen_ratio": 1.02, "chosen_low": 0.98, "chosen_high": 1.07,
}  # fmt: skip


def answered(study: str, folder: Path, name: str, rows: list[dict]) -> Answer:
    write_parquet(folder / "tables" / f"{name}.parquet", pd.DataFrame(rows), Provenance("table"))
    return answer_of(answers()[study], folder, CLAIMS, CLAIMS)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("worse", "no filter beats the unfiltered model once undone: even the best of 31 filters,"),
        ("undecided", "no filter is shown to beat the unfiltered model once undone: the best of 31"),
        ("better", "a filter beats the unfiltered model once undone: the filter chosen for each config"),
    ],
)  # fmt: skip
def test_the_best_filter_is_told_by_its_verdict_and_its_search(
    tmp_path: Path, verdict: str, said: str
) -> None:
    naive = {**BEST, "forecaster": "seasonal_naive", "verdict": "worse", "gate": None}
    row = {**BEST, "verdict": verdict, "gate": OPEN}
    answer = answered("preconditioning", tmp_path, "preconditioning_best", [row, naive])
    assert answer.finding.startswith(f"Around Moirai2, {said}")
    assert "seasonal_naive" not in answer.finding, "the forecaster that learnt something comes first"
    assert answer.sure == (
        "Runs decide 2 of 5 claims on trained or scored models (2 undecided, 1 not decidable at this scale). "
        "Of those decided, 1 does not survive Holm's correction within its search. "
        "Arithmetic and constructed tests decide 1 more. Intervals are 95 %."
    )
    assert answer.surer == (
        "At the observed spread, 2 of 2 undecided claims would be decided by more seeds, half of them by 7 "
        "or fewer. At the observed spread, 1 of 2 undecided claims would be decided by 60 configs. "
        "Scale big has enough seeds for 2 of these claims."
    )


def test_a_closed_gate_is_said_first(tmp_path: Path) -> None:
    rows = [{**BEST, "verdict": UNDECIDABLE, "gate": CLOSED}]
    answer = answered("preconditioning", tmp_path, "preconditioning_best", rows)
    assert answer.finding.startswith("**Not decidable at this scale:** the baseline has learnt no more than")
    assert "MASE of the baseline 3, of Seasonal Naive 2, ratio 1.5 [1.2, 1.9]" in answer.finding
    assert answer.surer.startswith("First, a baseline that beats its reference")


def test_hybrids_are_counted_by_verdict(tmp_path: Path) -> None:
    shared = {"benchmark": "gift_eval", "term": "all", "baseline": "stu/layout/attention", "gate": OPEN}
    rows = [
        {**shared, "group": f"stu/layout/{name}", "verdict": verdict,
         "ratio": r, "low": r - 0.1, "high": r + 0.1}
        for name, verdict, r in (
            ("attention", "baseline", 1.0), ("signed", "worse", 1.3), ("matched", "undecided", 1.05),
        )
    ]  # fmt: skip
    answer = answered("stu", tmp_path, "stu", rows)
    assert answer.finding == (
        "Of 2 hybrids compared with attention trained in the same way, 1 is worse and 1 is undecided. The "
        "best, picked in hindsight (layout/matched), has 1.050 [0.950, 1.150] times attention's MASE."
    )


@pytest.mark.parametrize(
    ("broke", "said"), [(0.0, "The wall was not reached"), (2 / 3, "above 0.01 in 2 of 3 seeds")]
)
def test_the_wall_is_said_to_be_reached_or_not(tmp_path: Path, broke: float, said: str) -> None:
    euler = {"group": "equilibrium/wall/euler", "seeds": 3, "broke": broke, "steps": 24.0, "gate": OPEN,
             "loss_best": 3.0, "loss_low": 2.9, "loss_high": 3.1, "loss_at_break": 3.05,
             "loss_at_break_low": 3.0, "loss_at_break_high": 3.1,
             "verdict": "", "against_euler": None}  # fmt: skip
    other = {**euler, "group": "equilibrium/wall/backward_euler", "verdict": "lower", "against_euler": -0.2,
             "against_low": -0.3, "against_high": -0.1}  # fmt: skip
    answer = answered("equilibrium", tmp_path, "equilibrium", [euler, other])
    assert said in answer.finding
    assert "The one other method (backward euler) reaches a lower loss than Euler" in answer.finding
    assert answer.finding.endswith("the difference is -0.200 [-0.300, -0.100] nats.")


def test_the_leak_stands_before_what_memory_is_worth(tmp_path: Path) -> None:
    row = {"group": "zeta/models/memory_published", "set": "real", "causality_violation": 0.2, "gate": OPEN,
           "nll": -0.5, "nll_low": -0.6, "nll_high": -0.4, "ar1": 0.4}  # fmt: skip
    answer = answered("zeta", tmp_path, "zeta", [row, {**row, "group": "zeta/models/memory_causal"}])
    assert answer.finding == (
        "The published memory mask leaks: changing later spacings moves earlier outputs by up to 0.2. Under "
        "a causal mask, the memory model has an NLL of -0.500 [-0.600, -0.400] nats, against 0.400 for AR(1)."
    )


@pytest.mark.parametrize("study", sorted(answers()))
def test_a_study_without_results_says_so(study: str, tmp_path: Path) -> None:
    assert answers()[study](Found(tmp_path, CLAIMS)) is None
    assert (
        answer_of(answers()[study], tmp_path, CLAIMS, CLAIMS).finding
        == "There are no runs of this study yet."
    )

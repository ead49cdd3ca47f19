"""The gate of comparisons: what a baseline is worth; no verdict stands behind a closed gate."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from specseq.report.claims import Claim, ledger, ledger_frame
from specseq.report.claims.language import Note, Statement
from specseq.report.gates import DECIDABLE, UNDECIDABLE, difference_gate, ratio_gate, worst
from specseq.settings import read
from specseq.tables import Provenance, write_parquet

OPEN = f"{DECIDABLE}: MASE of the baseline 1, of Seasonal Naive 2, ratio 0.5"
CLOSED = f"{UNDECIDABLE}: MASE of the baseline 3, of Seasonal Naive 2, ratio 1.5"


def test_the_worth_of_a_forecaster_is_the_geometric_mean_ratio_on_shared_configs() -> None:
    baseline = pd.DataFrame({0: [2.0, 8.0, 5.0], 1: [4.0, 4.0, 5.0]}, index=["a", "b", "elsewhere"])
    reference = pd.Series({"a": 4.0, "b": 4.0, "zero": 0.0})
    gate = ratio_gate("MASE", "Seasonal Naive", baseline, reference)
    assert gate.worth == pytest.approx(1.0)
    assert (gate.baseline_value, gate.reference_value) == (pytest.approx(4.0), pytest.approx(4.0))
    assert not gate.passes, "as good as seasonal naive is not better"
    # Means over seeds lie log √2 to both sides; Student's t has one degree of freedom.
    reach = stats.t.ppf(0.975, 1) * np.log([1 / np.sqrt(2), np.sqrt(2)]).std(ddof=1) / np.sqrt(2)
    assert gate.high == pytest.approx(np.exp(reach))
    better = ratio_gate("MASE", "Seasonal Naive", baseline * 0.5, reference)
    assert better.passes
    assert better.verdict("worse") == "worse"
    assert (gate.verdict("worse"), gate.verdict("diverged")) == (UNDECIDABLE, "diverged")
    assert gate.text.startswith(f"{UNDECIDABLE}: MASE of the baseline 4, of Seasonal Naive 4, ratio 1 [")


def test_a_baseline_that_was_lost_or_has_no_reference_passes_no_gate() -> None:
    lost = pd.DataFrame({0: [1.0, math.nan]}, index=["a", "b"])
    reference = pd.Series({"a": 2.0, "b": 2.0})
    assert not ratio_gate("MASE", "Seasonal Naive", lost, reference).passes
    assert not ratio_gate("MASE", "Seasonal Naive", lost.dropna(), reference[:0]).passes
    assert not difference_gate("loss", "a bigram model", np.array([1.0]), np.array([math.nan])).passes
    gates = [ratio_gate("MASE", "Seasonal Naive", frame, reference) for frame in (lost.fillna(1.0), lost)]
    assert worst(gates) is gates[1]
    assert worst([]) is None


def test_the_worth_of_a_likelihood_is_the_mean_difference_with_students_interval() -> None:
    gate = difference_gate("loss", "a bigram model", np.array([3.0, 3.1, 3.2]), np.array([3.3, 3.3, 3.3]))
    interval = stats.ttest_1samp([-0.3, -0.2, -0.1], 0).confidence_interval(0.95)
    assert (gate.worth, gate.low, gate.high) == pytest.approx((-0.2, interval.low, interval.high))
    assert gate.passes
    given = difference_gate("NLL", "AR(1)", np.array([0.5]), np.array([0.4]), (0.45, 0.55))
    assert (given.worth, given.low, given.high) == pytest.approx((0.1, 0.05, 0.15))


def _claim(name: str, quantity: dict, relation: dict, ungated: tuple[str, ...] = ()) -> Claim:
    spec = {"id": name, "place": "here", "statement": "It is so.", "quantity": quantity, "relation": relation}
    return Claim.of(read(Statement, spec, name), Note("000", "A note", ungated=ungated), {}, "planted")


def _planted(folder: Path, gate: str) -> None:
    draw = np.random.default_rng(0)
    groups = {"stu/a/x": 1.0, "stu/a/attention": 2.0, "stu/references/naive": 4.0}
    rows = [
        {
            "group": group,
            "seed": seed,
            "task": task,
            "metric": metric,
            "value": level * draw.lognormal(0, 0.01),
        }
        for group, level in groups.items()
        for seed in range(3)
        for task in "abcd"
        for metric in ("MASE", "parameters")
    ]
    compared = {"group": "stu/a/x", "ratio": 0.5, "low": 0.45, "high": 0.55, "gate": gate}
    write_parquet(folder / "tables" / "stu_long.parquet", pd.DataFrame(rows), Provenance("table"))
    write_parquet(folder / "tables" / "stu.parquet", pd.DataFrame([compared]), Provenance("table"))


def _of(group: str, metric: str = "MASE") -> dict:
    return {"query": {"file": "tables/stu_long.parquet", "where": {"group": group, "metric": metric}}}


@pytest.mark.parametrize(("gate", "verdict"), [(OPEN, "reproduced"), (CLOSED, UNDECIDABLE)])
def test_no_comparison_of_trained_models_stands_behind_a_closed_gate(
    tmp_path: Path, gate: str, verdict: str
) -> None:
    _planted(tmp_path, gate)
    row = {"query": {"file": "tables/stu.parquet", "where": {"group": "stu/a/x"}, "value": "ratio",
                     "interval": ["low", "high"]}}  # fmt: skip
    sides = [_of("stu/a/x"), _of("stu/a/x")]
    compared = [
        _claim("row", row, {"below": 1}),
        _claim("pair", {"ratio": sides}, {"between": [0.9, 1.1]}),
        _claim("value", _of("stu/a/x"), {"below": 1.5}),
    ]
    for entry in ledger(compared, tmp_path, "laptop"):
        assert entry.verdict == verdict, entry.claim.id
        assert entry.gate == gate
        assert math.isfinite(entry.low), "what was measured stays to be seen"
        assert ("ratio 1.5" in entry.explanation) == (verdict == UNDECIDABLE)
    # Sizes do not depend on what was learnt, and a reference needs no baseline.
    free = [
        _claim("size", _of("stu/a/x", "parameters"), {"below": 2}, ("param*",)),
        _claim("reference", {"ratio": [_of("stu/a/x"), _of("stu/references/naive")]}, {"below": 1}),
    ]
    entries = ledger(free, tmp_path, "laptop")
    assert [(entry.verdict, entry.gate) for entry in entries] == [("reproduced", "")] * 2
    assert ledger_frame(entries, "laptop")["gate"].tolist() == ["", ""]

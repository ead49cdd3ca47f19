"""The kind of evidence for a verdict, and what a run of another size or on other data can never decide."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from specseq.errors import InputError
from specseq.report.claims import arithmetic, ledger, ledger_frame
from specseq.report.claims.correction import holm, p_value
from specseq.report.claims.intervals import Axis, Measured
from specseq.report.claims.language import Note, Statement
from specseq.report.claims.loading import Claim, checks_of
from specseq.report.claims.relations import Relation
from specseq.settings import read
from specseq.tables import Provenance, write_parquet
from tests.report.planted_claims import claim, plant, query

FIGURE = {"quantity": query("base"), "relation": {"about": "1.0", "within": 0.5}}


def results(folder: Path, source: str) -> Path:
    """Long results of a run with its record, on data of one source."""
    plant(folder / "tables/a.parquet", {"base": 1.0, "better": 0.9})
    frame = pd.read_parquet(folder / "tables/a.parquet").assign(benchmark="gift_eval")
    write_parquet(folder / "tables/a.parquet", frame, Provenance("table"))
    for seed in (0, 1, 2):
        record = Provenance("pretrain", {"training": {"steps": 10, "batch": 4}})
        record.facts |= {"model_parameters": 1234, "inputs": {"store": str(folder / "data/lotsa")}}
        write_parquet(folder / f"runs/better_seed{seed}/pretrain.parquet", frame, record)
    for name in ("gift_eval", "lotsa"):
        (folder / "data" / name).mkdir(parents=True)
        manifest = {"datasets": {"co2": {"source": source, "licence": "public"}}}
        (folder / "data" / name / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_run_of_any_size_never_decides_a_printed_figure(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"a run of any size would decide a printed figure; give scales: \[paper\]"
    ):
        claim("figure", **FIGURE)
    with pytest.raises(InputError, match="printed figure"):
        claim("figure", query("base"), {"rounds_to": "1.00"}, scales=["laptop", "paper"])
    figure = claim("figure", **FIGURE, scales=["paper"])
    for scale, source, verdict, kind in (
        ("laptop", "hub", "not decidable at this scale", "measured"),
        ("paper", "statsmodels.datasets.co2", "not decidable at this scale", "measured"),
        ("paper", "hub", "undecided", "measured as published"),
    ):
        (entry,) = ledger([figure], results(tmp_path / f"{scale}{source}", source), scale)
        assert (entry.verdict, entry.kind) == (verdict, kind), (scale, source)
    assert "sizes of scale paper" in ledger([figure], tmp_path, "laptop")[0].explanation


def test_a_figure_of_a_benchmark_needs_all_of_it(tmp_path: Path) -> None:
    figure = claim("figure", **FIGURE, scales=["paper"])
    for configs, verdict in ((96, "not decidable at this scale"), (97, "undecided")):
        folder = results(tmp_path / str(configs), "hub")
        record = Provenance("evaluate")
        record.facts["configs"] = configs
        write_parquet(folder / "runs/base_seed0/gift_eval.parquet", pd.DataFrame({"a": [1]}), record)
        (entry,) = ledger([figure], folder, "paper")
        assert entry.verdict == verdict
        assert ("96 of 97 of GIFT-Eval" in entry.explanation) == (configs == 96)


def test_a_mechanism_may_be_measured_at_any_size_and_says_on_what(tmp_path: Path) -> None:
    made = claim("ratio", {"ratio": [query("better"), query("base")]}, {"below": 1})
    (entry,) = ledger([made], results(tmp_path, "statsmodels.datasets.co2"), "laptop")
    assert (entry.verdict, entry.kind) == ("reproduced", "measured")
    for part in ("embedded sets", "40 configs", "1,234 parameters", "10 steps of 4", "3 seeds"):
        assert part in entry.conditions
    assert "GIFT-Eval" not in entry.conditions
    frame = ledger_frame([entry], "laptop").iloc[0]
    assert (frame["kind"], frame["conditions"]) == ("measured", entry.conditions)


def test_arithmetic_of_printed_digits_is_told_from_closed_forms() -> None:
    figures = claim("sum", {"arithmetic": "total", "of": {"of": [2, 2]}}, {"about": 4, "within": 0})
    closed = claim("sum", {"arithmetic": "total", "of": {"of": [2, 2]}}, {"above": 3}, rests_on="mechanism")
    constructed = claim("built", query("base", constructed=True), {"below": 2})
    assert [made.kind for made in (figures, closed, constructed)] == ["figures", "mechanism", "mechanism"]


def test_what_the_note_does_not_state_is_not_held_against_it(tmp_path: Path) -> None:
    plant(tmp_path / "tables/a.parquet", {"base": 1.0, "worse": 1.1})
    quantity = {"ratio": [query("worse"), query("base")]}
    stated, asked = (
        claim(name, quantity, {"below": 1}, ours=name == "asked") for name in ("stated", "asked")
    )
    for scale, held in (("paper", "contradicted"), ("laptop", "does not hold")):
        verdicts = [entry.verdict for entry in ledger([stated, asked], tmp_path, scale)]
        assert verdicts == [held, "does not hold"], "nor what runs of another size show"
    closed = {"arithmetic": "total", "of": {"of": [2, 2]}}
    (entry,) = ledger([claim("closed", closed, {"above": 5}, ours=True)], tmp_path, "laptop")
    assert entry.verdict == "does not hold"


def test_a_verdict_that_a_claim_cannot_have_is_not_explained() -> None:
    """Its paragraph would never be read."""
    of = {"arithmetic": "total", "of": {"of": [2, 2]}}
    for key, ours in (("contradicted", False), ("inconsistent", True), ("does not hold", False)):
        with pytest.raises(InputError, match=f"explains '{key}', which it cannot become"):
            claim("closed", of, {"above": 5}, ours=ours, explain={key: "Because."})
    claim("closed", of, {"above": 5}, ours=True, explain={"does not hold": "Because."})
    claim(
        "run",
        query("base"),
        {"above": 5},
        explain={"contradicted": "As published.", "does not hold": "Here."},
    )


def searched(count: int, folder: Path) -> list[Claim]:
    """Claims of one search: all but the first compare what does not differ."""
    rng = np.random.default_rng(0)
    rows = [
        {"run": f"r{n}", "ratio": 0.95 if n == 0 else float(rng.normal(1, 0.01)), "half": 0.045}
        for n in range(count)
    ]
    frame = pd.DataFrame(rows)
    frame["low"], frame["high"] = frame["ratio"] - frame["half"], frame["ratio"] + frame["half"]
    write_parquet(folder / "tables/t.parquet", frame, Provenance("table"))

    def one(n: int) -> Claim:
        of = {
            "file": "tables/t.parquet",
            "where": {"run": f"r{n}"},
            "value": "ratio",
            "interval": ["low", "high"],
        }
        spec = {"id": f"r{n}", "place": "here", "statement": "It is so.", "family": "search"}
        statement = read(Statement, {**spec, "quantity": {"query": of}, "relation": {"below": 1}}, "planted")
        return Claim.of(statement, Note("000", "A note"), checks_of([arithmetic]), "planted")

    return [one(n) for n in range(count)]


def test_the_best_of_many_is_corrected_for_the_search(tmp_path: Path) -> None:
    alone = ledger(searched(1, tmp_path), tmp_path, "laptop")[0]
    assert (alone.verdict, alone.correction) == ("reproduced", None)
    best = ledger(searched(10, tmp_path), tmp_path, "laptop")[0]
    assert best.verdict == "reproduced"
    assert best.correction is not None
    assert (best.correction.comparisons, best.correction.verdict) == (10, "undecided")
    assert best.correction.p == pytest.approx(
        10 * math.erfc(0.05 / (0.045 / 1.959964) / math.sqrt(2)), rel=1e-3
    )


def interval(value: float, low: float, high: float, *axes: Axis, scale: str = "difference") -> Measured:
    return Measured(value, low, high, False, 1, "", axes=axes, scale=scale)


def test_p_values_agree_with_the_interval_and_holm_with_its_definition() -> None:
    below = read(Relation, {"below": 1}, "here").region
    seeds, configs = Axis("seeds", 3), Axis("configs", 50)
    for axes in ((), (seeds,), (seeds, configs)):
        assert p_value(below, interval(0.9, 0.8, 1.0, *axes)) == pytest.approx(0.05)
        assert p_value(below, interval(1.1, 1.0, 1.2, *axes)) == pytest.approx(0.05)
        assert p_value(below, interval(0.9, 0.7, 1.0, *axes, scale="ratio")) == pytest.approx(0.05)
    assert p_value(below, interval(0.9, 0.85, 0.95)) < 0.001
    assert p_value(below, interval(0.0, -1.0, 2.0, scale="ratio")) != 0  # a ratio of 0 has no logarithm
    near = read(Relation, {"between": [0.9, 1.3]}, "here").region
    assert p_value(near, interval(1.0, 0.9, 1.1)) == pytest.approx(0.05)
    assert math.isnan(p_value(below, interval(0.9, math.nan, math.nan)))
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_the_p_value_of_few_seeds_is_that_of_a_t_test() -> None:
    values = np.array([0.2, 0.31, 0.27])
    test = ttest_1samp(values, 0.05)
    found = interval(values.mean(), *test.confidence_interval(0.95), Axis("seeds", 3))
    above = read(Relation, {"above": 0.05}, "here").region
    assert p_value(above, found) == pytest.approx(test.pvalue)
    assert p_value(above, replace(found, axes=())) < test.pvalue / 5  # as the normal tail would have it


def test_three_points_make_no_trend_and_correlations_stay_in_bounds(tmp_path: Path) -> None:
    def curve(points: int) -> dict:
        rows = [
            {"seed": seed, "step": step, "value": step + (0.5 * seed if step == 1 else 0)}
            for seed in (0, 1, 2) for step in range(points)
        ]  # fmt: skip
        write_parquet(tmp_path / f"tables/{points}.parquet", pd.DataFrame(rows), Provenance("table"))
        of = {"query": {"file": f"tables/{points}.parquet", "over": ["seed"]}}
        return {"trend": {"of": of, "x": "step"}}

    three, eight = (claim(f"p{points}", curve(points), {"above": 0}) for points in (3, 8))
    few, many = ledger([three, eight], tmp_path, "laptop")
    assert few.verdict == "not run"
    assert "too few for a trend" in few.explanation
    assert many.verdict == "reproduced"
    assert -1 <= many.low <= many.measured <= many.high <= 1


def test_a_share_keeps_its_interval_between_0_and_1(tmp_path: Path) -> None:
    rows = [{"seed": seed, "value": value} for seed, value in enumerate((0.99, 0.8, 1.0))]
    write_parquet(tmp_path / "tables/t.parquet", pd.DataFrame(rows), Provenance("table"))
    of = {"query": {"file": "tables/t.parquet", "over": ["seed"], "bounds": [0, 1]}}
    (entry,) = ledger([claim("share", of, {"above": 0.2})], tmp_path, "laptop")
    assert 0 <= entry.low < entry.high == 1


def test_results_of_one_scale_are_not_judged_as_those_of_another(tmp_path: Path) -> None:
    frame = pd.DataFrame({"run": ["a"], "scale": ["laptop"], "value": [1.0]})
    write_parquet(tmp_path / "tables/t.parquet", frame, Provenance("table"))
    with pytest.raises(InputError, match="holds results of scale laptop, not paper; give --scale laptop"):
        ledger([], tmp_path, "paper")
    assert ledger([], tmp_path, "laptop") == []


def test_an_interval_without_width_decides_nothing(tmp_path: Path) -> None:
    rows = {"run": ["a"], "value": [0.5], "low": [0.5], "high": [0.5]}
    write_parquet(tmp_path / "tables/t.parquet", pd.DataFrame(rows), Provenance("table"))
    of = {"query": {"file": "tables/t.parquet", "interval": ["low", "high"]}}
    (entry,) = ledger([claim("one", of, {"below": 1})], tmp_path, "laptop")
    assert entry.verdict == "undecided"
    assert "no width" in entry.explanation


def test_what_took_no_effect_is_not_held_against_a_note(tmp_path: Path) -> None:
    plant(tmp_path / "tables/a.parquet", {"base": 1.0})
    rows = pd.read_parquet(tmp_path / "tables/a.parquet")
    twins = pd.concat([rows, rows.assign(run="capped")])
    write_parquet(tmp_path / "tables/a.parquet", twins, Provenance("table"))
    quantity = {"difference": [query("capped"), query("base")]}
    claims = [claim("lowers", quantity, {"below": 0}), claim("costs_nothing", quantity, {"at_most": 0})]
    lowers, costs_nothing = ledger(claims, tmp_path, "laptop")
    assert (lowers.verdict, costs_nothing.verdict) == ("undecided", "reproduced")
    assert "has no effect here" in lowers.explanation
    assert lowers.power is not None
    assert lowers.power.text.startswith("More seeds alone do not decide it: both sides are the same")


def test_printed_commands_run_as_they_stand(tmp_path: Path) -> None:
    (entry,) = ledger([claim("ratio", query("base"), {"below": 1})], tmp_path, "laptop")
    assert entry.command == "snakemake --cores all results/laptop/tables/a.parquet"

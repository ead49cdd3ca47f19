"""Planted results give the verdicts they should; a missing file changes its own claims and no other."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.report.claims import COLUMNS, ledger, ledger_frame
from specseq.report.claims.intervals import Measured
from specseq.report.claims.ledger import verdict_of
from specseq.tables import Provenance, write_parquet
from tests.report.planted_claims import SEEDS, claim, plant, query, verdicts

# Of printed figures only runs at the published size decide; these claims are of none.
mechanism = partial(claim, rests_on="mechanism")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    plant(tmp_path / "tables/a.parquet", {"base": 1.0, "better": 0.9, "worse": 1.1, "same": 1.0})
    plant(tmp_path / "tables/b.parquet", {"base": 1.0, "better": 0.8})
    return tmp_path


def test_planted_ratios(results: Path) -> None:
    below = {"below": 1}
    made = [
        claim(run, {"ratio": [query(run), query("base")]}, below) for run in ("better", "worse", "same")
    ] + [claim("absent", {"ratio": [query("absent"), query("base")]}, below)]
    assert verdicts(results, *made) == {
        "better": "reproduced", "worse": "does not hold", "same": "undecided", "absent": "not run",
    }  # fmt: skip


def test_measured_values_and_intervals(results: Path) -> None:
    made = mechanism("percent", {"percent": [query("better"), query("base")]}, {"about": -10, "within": 2})
    (entry,) = ledger([made], results, "laptop")
    found = entry
    assert found.verdict == "reproduced"
    assert found.low < found.measured < found.high
    assert found.measured == pytest.approx(-10, abs=0.5)
    assert "tables/a.parquet [run=better, metric=MASE] 120 rows" in found.evidence
    (again,) = ledger([made], results, "laptop")
    assert (again.low, again.high) == (found.low, found.high)


def test_pairing_beats_the_spread_of_tasks(results: Path) -> None:
    """The task effect spans orders of magnitude; unpaired, ten per cent would drown in it."""
    apart = claim("apart", query("better", reduce="gmean"), {"below": 1})
    together = claim("together", {"ratio": [query("better"), query("base")]}, {"below": 1})
    assert verdicts(results, apart, together) == {"apart": "undecided", "together": "reproduced"}


def test_difference_of_means(results: Path) -> None:
    made = claim("difference", {"difference": [query("worse"), query("base")]}, {"above": 0})
    assert verdicts(results, made) == {"difference": "reproduced"}


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    plant(tmp_path / "tables/a.parquet", {"base": 1.0, "better": 0.5}, seeds=(0,))
    made = claim("one", {"ratio": [query("better"), query("base")]}, {"below": 1})
    (entry,) = ledger([made], tmp_path, "laptop")
    assert entry.verdict == "undecided"
    assert entry.measured == pytest.approx(0.5, rel=0.02)
    assert "one seed" in entry.explanation


def test_nothing_drawn_needs_no_seeds_and_serves_every_seed(results: Path) -> None:
    plant(results / "tables/naive.parquet", {"naive": 1.0}, noise=0.0, seeds=(-1,))
    naive = query("naive", "tables/naive.parquet")
    alone = mechanism("alone", {"ratio": [naive, naive]}, {"about": 1, "within": 0})
    mixed = claim("mixed", {"ratio": [query("better"), naive]}, {"below": 1})
    assert verdicts(results, alone, mixed) == {"alone": "reproduced", "mixed": "reproduced"}


def test_a_seed_effect_is_not_averaged_away_by_tasks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    luck = {0: 0.9, 1: 1.12, 2: 0.95}
    rows = [
        {"run": run, "seed": seed, "task": f"t{task}", "metric": "MASE",
         "value": (luck[seed] if run == "new" else 1.0) * rng.lognormal(0, 0.01)}
        for run in ("new", "base") for seed in SEEDS for task in range(100)
    ]  # fmt: skip
    write_parquet(tmp_path / "tables/a.parquet", pd.DataFrame(rows), Provenance("table"))
    made = claim("luck", {"ratio": [query("new"), query("base")]}, {"below": 1})
    assert verdicts(tmp_path, made) == {"luck": "undecided"}


def test_diverged_runs_are_undecided_and_said(results: Path) -> None:
    frame = pd.DataFrame(
        [{"run": "nan", "seed": s, "task": "t", "metric": "MASE", "value": math.nan} for s in SEEDS]
    )
    write_parquet(results / "tables/nan.parquet", frame, Provenance("table"))
    made = claim("nan", query("nan", "tables/nan.parquet"), {"below": 1})
    (entry,) = ledger([made], results, "laptop")
    assert entry.verdict == "undecided"
    assert "undefined" in entry.explanation


def along_training(path: Path, ends: dict[str, dict[int, list[float]]], early: tuple[str, ...] = ()) -> None:
    """Curves of runs ``group/<name>_seed<s>``; those named in ``early`` have a row that says so."""
    rows = [
        {"group": f"group/{name}", "run": f"group/{name}_seed{seed}", "seed": seed, "metric": "residual",
         "step": step, "value": value}
        for name, seeds in ends.items() for seed, curve in seeds.items() for step, value in enumerate(curve)
    ]  # fmt: skip
    rows += [{**row, "metric": "diverged", "value": 1.0} for row in rows if row["run"] in early]
    write_parquet(path, pd.DataFrame(rows), Provenance("table"))


def test_seeds_that_were_lost_leave_a_claim_undecided(tmp_path: Path) -> None:
    """Two seeds that went well say nothing of the third."""
    well = {0: [0.5, 0.01, 0.001], 1: [0.5, 0.01, 0.0011]}
    file = "tables/a.parquet"
    along_training(
        tmp_path / file,
        {
            "well": {**well, 2: [0.5, 0.01, 0.0012]},
            "stopped": {**well, 2: [0.5, 0.001]},  # its last row is good, and not that of its end
            "blown": {**well, 2: [0.5, 0.01, math.inf]},
            "lost": {**well, 2: [0.5, 0.01, math.nan]},
        },
        early=("group/stopped_seed2",),
    )

    def at(name: str, pick: str = "last") -> dict:
        where = {"group": f"group/{name}", "metric": "residual"}
        return {"query": {"file": file, "where": where, "over": ["seed"], "pick": pick}}

    small, names = {"below": 0.01}, ("well", "stopped", "blown", "lost")
    made = [claim(name, at(name), small) for name in names]
    assert verdicts(tmp_path, *made) == dict.fromkeys(names[1:], "undecided") | {"well": "reproduced"}
    found = {entry.claim.id: entry for entry in ledger(made, tmp_path, "laptop")}
    assert "ended early: group/stopped_seed2" in found["000.stopped"].explanation
    assert "no finite value with seed 2" in found["000.lost"].explanation
    assert math.isnan(found["000.stopped"].low)
    against = [claim(name, {"ratio": [at(name), at("well")]}, {"below": 2}) for name in names]
    assert verdicts(tmp_path, *against) == dict.fromkeys(names[1:], "undecided") | {"well": "reproduced"}
    # What was lowest before the end is what it is, and so is the trend up to there.
    lowest = [claim(name, at(name, "min"), {"below": 0.1}) for name in names]
    assert set(verdicts(tmp_path, *lowest).values()) == {"reproduced"}


def test_a_trend_stands_on_the_steps_that_a_run_took(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    falling = {s: [5 - t + rng.normal(0, 0.01) for t in range(6)] for s in SEEDS}
    falling[2] = [*falling[2][:4], math.nan, math.nan]
    along_training(tmp_path / "tables/a.parquet", {"falls": falling, "short": {s: [2.0, 1.0] for s in SEEDS}})

    def trend(name: str) -> dict:
        where = {"group": f"group/{name}", "metric": "residual"}
        one = {"query": {"file": "tables/a.parquet", "where": where, "over": ["seed"]}}
        return {"trend": {"of": one, "x": "step"}}

    made = [claim(name, trend(name), {"below": 0}) for name in ("falls", "short")]
    assert verdicts(tmp_path, *made) == {"falls": "reproduced", "short": "not run"}
    assert ledger(made, tmp_path, "laptop")[0].measured == pytest.approx(-1)


def test_partners_are_required_and_the_loss_is_said(results: Path) -> None:
    frame = pd.DataFrame(
        [
            {"run": "few", "seed": s, "task": f"t{t}", "metric": "MASE", "value": 0.1}
            for s in SEEDS
            for t in range(10)
        ]
    )
    write_parquet(results / "tables/few.parquet", frame, Provenance("table"))
    made = claim("few", {"ratio": [query("few", "tables/few.parquet"), query("base")]}, {"below": 1})
    (entry,) = ledger([made], results, "laptop")
    assert "90 replicates without a partner" in entry.explanation
    other = claim(
        "none",
        {"ratio": [query("few", "tables/few.parquet"), query("base", where={"run": "base", "task": "t39"})]},
        {"below": 1},
    )
    assert verdicts(results, other) == {"none": "not run"}


def test_trend_over_a_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"degree": d, "seed": s, "up": d + rng.normal(0, 0.1), "flat": rng.normal()}
        for d in range(1, 8) for s in range(5)
    ]  # fmt: skip
    write_parquet(tmp_path / "tables/t.parquet", pd.DataFrame(rows), Provenance("table"))

    def rise(value: str) -> dict:
        return {"trend": {"of": {"query": {"file": "tables/t.parquet", "value": value}}, "x": "degree"}}

    made = [claim(v, rise(v), {"above": 0.5}) for v in ("up", "flat")]
    found = verdicts(tmp_path, *made)
    assert found["up"] == "reproduced"
    assert found["flat"] in ("undecided", "does not hold")
    few = claim(
        "few",
        {
            "trend": {
                "of": {"query": {"file": "tables/t.parquet", "value": "up", "where": {"degree": [1, 2]}}},
                "x": "degree",
            }
        },
        {"above": 0},
    )
    assert verdicts(tmp_path, few) == {"few": "not run"}


def test_where_understands_numbers_lists_ranges_and_truth(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "d": [1, 2, 3, 4],
            "lam": [0.5, 1.0, 1.5, 2.0],
            "ok": [True, True, False, False],
            "value": [1.0, 2, 3, 4],
        }
    )
    write_parquet(tmp_path / "tables/w.parquet", frame, Provenance("table"))
    cases = {
        "number": ({"lam": "1.0"}, 2), "list": ({"d": [1, 4]}, 2.5),
        "range": ({"d": {"min": 2, "max": 3}}, 2.5), "truth": ({"ok": True}, 1.5),
    }  # fmt: skip
    made = [
        mechanism(
            n,
            {"query": {"file": "tables/w.parquet", "where": w, "exact": True}},
            {"about": x, "within": 1e-9},
        )
        for n, (w, x) in cases.items()
    ]
    assert set(verdicts(tmp_path, *made).values()) == {"reproduced"}


def test_exact_queries_are_reproduced_or_contradicted(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "tables/n.parquet", pd.DataFrame({"parameters": [13_827_528]}), Provenance("table")
    )
    count = {"query": {"file": "tables/n.parquet", "value": "parameters", "exact": True}}
    made = (
        mechanism("right", count, {"about": 13827528, "within": 0}),
        mechanism("wrong", count, {"rounds_to": "12500000"}),
    )
    assert verdicts(tmp_path, *made) == {"right": "reproduced", "wrong": "contradicted"}


def test_exact_comparisons_and_figures_that_are_infinite(tmp_path: Path) -> None:
    rows = [("anderson", 120.0), ("newton", 96.0), ("euler", math.inf), ("heun", math.nan)]
    frame = pd.DataFrame(rows, columns=["method", "value"])
    write_parquet(tmp_path / "tables/s.parquet", frame, Provenance("table"))

    def of(method: str) -> dict:
        return {"query": {"file": "tables/s.parquet", "where": {"method": method}, "exact": True}}

    made = [
        claim("cheaper", {"ratio": [of("newton"), of("anderson")]}, {"below": 1}),
        claim("dearer", {"difference": [of("newton"), of("anderson")]}, {"above": 0}),
        claim("never", of("euler"), {"above": 1000}),
        claim("arrives", of("euler"), {"at_most": 1000}),
        claim("unknown", of("heun"), {"at_most": 1000}),
    ]
    assert verdicts(tmp_path, *made) == {
        "cheaper": "reproduced", "dearer": "does not hold", "never": "reproduced", "arrives": "does not hold",
        "unknown": "undecided",
    }  # fmt: skip
    assert ledger(made, tmp_path, "laptop")[0].measured == pytest.approx(0.8)


def test_a_claim_names_the_scale_that_can_decide_it(results: Path) -> None:
    asked = claim("absent", query("absent"), {"below": 1})
    big = claim("big", query("better"), {"below": 1}, scales=["paper"])
    declared = {"laptop": {"better", "base"}, "paper": {"better", "absent"}}
    found, needs_paper = ledger([asked, big], results, "laptop", declared)
    assert found.explanation.endswith("no such run at this scale, but at scale paper")
    assert found.command == needs_paper.command == "snakemake --cores all results/paper/tables/a.parquet"
    own = {"paper": {f"{big.study}/a_seed{n}" for n in (0, 1)} | {"elsewhere/a_seed0"}}
    (sized,) = ledger([big], results, "laptop", own)
    assert f"(2 runs of {big.study}; see specseq cost --scale paper --only {big.study})" in sized.explanation
    (late,) = ledger([asked], results, "laptop", {"laptop": {"absent"}})
    assert late.explanation.endswith("no result of it is there yet")
    assert late.command == "snakemake --cores all results/laptop/tables/a.parquet"
    (never,) = ledger([asked], results, "laptop", {"laptop": set()})
    assert never.command == ""


def test_what_a_claim_needs_is_said_where_it_was_not_run(results: Path) -> None:
    needs = {"not run": "It needs a model whose rollouts are part of its loss."}
    made = claim("absent", query("absent"), {"below": 1}, explain=needs)
    (entry,) = ledger([made], results, "laptop")
    assert entry.verdict == "not run"
    assert entry.explanation.endswith("at this scale. It needs a model whose rollouts are part of its loss.")


def test_scale_that_cannot_decide(results: Path) -> None:
    made = claim("big", {"ratio": [query("better"), query("base")]}, {"below": 1}, scales=("paper",))
    assert verdicts(results, made) == {"big": "not decidable at this scale"}
    assert verdicts(results, made, scale="paper") == {"big": "reproduced"}


def test_deleting_a_file_touches_its_claims_and_no_other(results: Path) -> None:
    a, b = query("better"), query("better", "tables/b.parquet")
    made = [
        claim("a", {"ratio": [a, query("base")]}, {"below": 1}),
        claim("b", {"ratio": [b, query("base", "tables/b.parquet")]}, {"below": 1}),
        claim("both", {"ratio": [b, a]}, {"below": 1}),
        claim("sum", {"arithmetic": "total", "of": {"of": [1]}}, {"about": 1, "within": 0}),
        claim("big", {"ratio": [a, b]}, {"below": 1}, scales=("paper",)),
    ]
    uses = {"tables/a.parquet": {"a", "both"}, "tables/b.parquet": {"b", "both"}}
    before = ledger_frame(ledger(made, results, "laptop"), "laptop").set_index("id")
    for file, affected in uses.items():
        kept = (results / file).read_bytes()
        (results / file).unlink()
        after = ledger_frame(ledger(made, results, "laptop"), "laptop").set_index("id")
        changed = {
            name.split(".")[1] for name in before.index if not before.loc[name].equals(after.loc[name])
        }
        assert changed == affected
        for name in affected:
            assert after.loc[f"000.{name}", "verdict"] == "not run"
            assert f"snakemake --cores all results/laptop/{file}" in after.loc[f"000.{name}", "explanation"]
        (results / file).write_bytes(kept)
    restored = ledger_frame(ledger(made, results, "laptop"), "laptop").set_index("id")
    pd.testing.assert_frame_equal(before, restored)


def test_a_broken_file_is_as_good_as_none(results: Path) -> None:
    (results / "tables/a.parquet").write_bytes(b"PAR1 half written")
    broken = claim("a", {"ratio": [query("better"), query("base")]}, {"below": 1})
    whole = claim(
        "b", {"ratio": [query("better", "tables/b.parquet"), query("base", "tables/b.parquet")]}, {"below": 1}
    )
    assert verdicts(results, broken, whole) == {"a": "not run", "b": "reproduced"}
    assert "cannot be read" in ledger([broken], results, "laptop")[0].explanation


def test_a_column_that_is_not_there_is_named(results: Path) -> None:
    made = claim("column", query("better", value="crps"), {"below": 1})
    (entry,) = ledger([made], results, "laptop")
    assert entry.verdict == "not run"
    assert "has no column 'crps'" in entry.explanation


RELATIONS = [
    {"below": 1}, {"above": 1}, {"at_most": 1}, {"at_least": 1}, {"between": [0.5, 1.5]},
    {"about": 1, "within": 0.2}, {"about": 1, "within_percent": 30}, {"rounds_to": "1.0"},
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(RELATIONS), st.floats(0, 2), st.floats(0, 2))
def test_every_point_of_the_interval_is_asked(relation: dict, one: float, other: float) -> None:
    """Reproduced if all points of the interval satisfy the relation, contradicted if none, else undecided."""
    low, high = sorted((one, other))
    made = mechanism("x", query("base"), relation)
    points = np.concatenate([np.linspace(low, high, 999), [low, high]])
    for end in (made.region.low, made.region.high):
        points = np.append(points, end) if low <= end <= high else points
    inside = [made.region.contains(point) for point in points]
    wanted = "reproduced" if all(inside) else "undecided" if any(inside) else "contradicted"
    found = Measured((low + high) / 2, low, high, False, 9, "")
    touching = min(abs(low - made.region.high), abs(high - made.region.low)) < 1e-6 or high - low < 1e-6
    assert touching or verdict_of(made, found, "measured as published")[0] == wanted


def test_ledger_frame_is_complete(results: Path) -> None:
    made = claim("a", {"ratio": [query("better"), query("base")]}, {"below": 1}, status="superseded")
    frame = ledger_frame(ledger([made], results, "laptop"), "laptop")
    assert tuple(frame.columns) == COLUMNS
    assert frame.loc[0, "command"] == "snakemake --cores all results/laptop/tables/a.parquet"
    assert frame.loc[0, "status"] == "superseded"
    empty = ledger_frame([], "laptop")
    assert tuple(empty.columns) == COLUMNS

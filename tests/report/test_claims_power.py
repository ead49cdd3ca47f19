"""How many replicates would decide a claim: the formula, its promise simulated, what the ledger says."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from specseq.commands.claims import describe
from specseq.report.claims import ledger, ledger_frame
from specseq.report.claims.intervals import Axis, Measured
from specseq.report.claims.power import power_of, replicates
from specseq.report.claims.relations import Region
from specseq.tables import Provenance, write_parquet
from tests.report.planted_claims import claim

BELOW_ONE = Region(-math.inf, 1, True, "< 1")


@pytest.mark.parametrize(("sd", "distance"), [(1.0, 3.0), (1.0, 0.5), (0.2, 0.011), (5.0, 0.4)])
def test_replicates_are_the_least_whose_interval_excludes_the_bound(sd: float, distance: float) -> None:
    n = replicates(sd, distance)
    assert n is not None
    reach = [stats.t.ppf(0.975, k - 1) * sd / np.sqrt(k) for k in (n, max(2, n - 1))]
    assert reach[0] < distance
    assert n == 2 or reach[1] >= distance


def test_no_number_decides_an_estimate_on_its_bound() -> None:
    assert replicates(1.0, 0.0) is None
    assert replicates(1.0, 1e-6) is None
    assert replicates(math.nan, 1.0) is None
    assert replicates(0.0, 1.0) == 2


def test_so_many_replicates_decide_about_every_other_time_and_far_more_nearly_always() -> None:
    draw = np.random.default_rng(0)
    sd, distance = 1.0, 0.4
    n = replicates(sd, distance)
    assert n is not None

    def decided(number: int) -> float:
        samples = draw.normal(distance, sd, size=(4000, number))
        half = stats.t.ppf(0.975, number - 1) * samples.std(axis=1, ddof=1) / np.sqrt(number)
        return float((np.abs(samples.mean(axis=1)) > half).mean())

    assert decided(n) == pytest.approx(0.5, abs=0.05)
    assert decided(n // 3) < 0.3
    assert decided(3 * n) > 0.9


def test_the_axis_that_is_short_is_named_and_the_smallest_scale_that_has_it() -> None:
    axes = (Axis("configs", 40, 0.1), Axis("seeds", 3, 0.1))
    found = Measured(0.9, 0.7, 1.15, False, 120, "", "", axes, "ratio")
    declared = {
        "laptop": {f"a/b_seed{n}" for n in range(3)} | {"a/b"},
        "big": {f"a/{x}_seed{n}" for x in "bc" for n in range(50)},
        "enough": {f"a/b_seed{n}" for n in range(7)} | {"a/c_seed0"},
    }
    power = power_of(found, BELOW_ONE, {"a/b"}, declared)
    assert power is not None
    needed = replicates(0.1, abs(math.log(0.9)))
    assert (power.seeds, power.configs, power.scale) == (needed, None, "enough")
    assert (
        power.text == f"At the spread observed it takes {needed} seeds (here 3); scale enough has the seeds"
    )
    assert power_of(found, BELOW_ONE, {"a/b", "a/c"}, declared).scale == "big"  # type: ignore[union-attr]
    assert power_of(found, BELOW_ONE, {"elsewhere"}, declared).scale == ""  # type: ignore[union-attr]
    row = Measured(0.9, 0.7, 1.15, False, 1, "", "", (Axis("seeds", 3),))
    sd = 0.25 * math.sqrt(3) / stats.t.ppf(0.975, 2)  # what the interval's half towards the bound implies
    assert power_of(row, BELOW_ONE, set(), {}).seeds == replicates(sd, 0.1)  # type: ignore[union-attr]


def test_replicates_that_are_not_counted_are_said_by_their_multiple_and_lost_runs_by_name() -> None:
    windows = Measured(0.9, 0.7, 1.1, False, 1, "")
    power = power_of(windows, BELOW_ONE, set(), {})
    assert power is not None
    assert (power.seeds, power.configs, power.scale) == (None, None, "")
    assert power.text == "At the spread observed it takes 4.0 times as many points or windows"
    lost = Measured(0.9, math.nan, math.nan, False, 3, "", "ended early: a/b_seed0")
    found = power_of(lost, BELOW_ONE, set(), {})
    assert found is not None
    assert found.text == "More seeds alone do not decide it: ended early: a/b_seed0"


def test_the_ledger_says_what_would_decide_an_undecided_claim(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    rows = [
        {"group": "a/b", "run": f"a/b_seed{seed}", "seed": seed, "metric": metric, "value": value}
        for seed in range(4)
        for metric, value in {"unsure": draw.normal(0.95, 0.2), "sure": draw.normal(0.5, 0.01)}.items()
    ] + [{"group": "a/b", "run": "a/b_seed0", "seed": 0, "metric": "single", "value": 0.9}]
    write_parquet(tmp_path / "tables" / "a_long.parquet", pd.DataFrame(rows), Provenance("table"))

    def of(metric: str) -> dict:
        return {"query": {"file": "tables/a_long.parquet", "where": {"group": "a/b", "metric": metric}}}

    declared = {"laptop": {f"a/b_seed{n}" for n in range(4)}}
    claims = [claim(metric, of(metric), {"below": 1}) for metric in ("unsure", "sure", "single")]
    unsure, sure, single = ledger(claims, tmp_path, "laptop", declared)
    values = [row["value"] for row in rows if row["metric"] == "unsure"]
    assert unsure.power is not None
    assert unsure.power.seeds == pytest.approx(
        replicates(np.std(values, ddof=1), abs(1 - np.mean(values))), rel=0.2
    )
    assert "at the spread observed" in describe(unsure, tmp_path).lower()
    assert sure.power is None
    assert single.power is not None
    assert single.power.text == "It takes at least 2 seeds (here 1); scale laptop has the seeds"
    frame = ledger_frame([unsure, sure, single], "laptop")
    assert frame["deciding_seeds"].tolist()[::2] == [unsure.power.seeds, 2]
    assert frame["deciding_scale"].tolist() == [unsure.power.scale, "", "laptop"]

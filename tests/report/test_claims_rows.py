"""Claims on tables with one row per comparison, which carry their interval."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq.errors import InputError
from specseq.report.claims import ledger
from specseq.tables import Provenance, write_parquet
from tests.report.planted_claims import claim, verdicts


def compared(path: Path, *rows: dict) -> None:
    write_parquet(path, pd.DataFrame(rows), Provenance("table"))


def row_query(group: str, **more: object) -> dict:
    query = {
        "file": "tables/t.parquet",
        "where": {"group": group},
        "value": "ratio",
        "interval": ["low", "high"],
    }
    return {"query": {**query, **more}}


def test_rows_that_carry_their_interval(tmp_path: Path) -> None:
    compared(
        tmp_path / "tables/t.parquet",
        {"group": "better", "ratio": 0.9, "low": 0.85, "high": 0.95, "seeds": 3},
        {"group": "worse", "ratio": 1.1, "low": 1.05, "high": 1.15, "seeds": 3},
        {"group": "unclear", "ratio": 0.97, "low": 0.9, "high": 1.04, "seeds": 3},
        {"group": "lonely", "ratio": 0.5, "low": 0.4, "high": 0.6, "seeds": 1},
        {"group": "broken", "ratio": math.nan, "low": math.nan, "high": math.nan, "seeds": 3},
        {"group": "twice", "ratio": 0.5, "low": 0.4, "high": 0.6, "seeds": 3},
        {"group": "twice", "ratio": 0.5, "low": 0.4, "high": 0.6, "seeds": 3},
    )
    groups = ("better", "worse", "unclear", "lonely", "broken", "twice", "absent")
    made = [claim(group, row_query(group, enough={"seeds": 2}), {"below": 1}) for group in groups]
    assert verdicts(tmp_path, *made) == {
        "better": "reproduced", "worse": "does not hold", "unclear": "undecided", "lonely": "undecided",
        "broken": "undecided", "twice": "not run", "absent": "not run",
    }  # fmt: skip


def test_an_interval_that_stands_in_rows_of_its_own(tmp_path: Path) -> None:
    """An average just below the bound says nothing where its bootstrap interval reaches beyond."""
    ends = {"err": 0.2595, "err_low": 0.243, "err_high": 0.276}
    rows = [{"run": "wide", "metric": metric, "value": value} for metric, value in ends.items()]
    rows += [{"run": "narrow", "metric": m, "value": 0.25 + 0.01 * (v - 0.2595)} for m, v in ends.items()]
    rows += [{"run": "bare", "metric": "err", "value": 0.25}]
    compared(tmp_path / "tables/t.parquet", *rows)

    def of(run: str) -> dict:
        where = {"run": run, "metric": "err"}
        interval = {"metric": ["err_low", "err_high"]}
        return {"query": {"file": "tables/t.parquet", "where": where, "interval": interval}}

    made = [claim(run, of(run), {"above": 0.26}) for run in ("wide", "narrow", "bare")]
    assert verdicts(tmp_path, *made) == {"wide": "undecided", "narrow": "does not hold", "bare": "not run"}
    with pytest.raises(InputError, match="intervals in columns"):
        claim("trend", {"trend": {"of": of("wide"), "x": "step"}}, {"above": 0})


def test_two_rows_are_compared_as_independent(tmp_path: Path) -> None:
    compared(
        tmp_path / "tables/t.parquet",
        {"group": "a", "ratio": 0.8, "low": 0.76, "high": 0.84},
        {"group": "b", "ratio": 1.0, "low": 0.95, "high": 1.05},
        {"group": "c", "ratio": 0.83, "low": 0.79, "high": 0.87},
        {"group": "d", "ratio": 0.83, "low": math.nan, "high": math.nan},
    )
    made = [claim(g, {"ratio": [row_query("a"), row_query(g)]}, {"below": 1}) for g in "bcd"]
    assert verdicts(tmp_path, *made) == {"b": "reproduced", "c": "undecided", "d": "undecided"}
    found = ledger(made, tmp_path, "laptop")[0]
    assert found.measured == pytest.approx(0.8)
    half = np.hypot(np.log(0.84 / 0.8), np.log(1 / 0.95))
    assert found.high == pytest.approx(0.8 * np.exp(half))


def test_trend_of_rows_without_replicates_is_exact_where_said(tmp_path: Path) -> None:
    compared(
        tmp_path / "tables/t.parquet",
        *({"gain": g, "value": v} for g, v in ((1, 1), (2, 3), (4, 5), (8, 9), (math.inf, 0))),
    )
    query_ = {"query": {"file": "tables/t.parquet", "over": [], "exact": True}}
    made = claim("rise", {"trend": {"of": query_, "x": "gain"}}, {"above": 0.9})
    assert verdicts(tmp_path, made) == {"rise": "reproduced"}


def test_a_trend_over_rows_is_not_that_of_those_that_are_left(tmp_path: Path) -> None:
    """A row without a value is one that went wrong; one without a place on the axis is not asked."""
    rows = [
        {"gain": float(g), "ratio": 1 + g / 10, "low": 0.99 + g / 10, "high": 1.01 + g / 10}
        for g in range(1, 7)
    ]
    unplaced = [*rows, {"gain": math.inf, "ratio": math.nan, "low": math.nan, "high": math.nan}]
    lost = [*rows, {"gain": 7.0, "ratio": math.nan, "low": math.nan, "high": math.nan}]
    made = []
    for name, planted in (("unplaced", unplaced), ("lost", lost)):
        compared(tmp_path / f"tables/{name}.parquet", *planted)
        of = {"file": f"tables/{name}.parquet", "value": "ratio", "interval": ["low", "high"]}
        made.append(claim(name, {"trend": {"of": {"query": of}, "x": "gain"}}, {"above": 0.5}))
    assert verdicts(tmp_path, *made) == {"unplaced": "reproduced", "lost": "undecided"}
    assert "1 of 7 rows" in ledger(made, tmp_path, "laptop")[1].explanation


def test_trend_over_rows_with_intervals(tmp_path: Path) -> None:
    narrow = [
        {"gain": g, "ratio": 1 + g / 10, "low": 0.99 + g / 10, "high": 1.01 + g / 10, "seeds": 3}
        for g in range(1, 7)
    ]
    wide = [row | {"low": row["ratio"] / 3, "high": row["ratio"] * 3} for row in narrow]
    alone = [row | {"seeds": 1} for row in narrow]
    for name, rows in (("narrow", narrow), ("wide", wide), ("alone", alone)):
        write_parquet(tmp_path / f"tables/{name}.parquet", pd.DataFrame(rows), Provenance("table"))
    made = []
    for name in ("narrow", "wide", "alone"):
        rows_ = {
            "file": f"tables/{name}.parquet",
            "value": "ratio",
            "interval": ["low", "high"],
            "enough": {"seeds": 2},
        }
        made.append(claim(name, {"trend": {"of": {"query": rows_}, "x": "gain"}}, {"above": 0.5}))
    assert verdicts(tmp_path, *made) == {"narrow": "reproduced", "wide": "undecided", "alone": "undecided"}
    judged = [entry for entry in ledger(made, tmp_path, "laptop")]
    assert judged[0].measured == pytest.approx(1.0)
    assert all(found.low <= found.measured <= found.high for found in judged[:2])

"""Every query of the notes finds results of the shape it asks for, and no claim leans on another's file."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.report.claims import Claim, files, ledger
from specseq.report.claims.language import Bounds, Query, Trend, queries_of
from specseq.studies.reports import load_claims
from specseq.tables import Provenance, write_parquet

CLAIMS = Path(__file__).parents[2] / "workflow" / "studies"


def plain(condition: Any) -> list[Any]:
    """The values that fit a condition of a query."""
    if isinstance(condition, Bounds):
        return [condition.max if condition.min is None else condition.min]
    values = condition if isinstance(condition, tuple) else (condition,)
    return [
        float(v) if isinstance(v, str) and v.lstrip("-").replace(".", "").isdigit() else v for v in values
    ]


def rows_for(query: Query, x: str | None) -> Iterator[dict[str, Any]]:
    """Rows that the query selects: three seeds, four values of a trend's column."""
    where = {name: plain(condition) for name, condition in query.where.items()}
    rng = np.random.default_rng(len(str(query)))
    for level in (1.0, 2.0, 4.0, 8.0) if x else (None,):
        for seed in (0,) if query.interval else (0, 1, 2):
            row = {name: values[0] for name, values in where.items()}
            if x in where and level is not None:
                continue
            row |= {"task": row.get("task", "t"), "seed": seed} if not query.interval else {}
            if x:
                row[x] = level
            row[query.value] = middle = float(rng.lognormal(0, 0.2))
            if in_rows := query.ends_in_rows:
                ((name, ends),) = in_rows.items()
                for end, factor in zip(ends, (0.9, 1.1), strict=True):
                    yield {**row, name: end, query.value: middle * factor}
            elif isinstance(query.interval, tuple):
                low, high = query.interval
                row |= {low: middle * 0.9, high: middle * 1.1, **query.enough}
            yield row


@pytest.fixture(scope="module")
def claims() -> list[Claim]:
    return load_claims(CLAIMS)


def plant(claims: list[Claim], folder: Path) -> set[str]:
    """Result files with rows for every query."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for claim in claims:
        x = claim.quantity.trend.x if isinstance(claim.quantity, Trend) else None
        for query in queries_of(claim.quantity):
            for row in rows_for(query, x):
                keys = {k: v for k, v in row.items() if k not in (query.value, "low", "high")}
                rows.setdefault(query.file, {}).setdefault(str(sorted(keys.items(), key=str)), row)
    for file, found in rows.items():
        frame = pd.DataFrame(list(found.values()))
        for name in frame.select_dtypes(object).columns:  # a column of text may hold numbers too
            frame[name] = [f"{v:g}" if isinstance(v, float) and math.isfinite(v) else v for v in frame[name]]
        write_parquet(folder / file, frame, Provenance("table"))
    return set(rows)


def test_planted_results_decide_and_deleting_one_file_undoes_its_claims_alone(
    claims: list[Claim], tmp_path: Path
) -> None:
    made = plant(claims, tmp_path)
    assert made == {file for claim in claims for file in files(claim.quantity)}

    def judge(some: list[Claim]) -> dict[str, tuple[str, float]]:
        entries = ledger(some, tmp_path, "paper")
        return {e.claim.id: (e.verdict, round(e.measured, 12)) for e in entries}

    measured = [claim for claim in claims if not claim.compute]
    whole = judge(measured)
    reached = [name for name, (verdict, _) in whole.items() if verdict != "not run"]
    assert len(reached) >= 0.8 * len(whole)
    uses = {claim.id: set(files(claim.quantity)) for claim in claims}
    for file in sorted(made):
        kept = (tmp_path / file).read_bytes()
        (tmp_path / file).unlink()
        others = [claim for claim in measured if file not in uses[claim.id]]
        for name, after in judge([claim for claim in measured if file in uses[claim.id]]).items():
            assert after[0] == "not run", name
        for name, after in judge(others[::29]).items():
            assert str(after) == str(whole[name]), name
        (tmp_path / file).write_bytes(kept)

"""Every query of the notes finds results of the shape it asks for, and no claim leans on another's file."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.report.claims import Claim, ledger, load
from specseq.report.claims.quantities import files
from specseq.tables import Provenance, write_parquet

CLAIMS = Path(__file__).parents[2] / "workflow" / "claims"


def queries(quantity: Any, x: str | None = None) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    """The queries of a quantity, with the column of the trend around them."""
    if isinstance(quantity, dict):
        if "query" in quantity:
            yield quantity["query"], x
        else:
            inner = quantity.get("trend", {}).get("x", x)
            for part in quantity.values():
                yield from queries(part, inner)
    elif isinstance(quantity, list):
        for part in quantity:
            yield from queries(part, x)


def plain(wanted: Any) -> list[Any]:
    if isinstance(wanted, Mapping):
        return [wanted.get("min", wanted.get("max"))]
    values = wanted if isinstance(wanted, list) else [wanted]
    return [
        float(v) if isinstance(v, str) and v.lstrip("-").replace(".", "").isdigit() else v for v in values
    ]


def rows_for(query: Mapping[str, Any], x: str | None) -> Iterator[dict[str, Any]]:
    """Rows that the query selects: three seeds, three values of a trend's column."""
    where = {name: plain(wanted) for name, wanted in query.get("where", {}).items()}
    ready = "interval" in query
    rng = np.random.default_rng(len(str(query)))
    for level in (1.0, 2.0, 4.0) if x else (None,):
        for seed in (0,) if ready else (0, 1, 2):
            row = {name: values[0] for name, values in where.items()}
            if x in where and level is not None:
                continue
            row |= {"task": row.get("task", "t"), "seed": seed} if not ready else {}
            if x:
                row[x] = level
            row[query.get("value", "value")] = float(rng.lognormal(0, 0.2))
            middle = row[query.get("value", "value")]
            if ready and isinstance(query["interval"], Mapping):
                ((name, ends),) = query["interval"].items()
                for end, factor in zip(ends, (0.9, 1.1), strict=True):
                    yield {**row, name: end, query.get("value", "value"): middle * factor}
            elif ready:
                low, high = query["interval"]
                row |= {low: middle * 0.9, high: middle * 1.1, **query.get("enough", {})}
            yield row


@pytest.fixture(scope="module")
def claims() -> list[Claim]:
    return load(CLAIMS)


def plant(claims: list[Claim], folder: Path) -> set[str]:
    """Result files with rows for every query."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for claim in claims:
        for query, x in queries(claim.quantity):
            for row in rows_for(query, x):
                keys = {k: v for k, v in row.items() if k not in (query.get("value", "value"), "low", "high")}
                rows.setdefault(query["file"], {}).setdefault(str(sorted(keys.items(), key=str)), row)
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
        return {e.claim.id: (e.judgement.verdict, round(e.judgement.measured, 12)) for e in entries}

    measured = [claim for claim in claims if "arithmetic" not in claim.quantity]
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
        for name, after in judge(others[::7]).items():
            assert str(after) == str(whole[name]), name
        (tmp_path / file).write_bytes(kept)

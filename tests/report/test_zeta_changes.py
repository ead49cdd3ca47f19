"""Table and figure of the changes to the memory model, from planted results."""

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from specseq.report.gates import DECIDABLE, UNDECIDABLE
from specseq.report.style import styled
from specseq.studies.zeta.changes import COLUMNS, changes, figure
from specseq.tables import Provenance, write_parquet

MEMORY, ROTARY, LONGER = "models/memory_causal", "ablation/rope_causal", "ablation/length_causal"


def results(group: str, nll: list[float], error: list[float], *contexts: int) -> list[dict[str, Any]]:
    """NLL by seed at each context, and rollout errors from 8 and, twice as large, from 4 known spacings."""
    common = {"benchmark": "rollout", "task": "real/test", "group": f"zeta/{group}", "step": -1}
    rows = []
    for seed, (likelihood, wrong) in enumerate(zip(nll, error, strict=True)):
        own = {**common, "seed": seed}
        rows += [{**own, "metric": "nll_truncated", "context": c, "value": likelihood + c} for c in contexts]
        rollout = {**own, "metric": "err_mean", "step": 100}
        rows += [{**rollout, "context": 8, "value": wrong}, {**rollout, "context": 4, "value": 2 * wrong}]
    return rows


def made(tmp_path: Path, rows: list[dict[str, Any]], gate: str = f"{DECIDABLE}: ...") -> pd.DataFrame:
    long, models = tmp_path / "long.parquet", tmp_path / "zeta.parquet"
    write_parquet(long, pd.DataFrame(rows), Provenance("test"))
    gates = pd.DataFrame([{"group": f"zeta/{MEMORY}", "set": "real", "gate": gate}])
    write_parquet(models, gates, Provenance("test"))
    return changes({"long": [long], "zeta": [models]}, {"scale": "smoke"})


def test_seeds_are_paired_at_the_longest_context_of_both(tmp_path: Path) -> None:
    rows = [
        *results(MEMORY, [1.0, 2.0, 9.0], [4.0, 1.0, math.nan], 10, 32),
        *results(ROTARY, [0.9, 1.7], [2.0, 0.5], 10, 32),
        *results(LONGER, [1.5, 2.5], [4.0, 1.0], 10, 64),
    ]
    table = made(tmp_path, rows).set_index("change")
    assert ("change", *table.columns) == COLUMNS
    assert set(table["mask"]) == {"causal"}
    assert (table["seeds"] == 2).all()
    assert table["context"].to_dict() == {"rotary positions": 32, "window twice as long": 10}
    assert (table["rollout_context"] == 8).all()
    rotary = table.loc["rotary positions"]
    assert rotary["nll"] == pytest.approx(-0.2)
    # Student's t with one degree of freedom: 12.706 standard errors of .1.
    assert rotary["nll_high"] - rotary["nll"] == pytest.approx(1.2706, rel=1e-4)
    assert rotary[["ratio", "low", "high"]].tolist() == pytest.approx([0.5] * 3)
    assert table.loc["window twice as long", "nll"] == pytest.approx(0.5)


def test_one_seed_has_no_interval_and_the_figure_tells_what_decides_nothing(tmp_path: Path) -> None:
    rows = [*results(MEMORY, [1.0], [4.0], 10), *results(ROTARY, [0.9], [2.0], 10)]
    for gate, face in ((f"{DECIDABLE}: ...", "C0"), (f"{UNDECIDABLE}: ...", "white")):
        table = made(tmp_path, rows, gate)
        assert table[["nll_low", "high"]].isna().all(axis=None)
        path = tmp_path / "changes.parquet"
        write_parquet(path, table, Provenance("test"))
        with styled():
            left, right = figure({"changes": [path]}, {}).axes
        assert [label.get_text() for label in left.get_yticklabels()] == ["rotary positions"]
        (marks,) = (line for line in left.get_lines() if line.get_marker() == "o")
        assert marks.get_markerfacecolor() == face
        assert marks.get_xdata().tolist() == pytest.approx([-0.1])
        assert right.get_xscale() == "log"
    plt.close("all")


def test_a_scale_without_changes_says_so(tmp_path: Path) -> None:
    table = made(tmp_path, results(MEMORY, [1.0], [4.0], 10))
    assert table.empty
    assert tuple(table.columns) == COLUMNS
    path = tmp_path / "changes.parquet"
    write_parquet(path, table, Provenance("test"))
    with styled():
        assert "leaves out" in figure({"changes": [path]}, {}).axes[0].get_title(loc="left")
    plt.close("all")

"""Table and figure of how far back layers look, from planted profiles."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from specseq.report.style import styled
from specseq.studies.stu import lags
from specseq.tables import Provenance, write_parquet

# Shares of lags 0 to 9, and of later tokens.
ATTENTION = [0.2, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0]
UNIT = [0.5, 0.0, 0.25, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]


def planted(folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> dict[str, list[Path]]:
    rows = []
    for point, mixer, shares, ahead in (
        ("attention", "attention", ATTENTION, 0.4),
        ("attention", "even", [0.1] * 10, 0.0),
        ("alternating", "unit", UNIT, None),
    ):
        for seed in seeds:
            run = {"group": f"stu/layout/{point}", "seed": seed, "benchmark": "measurement", "task": "layer0"}
            rows += [{**run, "metric": f"lag_{mixer}", "step": n, "value": v} for n, v in enumerate(shares)]
            if ahead is not None:
                rows.append({**run, "metric": f"lag_{mixer}_ahead", "step": 0, "value": ahead + 0.01 * seed})
    path = folder / "long.parquet"
    write_parquet(path, pd.DataFrame(rows), Provenance("test"))
    return {"long": [path]}


def test_profiles_are_summed_up_and_compared_with_attention(tmp_path: Path) -> None:
    table = lags.table(planted(tmp_path), {"scale": "smoke"}).set_index(["group", "mixer"])
    attention = table.loc[("stu/layout/attention", "attention")]
    assert attention[["at_0", "at_1", "at_2_7", "at_8_63"]].tolist() == pytest.approx([0.2, 0.1, 0.2, 0.1])
    assert attention["ahead"] == pytest.approx(0.41)
    assert attention["odd"] == pytest.approx(0.2 / 0.4)
    assert attention[["odd_low", "odd_high"]].tolist() == pytest.approx([0.5, 0.5])
    assert attention["apart"] == 0
    unit = table.loc[("stu/layout/alternating", "unit")]
    assert (unit["odd"], unit["ahead"], unit["seeds"]) == (0, 0, 3)
    scaled = [value / 0.6 for value in ATTENTION]
    assert unit["apart"] == pytest.approx(sum(abs(a - b) for a, b in zip(scaled, UNIT, strict=True)) / 2)


def test_the_figure_has_a_panel_per_layer(tmp_path: Path) -> None:
    with styled():
        figure = lags.figure(planted(tmp_path), {})
        panel = figure.axes[0]
        drawn = {line.get_label(): line.get_ydata().tolist() for line in panel.get_lines()}
        assert drawn["attention"] == pytest.approx(ATTENTION)
        assert drawn["unit, shared filter"] == UNIT
        assert "even attention" in drawn
    plt.close("all")


def test_without_measurements_both_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    row = {
        "group": "a",
        "seed": 0,
        "benchmark": "pretrain",
        "task": "train",
        "metric": "loss",
        "step": 1,
        "value": 1.0,
    }
    write_parquet(path, pd.DataFrame([row]), Provenance("test"))
    table = lags.table({"long": [path]}, {"scale": "smoke"})
    assert table.empty
    assert list(table.columns) == [*lags.COLUMNS, "scale"]
    with styled():
        lags.figure({"long": [path]}, {})
    plt.close("all")

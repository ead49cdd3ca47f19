"""Tables and figures of the STU study from planted results."""

from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from specseq.report.gates import UNDECIDABLE
from specseq.report.style import styled
from specseq.studies.stu import figures, tables
from specseq.tables import Provenance, write_parquet

BASELINES = {f"stu/as_printed/{name}": "stu/as_printed/attention" for name in ("attention", "signed")}
PARAMS = {"scale": "smoke", "baselines": BASELINES}
SEEDS = (0, 1, 2)
# What the hybrid's MASE and NLL are planted to be, against attention's.
RATIO, DIFFERENCE = 1.25, 0.5


def _rows(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for sweep, point, seed in product(("layout", "as_printed"), ("attention", "signed"), seeds):
        group, hybrid = f"stu/{sweep}/{point}", point == "signed"
        run = {"study": "stu", "group": group, "run": f"{group}_seed{seed}", "seed": seed, "step": -1}
        for number, task in enumerate(("a/D/short", "b/H/short", "b/H/long")):
            error = (1 + number) * (1 + 0.1 * seed)
            worse = RATIO if hybrid and sweep == "layout" else 1.0
            for metric, value in (("MASE", error * worse), ("CRPS", 0.1 * error)):
                rows.append({**run, "benchmark": "gift_eval", "task": task, "metric": metric, "value": value})
        measured = {**run, "benchmark": "measurement", "task": "fixed batches"}
        for metric, value in _measured(hybrid, seed).items():
            rows.append({**measured, "metric": metric, "value": value})
        for step in range(1, 9):
            value = {"step": step, "metric": "standardised_nll", "value": 3 - 0.1 * step + 0.01 * seed}
            rows.append({**run, "benchmark": "pretrain", "task": "train", **value})
        for step, channel in product(range(65 if hybrid else 0), range(2)):
            value = {"step": step, "metric": "gain", "value": channel + step / 64}
            rows.append({**measured, "task": f"layer0/channel{channel}", **value})
    return rows


def _measured(hybrid: bool, seed: int) -> dict[str, float]:
    leaks = {"causality_error": 2e-7, "causality_error_circular": 0.3} if hybrid else {}
    return {
        "parameters": 90.0 if hybrid else 100.0,
        "standardised_nll": 2.0 + 0.3 * seed + DIFFERENCE * hybrid,
        "step_seconds": 0.02 if hybrid else 0.04,
        "mixing_seconds": 0.005 if hybrid else 0.02,
        "steps_per_second": 50.0 if hybrid else 25.0,
        "packing_error": 0.0,
        "alone_error": 1e-7 * (1 + seed),
        "diverged": 0.0,
        **leaks,
    }


def _written(folder: Path, rows: list[dict[str, Any]], naive: float = 2.0) -> dict[str, list[Path]]:
    """Inputs of the tables; seasonal naive has so many times attention's MASE with seed 0."""
    path, leakage, scores = (folder / f"{name}.parquet" for name in ("long", "leakage", "naive"))
    plain = {"benchmark": "gift_eval", "forecaster": "seasonal_naive", "reversal": "none", "step": -1}
    tasks = enumerate(("a/D/short", "b/H/short", "b/H/long"), 1)
    scored = [{**plain, "task": task, "metric": "MASE", "value": naive * number} for number, task in tasks]
    write_parquet(scores, pd.DataFrame(scored), Provenance("test"))
    write_parquet(path, pd.DataFrame(rows), Provenance("test"))
    held = [("a/D/short", 100, 0, 1), ("b/H/short", 100, 10, 0), ("b/H/long", 200, 200, 2)]
    columns = ["task", "points", "leaked_points", "history_series"]
    write_parquet(
        leakage, pd.DataFrame(held, columns=columns).assign(benchmark="gift_eval"), Provenance("test")
    )
    return {"long": [path], "leakage": [leakage], "naive": [scores]}


@pytest.fixture
def long(tmp_path: Path) -> dict[str, list[Path]]:
    return _written(tmp_path, _rows(SEEDS))


def test_ratios_are_paired_with_attention_of_the_same_schedule(long: dict[str, list[Path]]) -> None:
    table = tables.summary(long, PARAMS).set_index(["group", "term"])
    row = table.loc["stu/layout/signed", "all"]
    assert row["ratio"] == pytest.approx(RATIO)
    assert (row["low"], row["high"]) == (pytest.approx(RATIO), pytest.approx(RATIO))
    assert (row["verdict"], row["wins"], row["losses"]) == ("worse", 0, 3)
    assert (row["configs"], row["seeds"], row["paired_seeds"]) == (3, 3, 3)
    assert row["parameter_ratio"] == pytest.approx(0.9)
    assert (row["leaked"], row["leaked_share"], row["history"]) == (2, 210 / 400, 2)
    short = table.loc["stu/layout/signed", "short"]
    assert (short["leaked"], short["leaked_share"], short["history"]) == (1, 10 / 200, 1)
    assert table.loc[("stu/layout/signed", "short"), "configs"] == 2
    assert table.loc[("stu/layout/attention", "all"), "verdict"] == "baseline"
    printed = table.loc["stu/as_printed/signed", "all"]
    assert printed["baseline"] == "stu/as_printed/attention"
    assert printed["ratio"] == pytest.approx(1)
    assert table.loc[("stu/layout/attention", "all"), "mase"] == pytest.approx(
        np.exp(np.mean([np.log((1 + n) * (1 + 0.1 * s)) for n in range(3) for s in SEEDS]))
    )


def test_each_metric_is_compared_for_itself(long: dict[str, list[Path]]) -> None:
    table = tables.metrics(long, PARAMS).set_index(["group", "metric"])
    assert set(table.index.get_level_values("metric")) == {"MASE", "CRPS"}
    mase, crps = (table.loc[("stu/layout/signed", metric)] for metric in ("MASE", "CRPS"))
    assert (mase["ratio"], mase["verdict"], mase["losses"]) == (pytest.approx(RATIO), "worse", 3)
    assert (crps["ratio"], crps["verdict"]) == (pytest.approx(1), "undecided")
    assert crps["value"] == pytest.approx(
        np.exp(np.mean([np.log(0.1 * (1 + n) * (1 + 0.1 * s)) for n in range(3) for s in SEEDS]))
    )
    assert table.loc[("stu/layout/attention", "CRPS"), "verdict"] == "baseline"
    assert mase["gate"].startswith("decidable: MASE")


def test_an_attention_worse_than_seasonal_naive_decides_nothing(tmp_path: Path) -> None:
    inputs = _written(tmp_path, _rows(SEEDS), naive=0.5)
    table = tables.summary(inputs, PARAMS).set_index(["group", "term"])
    row = table.loc[("stu/layout/signed", "all")]
    worth = 2 * np.exp(np.log([1, 1.1, 1.2]).mean())  # over seeds, alike on every config
    assert (row["verdict"], row["worth"]) == (UNDECIDABLE, pytest.approx(worth))
    reach = 4.3027 * np.log([1, 1.1, 1.2]).std(ddof=1) / np.sqrt(3)
    assert row["worth_high"] == pytest.approx(worth * np.exp(reach), rel=1e-4)
    assert row["reference_value"] == pytest.approx(0.5 * np.exp(np.log([1, 2, 3]).mean()))
    assert row["baseline_value"] == pytest.approx(worth * row["reference_value"])
    assert "of Seasonal Naive" in row["gate"]
    table = tables.summary({**inputs, "naive": []}, PARAMS).set_index(["group", "term"])
    row = table.loc[("stu/layout/signed", "all")]
    assert (row["verdict"], row["ratio"]) == (UNDECIDABLE, pytest.approx(RATIO))
    assert row["gate"].endswith("MASE of Seasonal Naive on the same data is not known")


def test_a_diverged_run_and_a_missing_baseline_are_said(tmp_path: Path) -> None:
    rows = [
        {**row, "value": np.nan} if row["group"] == "stu/layout/signed" and row["metric"] == "MASE" else row
        for row in _rows(SEEDS)
        if row["group"] != "stu/as_printed/attention"
    ]
    table = tables.summary(_written(tmp_path, rows), PARAMS).set_index(["group", "term"])
    assert table.loc[("stu/layout/signed", "all"), "verdict"] == "diverged"
    assert table.loc[("stu/as_printed/signed", "all"), "verdict"] == "no baseline"


def test_configs_that_are_left_do_not_stand_for_those_that_diverged(tmp_path: Path) -> None:
    lost = {"group": "stu/layout/signed", "task": "a/D/short", "metric": "MASE", "seed": 1}
    rows = [{**row, "value": np.nan} if lost.items() <= row.items() else row for row in _rows(SEEDS)]
    table = tables.summary(_written(tmp_path, rows), PARAMS).set_index(["group", "term"])
    assert table.loc[("stu/layout/signed", "all"), "verdict"] == "diverged"
    assert np.isnan(table.loc[("stu/layout/signed", "all"), "ratio"])
    # A config that attention cannot score says nothing of the hybrid.
    lost["group"] = "stu/layout/attention"
    rows = [{**row, "value": np.nan} if lost.items() <= row.items() else row for row in _rows(SEEDS)]
    table = tables.summary(_written(tmp_path, rows), PARAMS).set_index(["group", "term"])
    assert table.loc[("stu/layout/signed", "all"), "ratio"] == pytest.approx(RATIO)


def test_models_are_measured_against_attention_seed_by_seed(long: dict[str, list[Path]]) -> None:
    row = tables.models(long, PARAMS).set_index("group").loc["stu/layout/signed"]
    assert row["nll_difference"] == pytest.approx(DIFFERENCE)
    assert (row["nll_low"], row["nll_high"]) == (pytest.approx(DIFFERENCE), pytest.approx(DIFFERENCE))
    assert (row["step_ratio"], row["mixing_ratio"]) == (pytest.approx(0.5), pytest.approx(0.25))
    assert row["alone_error"] == pytest.approx(3e-7)
    assert row["causality_error_circular"] == pytest.approx(0.3)
    assert (row["seeds"], row["diverged"]) == (3, 0)


def test_trained_speeds_compare_on_one_accelerator_alone(tmp_path: Path) -> None:
    inputs = _written(tmp_path, _rows(SEEDS))
    seconds = {"attention": 0.5, "signed": 0.8}
    for device, ratio in (("NVIDIA H100", 0.625), ("cpu", None)):
        inputs["training"] = []
        for point, seed in product(seconds, SEEDS):
            provenance = Provenance(
                "pretrain", run=f"stu/layout/{point}_seed{seed}", seed=seed, device=device
            )
            provenance.facts["costs"] = {"seconds_per_step": seconds[point] * (1 + seed)}
            path = tmp_path / f"{device}_{point}_{seed}.parquet"
            write_parquet(path, pd.DataFrame({"value": [1.0]}), provenance)
            inputs["training"].append(path)
        row = tables.models(inputs, PARAMS).set_index("group").loc["stu/layout/signed"]
        assert row["device"] == device
        assert row["trained_per_second"] == pytest.approx(np.mean([1 / 0.8, 1 / 1.6, 1 / 2.4]))
        assert (
            np.isnan(row["trained_ratio"]) if ratio is None else row["trained_ratio"] == pytest.approx(ratio)
        )


def test_one_seed_has_no_interval_and_a_diverged_run_counts(tmp_path: Path) -> None:
    rows = [
        {**row, "value": 1.0} if row["metric"] == "diverged" else row
        for row in _rows((0,))
        if row["group"] != "stu/layout/signed" or row["metric"] in ("diverged", "MASE", "CRPS")
    ]
    table = tables.models(_written(tmp_path, rows), PARAMS).set_index("group")
    assert np.isnan(table.loc["stu/as_printed/signed", "nll_low"])
    lost = table.loc["stu/layout/signed"]
    assert lost["diverged"] == 1
    assert np.isnan(
        lost[["parameters", "nll", "nll_difference", "step_ratio", "packing_error"]].astype(float)
    ).all()


def test_figures_show_every_model(long: dict[str, list[Path]], tmp_path: Path) -> None:
    summary = tmp_path / "summary.parquet"
    write_parquet(summary, tables.summary(long, PARAMS), Provenance("test"))
    with styled():
        drawn = figures.ratios({"summary": [summary]}, {})
        ratios = drawn.axes[0]
        assert [text.get_text() for text in ratios.get_yticklabels()] == [
            "alternating, signed filters",
            "alternating, signed filters, schedule as printed",
        ]
        assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
            "seasonal naive",
            *("all terms", "short term", "long term"),
        ]
        references = [line for line in ratios.collections if line.get_linestyle()[0][1]]
        ends = [line.get_segments()[0][:, 1].tolist() for line in references]
        assert ends == [[-0.5, 0.5], [0.5, 1.5]], "seasonal naive stands beside the rows of its schedule"
        training = figures.training(long, {}).axes
        assert [len(panel.get_lines()) for panel in training] == [2, 2]
        step, mixing = figures.speed(long, {}).axes
        assert [text.get_text() for text in step.texts] == ["1.00×", "0.50×"]
        assert [text.get_text() for text in mixing.texts] == ["1.00×", "0.25×"]
        # No line goes through a number.
        assert all(text.get_bbox_patch() for text in step.texts + mixing.texts)
        responses = figures.filters(long, {}).axes[2]
        assert len(responses.get_lines()) == 2
        np.testing.assert_allclose(responses.get_lines()[1].get_ydata(), 1 + np.arange(65) / 64)
        plt.close("all")

"""Errors by horizon step, and residuals from before the test windows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.filters import Filter
from specseq.models.seasonal_naive import SeasonalNaive
from specseq.scoring import evaluation as evaluations
from specseq.scoring.evaluate import evaluate
from specseq.scoring.fev import fev_evaluations
from specseq.scoring.fev_tasks import official_tasks
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.metrics import StepErrors, step_grid
from specseq.scoring.residuals import _earlier, earlier_residuals
from specseq.scoring.reversal import ForecastPlan, Variant
from specseq.series.arrow_writer import write_folder
from tests.scoring.test_fev import write_task
from tests.scoring.test_gift_eval import items, wild_series

MASE = "eval_metrics/MASE[0.5]"


@given(st.integers(1, 3000))
@settings(max_examples=50, deadline=None)
def test_the_grid_is_dense_at_first_and_ends_at_the_horizon(horizon: int) -> None:
    grid = step_grid(horizon)
    assert grid == sorted(set(grid))
    assert grid[: min(horizon, 8)] == list(range(1, min(horizon, 8) + 1))
    assert grid[-1] == horizon
    assert len(grid) <= 9 + 8 * np.ceil(np.log2(max(horizon / 8, 1)))


def test_missing_targets_and_scales_are_left_out() -> None:
    targets = np.array([[1.0, np.nan, 4.0], [2.0, 2.0, 2.0], [9.0, 9.0, 9.0]])
    quantiles = np.zeros((3, 9, 3), np.float32)
    pooled = StepErrors(3)
    pooled.add(targets, quantiles, np.array([1.0, 2.0, np.nan]))
    np.testing.assert_allclose(pooled.values(), [1.0, 1.0, 2.5])
    assert np.isnan(StepErrors(2).values()).all()


def test_steps_average_to_the_score(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", items([wild_series(seed, 400, "plain") for seed in range(3)], "D"))
    (evaluation,) = gift_evaluations(tmp_path, ["short"])
    plan = ForecastPlan(SeasonalNaive(), {"f": Filter("literal", (-0.4,))}, ["self", "oracle"], by_step=True)
    for outcome in evaluate(evaluation, plan).values():
        assert outcome.steps is not None
        assert outcome.steps.mean() == pytest.approx(outcome.values[MASE])
    plain = evaluate(evaluation, ForecastPlan(SeasonalNaive()))[Variant("seasonal_naive")]
    assert plain.steps is None


def test_residuals_look_at_no_test_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = [wild_series(seed, length, "plain") for seed, length in ((0, 400), (1, 500), (2, 70))]
    write_folder(tmp_path / "a" / "x", items(series, "D"))
    (evaluation,) = gift_evaluations(tmp_path / "a", ["short"])
    (batch,) = evaluation.batches(10**9)
    residuals = earlier_residuals(evaluation, SeasonalNaive(), 3)
    horizon = evaluation.query.horizon
    # Of the shortest series just the windows that have a context of a horizon.
    first = batch.windows.cuts[0] - batch.windows.starts[0]
    assert residuals.shape == (6 + (len(series[2]) - (len(series[0]) - first)) // horizon - 1, horizon)
    assert np.isfinite(residuals).all()

    tested = len(series[0]) - first
    for values in series:
        values[-tested:] = 1e6
    write_folder(tmp_path / "b" / "x", items(series, "D"))
    (changed,) = gift_evaluations(tmp_path / "b", ["short"])
    np.testing.assert_array_equal(earlier_residuals(changed, SeasonalNaive(), 3), residuals)

    monkeypatch.setattr(evaluations, "_POINTS", horizon)  # a block a window: series go on from block to block
    np.testing.assert_allclose(earlier_residuals(evaluation, SeasonalNaive(), 3), residuals)


def test_residuals_of_a_term_look_at_no_test_value_of_another(tmp_path: Path) -> None:
    terms = ["short", "medium", "long"]
    series = [wild_series(seed, length, "plain") for seed, length in ((0, 4000), (1, 4800))]
    write_folder(tmp_path / "a" / "x", items(series, "H"))
    found = {made.name.split("/")[-1]: made for made in gift_evaluations(tmp_path / "a", terms)}
    tested = {term: made.config.windows * made.query.horizon for term, made in found.items()}
    assert tested == {"short": 432, "medium": 480, "long": 720}
    residuals = {term: earlier_residuals(made, SeasonalNaive(), 3) for term, made in found.items()}
    assert {term: rows.shape for term, rows in residuals.items()} == {
        "short": (6, 48),
        "medium": (6, 480),
        "long": (6, 720),
    }

    for values in series:
        values[-max(tested.values()) :] = 1e6
    write_folder(tmp_path / "b" / "x", items(series, "H"))
    for made in gift_evaluations(tmp_path / "b", terms):
        np.testing.assert_array_equal(
            earlier_residuals(made, SeasonalNaive(), 3), residuals[made.name.split("/")[-1]]
        )

    # One term by itself uses all that precedes its own test windows.
    (short,) = gift_evaluations(tmp_path / "a", ["short"])
    (earlier,) = _earlier(short, SeasonalNaive(), 3)
    assert len(series[0]) - tested["short"] in earlier.windows.cuts + earlier.windows.horizon


def test_tasks_that_share_a_data_set_begin_together() -> None:
    begins: dict[str, set[object]] = {}
    for task in official_tasks().values():
        begins.setdefault(task.dataset, set()).add((task.initial_cutoff, task.min_context_length))
    assert len(begins) < len(official_tasks())
    assert all(len(found) == 1 for found in begins.values())


@pytest.mark.parametrize("step", [5, 60])
def test_a_cut_history_lets_no_test_value_in(tmp_path: Path, step: int) -> None:
    series = [wild_series(seed, 400 + 9 * seed, "plain") for seed in range(2)]
    fields = {"horizon": 5, "num_windows": 3, "window_step_size": step, "max_context_length": 50}
    write_task(tmp_path / "a", {"y": series}, **fields)
    (evaluation,) = fev_evaluations(tmp_path / "a")
    residuals = earlier_residuals(evaluation, SeasonalNaive.fev(), 4)
    assert residuals.shape == (2 * 4, 5)
    (batch,) = evaluation.batches(10**9)
    assert set(batch.windows.cuts - batch.windows.starts) == {50}
    (earlier,) = _earlier(evaluation, SeasonalNaive.fev(), 4)
    assert set(earlier.windows.cuts - earlier.windows.starts) == {50}
    assert len(set(earlier.windows.cuts)) == len(earlier.windows)

    for values in series:
        values[-(5 + 2 * step) :] = 1e6
    write_task(tmp_path / "b", {"y": series}, **fields)
    (changed,) = fev_evaluations(tmp_path / "b")
    np.testing.assert_array_equal(earlier_residuals(changed, SeasonalNaive.fev(), 4), residuals)


def test_series_that_are_too_short_leave_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", items([wild_series(0, 50, "plain")], "D"))
    (evaluation,) = gift_evaluations(tmp_path, ["short"])
    assert earlier_residuals(evaluation, SeasonalNaive(), 4).shape == (0, evaluation.query.horizon)

"""Figures of the preconditioning study show and count what was planted."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from specseq.report.style import save, styled
from specseq.studies import maker
from specseq.studies.preconditioning.figures import filters as figures
from specseq.tables import Provenance, write_parquet
from tests.report.preconditioning_results import HORIZON, Results, planted


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return planted(tmp_path_factory.mktemp("study"))


def test_the_gap_figure_counts_what_it_draws(results: Results) -> None:
    """Neither the filter whose reversal is unstable nor a seed that one of the forecasters does not have."""
    inputs = {"summary": results.path("preconditioning"), "filters": results.path("filters")}
    with styled():
        figure = figures.gap(inputs, {})
    assert [text.get_text() for text in figure.texts if text.get_text().startswith("n =")] == [
        "n = 3 filters, 6 configs, 1–3 seeds"
    ]
    assert "1 unstable left out" in figure.get_suptitle()
    points = [len(drawn.lines[0].get_xdata()) for drawn in figure.axes[0].containers]
    assert sorted(points) == [0] * 6 + [1, 1, 3, 3]  # self and oracle of moirai2 and of seasonal naive
    plt.close(figure)


def test_self_reversal_is_seen_above_what_it_equals(results: Results, tmp_path: Path) -> None:
    steps = pd.read_parquet(results.path("preconditioning_steps")[0])
    late = steps.assign(configs=steps["configs"].where(steps["step"] < HORIZON, 1))
    write_parquet(tmp_path / "steps.parquet", late, Provenance("table", {}))
    inputs = {"steps": [tmp_path / "steps.parquet"], "filters": results.path("filters")}
    with styled():
        figure = figures.steps(inputs, {})
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    reversals = [name for name in lines if name in figures.MODES]
    assert reversals[-1] == "self"
    assert lines["self"].get_linewidth() < lines["fir"].get_linewidth()
    assert "n = 1–6 configs" in [text.get_text() for text in figure.texts]
    plt.close(figure)


def test_theory_without_measured_residuals_is_drawn(results: Results, tmp_path: Path) -> None:
    theory = pd.read_parquet(results.path("preconditioning_theory")[0])
    path = tmp_path / "theory.parquet"
    write_parquet(path, theory[theory["forecaster"] == "moirai2"], Provenance("table", {}))
    with styled():
        figure = figures.theory({"theory": [path]}, {})
        drawn = [sum(len(line.get_xdata()) for line in axes.lines[:2]) for axes in figure.axes]
        save(figure, tmp_path / "theory")
    assert [count > 0 for count in drawn] == [True, False, False]
    assert (tmp_path / "theory.svg").exists()


@pytest.mark.parametrize("name", ["gap", "forest", "theory", "steps", "coefficients", "filters", "training"])
def test_figures_are_drawn(results: Results, tmp_path: Path, name: str) -> None:
    inputs = {
        "gap": {"summary": results.path("preconditioning"), "filters": results.path("filters")},
        "forest": {"summary": results.path("preconditioning")},
        "theory": {"theory": results.path("preconditioning_theory")},
        "steps": {"steps": results.path("preconditioning_steps"), "filters": results.path("filters")},
        "coefficients": {"runs": results.training, "filters": results.path("filters")},
        "filters": {"filters": results.path("filters")},
        "training": {"runs": results.training},
    }[name]
    with styled():
        figure = maker("figures", f"preconditioning_{name}")(inputs, {})
        assert all(axes.has_data() for axes in figure.axes if axes.get_visible())
        save(figure, tmp_path / name)
    assert (tmp_path / f"{name}.svg").stat().st_size > 5000

"""Tables and figures of the equilibrium study, from results whose answers are planted."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from specseq.errors import InputError
from specseq.report.gates import UNDECIDABLE
from specseq.report.style import styled
from specseq.report.tidy import group_of
from specseq.report.tidy import make as make_long
from specseq.studies.equilibrium import figures, mechanism_figures, tables
from specseq.tables import Provenance, long_table, read_parquet, write_parquet

BASE = {"study": "equilibrium", "benchmark": "pretrain"}
SPECTRUM = {"alpha": -0.5, "im": 2.0, "limit_re": -1.0, "limit_im": 4.0, "rotation": 5.0, "eps_crit": 0.2}


def run_rows(name: str, seed: int, losses: list[float], residuals: list[float]) -> list[dict[str, Any]]:
    run = {**BASE, "run": f"equilibrium/wall/{name}_seed{seed}", "seed": seed}
    rows = [{**run, "task": "train", "step": 10, "metric": "free_evaluations", "value": 40.0}]
    rows += [{**run, "task": "train", "step": 10, "metric": "nudged_evaluations", "value": 16.0}]
    for step, (loss, residual) in enumerate(zip(losses, residuals, strict=True), 1):
        found = {"loss": loss, "force_residual": residual, "bigram_loss": 3.3, **SPECTRUM}
        rows += [
            {**run, "task": "valid", "step": 10 * step, "metric": f"valid/{metric}", "value": value}
            for metric, value in found.items()
        ]
    return rows


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    rows = []
    for seed in range(3):
        rows += run_rows("euler", seed, [4.0, 3.0 + 0.01 * seed, 3.5], [1e-4, 0.02, 0.3])
        rows += run_rows("anderson", seed, [4.0, 3.0, 2.5 + 0.01 * seed], [1e-5, 1e-5, 1e-5])
        rows += run_rows("jacreg", seed, [4.0, 3.2, 3.0 + 0.1 * (seed - 1)], [1e-4, 1e-4, np.nan])
    gone = {**BASE, "run": "equilibrium/wall/jacreg_seed2", "seed": 2, "task": "train", "step": 30}
    rows.append({**gone, "metric": "diverged", "value": 1.0})
    write_parquet(folder / "a.parquet", long_table(rows), Provenance("pretrain"))
    frame = make_long({"training": [folder / "a.parquet"]}, {})
    write_parquet(folder / "long.parquet", frame, Provenance("table"))
    return folder / "long.parquet"


def test_runs_are_summed_up_over_seeds(long: Path) -> None:
    table = tables.summary({"long": [long]}, {"scale": "smoke"}).set_index("group")
    euler, anderson = table.loc["equilibrium/wall/euler"], table.loc["equilibrium/wall/anderson"]
    assert euler["seeds"] == 3
    assert euler["loss_best"] == pytest.approx(3.01)
    assert euler["loss_at_break"] == pytest.approx(3.01)
    assert euler["broke"] == 1
    assert euler["evaluations"] == 56
    assert np.isnan(euler["against_euler"])
    assert anderson["broke"] == 0
    assert np.isnan(anderson["loss_at_break"])
    assert anderson["against_euler"] == pytest.approx(-0.5)
    assert anderson["verdict"] == "lower"
    jacreg = table.loc["equilibrium/wall/jacreg"]
    assert jacreg["broke"] == pytest.approx(1 / 3)
    assert jacreg["diverged"] == pytest.approx(1 / 3)
    assert jacreg["verdict"] == "undecided"
    assert jacreg["eps_crit"] == pytest.approx(0.2)


@pytest.mark.parametrize(("bigram", "verdict"), [(3.2, "lower"), (3.0, UNDECIDABLE), (np.nan, UNDECIDABLE)])
def test_a_baseline_worse_than_a_bigram_model_decides_nothing(
    tmp_path: Path, bigram: float, verdict: str
) -> None:
    rows = []
    for seed in range(3):
        rows += run_rows("euler", seed, [4.0, 3.1 + 0.01 * seed], [1e-4, 1e-4])
        rows += run_rows("anderson", seed, [4.0, 2.1 + 0.01 * seed], [1e-4, 1e-4])
    rows = [
        {**row, "value": bigram} if row["metric"] == "valid/bigram_loss" else row
        for row in rows
        if row["metric"] != "valid/bigram_loss" or not np.isnan(bigram)
    ]
    write_parquet(tmp_path / "a.parquet", long_table(rows), Provenance("pretrain"))
    frame = make_long({"training": [tmp_path / "a.parquet"]}, {})
    write_parquet(tmp_path / "long.parquet", frame, Provenance("table"))
    inputs = {"long": [tmp_path / "long.parquet"]}
    row = tables.summary(inputs, {"scale": "smoke"}).set_index("group").loc["equilibrium/wall/anderson"]
    assert (row["verdict"], row["baseline_value"]) == (verdict, pytest.approx(3.11))
    assert row["worth"] == pytest.approx(3.11 - bigram, nan_ok=True)
    reach = 4.3027 * 0.01 / np.sqrt(3)  # Student's over three seeds
    assert row["worth_low"] == pytest.approx(3.11 - bigram - reach, rel=1e-4, nan_ok=True)
    assert row["bigram_loss"] == pytest.approx(bigram, nan_ok=True)
    with styled():
        names = [line.get_label() for line in figures.walls(inputs, {}).axes[0].lines]
    assert ("bigram model" in names) == (not np.isnan(bigram))


def test_walls_are_compared_seed_by_seed(tmp_path: Path) -> None:
    rows = []
    for seed, lower in enumerate((-0.3, 0.1, -0.2)):
        rows += run_rows("euler", seed, [4.0, 3.0 + seed, 2.9], [1e-4, 0.1, 0.3])
        rows += run_rows("small_step", seed, [4.0, 3.0 + seed + lower, 2.9], [1e-4, 0.1, 0.3])
    rows += run_rows("tiny_step", 0, [4.0, 2.0], [1e-4, 1e-4])
    write_parquet(tmp_path / "a.parquet", long_table(rows), Provenance("pretrain"))
    frame = make_long({"training": [tmp_path / "a.parquet"]}, {})
    write_parquet(tmp_path / "long.parquet", frame, Provenance("table"))
    table = tables.walls({"long": [tmp_path / "long.parquet"]}, {"scale": "smoke"}).set_index("group")
    small = table.loc["equilibrium/wall/small_step"]
    assert small["difference"].tolist() == pytest.approx([-0.3, 0.1, -0.2])
    assert small["longer"].unique().tolist() == ["equilibrium/wall/euler"]
    assert table.loc[["equilibrium/wall/tiny_step"], "difference"].isna().all(), "it kept its free phase"
    assert table.loc["equilibrium/wall/euler", "loss_at_break"].tolist() == [3.0, 4.0, 5.0]


def test_a_break_is_where_the_free_phase_was_lost_for_good(tmp_path: Path) -> None:
    """Settling late is no break, and neither is a passing residual; a run that blew up in between broke."""
    made = {
        "transient": ([4.0, 3.0, 2.74], [0.3, 1e-6, 1e-6]),
        "relapse": ([4.0, 3.0, 2.74], [0.3, 1e-6, 0.2]),
        "blown": ([4.0, 3.0, 2.9], [1e-6, 1e-6, 1e-6]),
        "never": ([4.0, 3.0, 2.9], [0.3, 0.2, 0.1]),
    }
    rows = [
        row for seed in range(2) for name, curves in made.items() for row in run_rows(name, seed, *curves)
    ]
    for row in rows:  # the modes of the last evaluation alone have crossed
        if row["metric"] == "valid/alpha" and row["step"] == 30:
            row["value"] = 0.2 if "relapse" in row["run"] or "blown_seed0" in row["run"] else -0.3
        if row["metric"] == "valid/im":
            row["value"] = -1.4 if row["step"] == 30 else 0.0
    ends = [
        {**BASE, "task": "train", "step": 30, "run": f"equilibrium/wall/blown_seed{seed}"} for seed in (0, 1)
    ]
    rows += [{**end, "seed": seed, "metric": "diverged", "value": 1.0} for seed, end in enumerate(ends)]
    write_parquet(tmp_path / "a.parquet", long_table(rows), Provenance("pretrain"))
    frame = make_long({"training": [tmp_path / "a.parquet"]}, {})
    write_parquet(tmp_path / "long.parquet", frame, Provenance("table"))
    table = tables.summary({"long": [tmp_path / "long.parquet"]}, {"scale": "smoke"}).set_index("group")
    transient, relapse, blown, never = (table.loc[f"equilibrium/wall/{name}"] for name in made)
    assert (transient["broke"], relapse["broke"], blown["broke"]) == (0, 1, 1)
    assert transient[["loss_at_break", "loss_at_break_low", "alpha_at_break", "im_at_crossing"]].isna().all()
    assert relapse[["loss_at_break", "loss_at_break_low", "loss_at_break_high"]].tolist() == [2.74] * 3
    assert relapse[["alpha_at_break", "crossed", "im_at_crossing"]].tolist() == [0.2, 1, 1.4]
    assert blown["loss_at_break"] == 2.9
    assert never["broke"] == 1
    assert np.isnan(never["loss_at_break"])
    assert (blown["crossed"], blown["im_at_crossing"]) == (0.5, 1.4)
    assert np.isnan(blown["im_at_crossing_low"])  # of the two seeds one did not cross


def test_signals_are_judged_by_the_exact_spectrum(tmp_path: Path) -> None:
    rows = []
    for step, (eps_crit, alpha, omega) in enumerate(
        [(0.5, -1.0, 4.0), (0.3, -0.8, 3.0), (0.08, -0.4, 3.5), (0.0, 0.1, 5.0), (np.nan, np.nan, 99.0)]
    ):
        run = {**BASE, "run": "equilibrium/wall/euler_seed0", "seed": 0, "task": "valid", "step": step}
        found = {"eps_crit": eps_crit, "alpha": alpha, "omega": omega, "gap": 1.0}
        rows += [{**run, "metric": f"valid/{name}", "value": value} for name, value in found.items()]
    write_parquet(tmp_path / "a.parquet", long_table(rows), Provenance("pretrain"))
    write_parquet(
        tmp_path / "long.parquet", make_long({"training": [tmp_path / "a.parquet"]}, {}), Provenance("table")
    )
    table = tables.signals({"long": [tmp_path / "long.parquet"]}, {"scale": "smoke"})
    share = table[table["metric"] == "share_positive"]
    assert share[["signal", "value", "evaluations"]].values.tolist() == [["omega", 1, 3]]
    table = table[table["metric"] == "auc"].set_index("signal")
    assert table.loc["alpha", ["value", "evaluations", "unstable"]].tolist() == [1, 4, 2]
    assert table.loc["omega", "value"] == 0.75  # of four pairs only (3.5, 4.0) is in the wrong order
    assert table.loc["gap", "value"] == 0.5
    assert np.isnan(table.loc["rotation", "value"])
    assert np.isnan(tables.area(np.array([1.0, 2.0]), np.array([True, True])))


def test_an_interval_needs_two_seeds() -> None:
    assert np.isnan(tables.interval(np.array([1.0, np.nan]))).all()
    low, high = tables.interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)


def measured_rows() -> list[dict[str, Any]]:
    def row(task: str, method: str, at: float, metric: str, value: float) -> dict[str, Any]:
        return {"task": task, "method": method, "at": at, "metric": metric, "value": value}

    rows = [
        row("estimator_bias", f"holomorphic_{order}", radius, "adjoint_error", 3 * radius**order)
        for radius in (0.005, 0.01, 0.02)
        for order in (4, 8)
    ]
    rows += [row("alignment", "adjoint", g, "cos_exact", 1 - g) for g in (0.1, 0.01)]
    for block, alpha in (("rotating", -0.2), ("unstable", 0.1)):
        for name, spent in (("anderson", 100), ("backward_euler", 80)):
            rows += [row(f"solver_trace/{block}", name, k, "force_residual", 10.0**-k) for k in (1, 2)]
            rows += [row(f"solver_root/{block}", name, spent, "converged", 1.0)]
            rows += [row(f"solver_root/{block}", name, spent, "alpha", alpha)]
        rows += [row(f"solver_root/{block}", "euler", 999, "converged", 0.0)]
        rows += [row(f"solver_root/{block}", "euler", 999, "alpha", np.nan)]
        rows += [row(f"radius/{block}", "exact", 32, "rho", 1.01)]
        rows += [row(f"radius/{block}", "subspace", k, "rho", 1.01 - 1 / k) for k in (12, 50)]
    rows += [row("abscissa", "lanczos", 160, "omega_learned", 6.0)]
    rows += [row("abscissa", "power", k, "omega_learned", -20.0) for k in (20, 100)]
    rows += [row("euler_growth", "euler", f, "growth", 1 + 0.02 * (f - 1)) for f in (0.98, 1.02)]
    rows += [row("products", "exact_64", np.nan, "alpha_error", 1e-15)]
    return [*rows, row("nudged_solver", "euler", 300, "cos_exact", 0.01)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "m.parquet"
    keys = {"study": "equilibrium", "run": "equilibrium/mechanisms", "seed": 0, "benchmark": "mechanisms"}
    frame = long_table(({**keys, **row} for row in measured_rows()), ("method", "at")).to_pandas()
    write_parquet(path, frame, Provenance("mechanisms"))
    return path


def test_measurements_come_to_figures(measured: Path) -> None:
    table = tables.mechanisms({"measured": [measured]}, {"scale": "smoke"})

    def value(metric: str, **where: str) -> float:
        rows = table[table["metric"] == metric]
        for column, wanted in where.items():
            rows = rows[rows[column] == wanted]
        assert len(rows) == 1
        return rows["value"].iloc[0]

    assert value("bias_slope", method="holomorphic_8") == pytest.approx(8)
    assert value("bias_slope", method="holomorphic_4") == pytest.approx(4)
    assert value("converged_unstable_roots") == 2
    assert value("evaluations_ratio", block="rotating") == pytest.approx(0.8)
    assert value("evaluations", block="unstable", method="euler") == np.inf
    assert value("growth", method="0.98", block="rotating") < 1 < value("growth", method="1.02")
    assert value("subspace_error") == pytest.approx(1 / 12)
    assert value("power_iteration_error", block="leftward") == pytest.approx(26)
    assert value("cos_exact", method="euler", block="unstable") == 0.01


def test_a_part_of_the_measurements_gives_a_part_of_the_figures(tmp_path: Path) -> None:
    rows = [{**BASE, **row} for row in measured_rows() if row["task"] == "products"]
    write_parquet(tmp_path / "m.parquet", long_table(rows, ("method", "at")), Provenance("mechanisms"))
    inputs = {"measured": [tmp_path / "m.parquet"]}
    table = tables.mechanisms(inputs, {"scale": "smoke"})
    assert table["metric"].tolist() == ["alpha_error"]
    with styled():
        for draw in (mechanism_figures.solvers, mechanism_figures.estimators, mechanism_figures.diagnostics):
            assert draw(inputs, {}).axes


def test_curves_are_those_of_the_wall_sweep_alone(long: Path, tmp_path: Path) -> None:
    frame = read_parquet(long)
    other = frame.assign(run="equilibrium/grid/x_seed0")
    both = pd.concat([frame, other.assign(group=group_of(other["run"]))])
    write_parquet(tmp_path / "both.parquet", both, Provenance("table"))
    curves = figures.wall_curves(tmp_path / "both.parquet")
    assert list(curves) == [f"equilibrium/wall/{name}" for name in ("euler", "anderson", "jacreg")]
    assert curves["equilibrium/wall/euler"][0]["loss"].tolist() == [4.0, 3.0, 3.5]
    assert figures.label("equilibrium/wall/jacreg") == "Jacobian penalty"


def test_wall_figures_show_every_run_and_the_mean_of_each_setting(long: Path) -> None:
    with styled():
        left, right = figures.walls({"long": [long]}, {}).axes
        assert len([drawn for drawn in left.lines if len(drawn.get_xdata()) == 3]) == 9 + 3
        assert len(right.lines) == 9 + 3
        assert left.xaxis_inverted()
        panels = figures.modes({"long": [long]}, {}).axes
    assert [axes.get_title(loc="left") for axes in panels[:3]] == [
        "Euler, ε = 0.1",
        "Anderson",
        "Jacobian penalty",
    ]
    assert len(panels[0].collections) == 6


def test_both_edges_of_every_disc_and_the_right_half_plane_are_in_view(long: Path, tmp_path: Path) -> None:
    """Also where a run came apart before it had a spectrum."""
    frame = read_parquet(long)
    lost = frame["metric"].isin([f"valid/{name}" for name in SPECTRUM]) & (
        frame["group"] == "equilibrium/wall/euler"
    )
    frame.loc[lost & (frame["seed"] == 0), "value"] = np.nan
    write_parquet(tmp_path / "long.parquet", frame, Provenance("table"))
    with styled():
        figure = figures.modes({"long": [tmp_path / "long.parquet"]}, {})
        figure.canvas.draw()
    for axes in figure.axes[:3]:
        low, high = axes.get_xlim()
        discs = [line for line in axes.lines if "= 1" in str(line.get_label())]
        assert len(discs) == 2
        for disc in discs:
            assert low < disc.get_xdata().min() < -19
        shown = axes.transAxes.inverted().transform(axes.transData.transform([[0, 0], [high, 0]]))[:, 0]
        assert shown[1] - shown[0] > 0.05, "right of zero there is something to see"
    plt.close(figure)


def test_mean_curve_is_geometric_on_logarithmic_axes() -> None:
    seeds = [
        pd.DataFrame({"loss": [1.0], "eps_crit": [0.1], "force_residual": [1e-4]}, index=[10]),
        pd.DataFrame({"loss": [3.0], "eps_crit": [0.4], "force_residual": [1e-2]}, index=[10]),
    ]
    found = figures.mean(seeds)
    expected = pd.DataFrame({"loss": [2.0], "eps_crit": [0.2], "force_residual": [1e-3]}, index=[10])
    pd.testing.assert_frame_equal(found, expected)


def test_solver_and_estimator_figures(measured: Path) -> None:
    with styled():
        _, right = mechanism_figures.solvers({"measured": [measured]}, {}).axes
        texts = [text.get_text() for text in right.get_legend().get_texts()]
        assert texts == ["Anderson: α = +0.10", "backward Euler: α = +0.10"]
        left, _ = mechanism_figures.estimators({"measured": [measured]}, {}).axes
        assert "slope 8" in [text.get_text() for text in left.get_legend().get_texts()]
        assert len(mechanism_figures.diagnostics({"measured": [measured]}, {}).axes) == 3


def test_the_audit_figure_counts_verdicts(tmp_path: Path) -> None:
    verdicts = pd.DataFrame(
        {
            "checkpoint": "equilibrium/wall/euler_seed0",
            "sample": [0, 0, 0],
            "position": [0, 1, 2],
            "rho": [0.9, 1.1, np.nan],
            "verdict": ["STABLE", "EULER-WALL", "NO-ROOT"],
        }
    )
    spectrum = pd.DataFrame(
        {"sample": 0, "position": [0, 1, 2], "re": [-2.0, -1.0, 0.1], "im": [0.0, 5.0, 0.0]}
    )
    step = {
        **BASE,
        "run": "equilibrium/wall/euler_seed0",
        "task": "fingerprint",
        "metric": "step",
        "value": 0.1,
    }
    inputs = {}
    for name, frame in (
        ("verdicts", verdicts),
        ("spectra", spectrum),
        ("fingerprints", long_table([step])),
    ):
        write_parquet(tmp_path / f"{name}.parquet", frame, Provenance("audit"))
        inputs[name] = [tmp_path / f"{name}.parquet"]
    with styled():
        figure = figures.audit(inputs, {})
    left, right = figure.axes
    assert left.get_title(loc="left") == "3 eigenvalues of 1 sample"
    assert right.get_title(loc="left") == "wall/euler_seed0"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["EULER-WALL (1)", "STABLE (1)", "NO-ROOT (1)"]
    with pytest.raises(InputError, match="no audited run"):
        figures.audit({}, {})

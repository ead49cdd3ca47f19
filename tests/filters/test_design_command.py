"""The two doors to filter design: the console command and the stage."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq import cli
from specseq.filters import design, diagnose
from specseq.stages import arguments
from specseq.stages import design as stage
from specseq.tables import Provenance, long_table, read_parquet, read_provenance, write_parquet


@pytest.fixture
def run_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the stage as its rule does; its exit status."""

    def run(params: object, out: Path, *more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["design", "--params", json.dumps(params), "--out", str(out), *more])
        try:
            arguments.run(stage.main)
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["design", "lyapunov", "--degree", "4", "--lam", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(printed["c"], [0, -0.081045, 0, -0.088958], atol=1e-6)
    found = diagnose(design({"family": "lyapunov", "degree": 4, "lam": 5}))
    for name in ("sup_norm", "spectral_radius", "noise_gain", "absolute_gain", "tap_norm"):
        assert printed[name] == pytest.approx(getattr(found, name))


def test_table_names_every_gain(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["design", "literal", "--taps=-1.5,0,0.75", "--horizon", "24"]) == 0
    printed = capsys.readouterr().out
    assert "c = [-1.5, 0, 0.75], stride 1" in printed
    for part in ("sup-norm", "1.11998", "UNSTABLE", "noise gain G", "inf", "v(24)", "roots of p"):
        assert part in printed


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["lyapunov", "--degree", "4"], "design.lam: is missing"),
        (["chebyshev", "--degree", "0"], "design.degree: 0"),
        (["literal", "--taps=a"], "design.taps"),
        (["identity", "--horizon", "-1"], "--horizon: -1"),
    ],
)
def test_bad_arguments_end_in_one_line(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["design", *arguments]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1


def test_stage_writes_one_row_a_filter(run_stage: Callable[..., int], tmp_path: Path) -> None:
    specs = {
        "baseline": {"family": "identity"},
        "best": {"family": "lyapunov", "degree": 4, "lam": 5},
        "printed": {"family": "literal", "taps": [-1.5, 0, 0.75], "stride": 16},
        "fitted": {"family": "matched", "degree": 2, "autocovariance": [1.0, 0.4], "horizon": 24},
    }
    assert run_stage({"filters": specs, "horizons": [24]}, tmp_path / "filters.parquet") == 0
    table = read_parquet(tmp_path / "filters.parquet").set_index("name")
    assert list(table.index) == list(specs)
    assert table.loc["best", "noise_gain"] == pytest.approx(1.016017, abs=1e-6)
    assert table.loc["printed", "noise_gain"] == np.inf
    assert table.loc["printed", "stride"] == 16
    assert not table.loc["printed", "stable"]
    assert list(table.loc["printed", "taps"]) == [-1.5, 0, 0.75]
    assert pd.isna(table.loc["baseline", "lam"])
    assert table.loc["fitted", "horizon_gain_24"] >= 1
    assert read_provenance(tmp_path / "filters.parquet")["stage"] == "design"


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({}, "no filters"),
        ({"filters": {"a": 3}}, "filters.a"),
        ({"filters": {"a": {"family": "lyapunov", "degree": 4}}}, "filters.a.lam"),
        ({"filters": {"a": {"family": "identity"}}, "horizons": [1.5]}, "horizons"),
    ],
)
def test_stage_refuses_in_one_line_and_writes_nothing(
    params: object,
    part: str,
    run_stage: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_stage(params, tmp_path / "filters.parquet") == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_matched_filters_from_a_table_of_residuals(run_stage: Callable[..., int], tmp_path: Path) -> None:
    """Two tasks of different size and length: normalised, averaged, cut to the lags they share."""
    rows = [
        {"study": "p", "run": "p/a/b", "benchmark": "gift_eval", "task": task, "step": lag, "metric": metric,
         "value": scale * value}
        for metric in ("residual_autocovariance", "other")
        for task, scale, values in (("a", 1.0, [1.0, 0.6]), ("b", 100.0, [1.0, 0.2, 0.1]))
        for lag, value in enumerate(values)
    ]  # fmt: skip
    write_parquet(tmp_path / "residuals.parquet", long_table(rows), Provenance("evaluate"))
    specs = {
        "fitted": {"family": "matched", "degree": 1, "horizon": 2},
        "own": {"family": "matched", "degree": 1, "horizon": 2, "autocovariance": [1.0, 0.4]},
        "other": {"family": "matched", "degree": 1, "horizon": 2, "autocovariance": [1.0, 0.1]},
    }
    more = ("--residuals", str(tmp_path / "residuals.parquet"))
    assert run_stage({"filters": specs}, tmp_path / "filters.parquet", *more) == 0
    taps = read_parquet(tmp_path / "filters.parquet").set_index("name")["taps"]
    assert taps["fitted"][0] == pytest.approx(taps["own"][0], rel=1e-6)
    assert taps["fitted"][0] != pytest.approx(taps["other"][0], rel=1e-2)


def test_table_without_residuals_is_refused(
    run_stage: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parquet(tmp_path / "residuals.parquet", long_table([]), Provenance("evaluate"))
    params = {"filters": {"fitted": {"family": "matched", "degree": 1, "horizon": 2}}}
    out = tmp_path / "filters.parquet"
    assert run_stage(params, out, "--residuals", str(tmp_path / "residuals.parquet")) == 2
    assert "no metric residual_autocovariance" in capsys.readouterr().err
    assert not out.exists()


def test_a_task_without_variance_is_named(
    run_stage: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"study": "p", "run": "p/a/b", "benchmark": "gift_eval", "metric": "residual_autocovariance"}
    rows = [
        {**keys, "task": task, "step": lag, "value": value}
        for task, values in (("a", [1.0, 0.6]), ("idle", [0.0, 0.0]))
        for lag, value in enumerate(values)
    ]
    residuals = tmp_path / "residuals.parquet"
    write_parquet(residuals, long_table(rows), Provenance("residuals"))
    params = {"filters": {"fitted": {"family": "matched", "degree": 1}}}
    assert run_stage(params, tmp_path / "filters.parquet", "--residuals", str(residuals)) == 2
    assert "residual_autocovariance of idle is 0 at lag 0" in capsys.readouterr().err


def test_design_does_without_torch() -> None:
    code = (
        "import sys; from specseq.filters import design, diagnose;"
        "diagnose(design({'family': 'lyapunov', 'degree': 4, 'lam': 1}));"
        "import specseq.commands.design, specseq.stages.design, specseq.models.preconditioned;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""The two doors to filter design: the console command and the stage."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from specseq import cli
from specseq.filters import Filter, design, diagnose, table
from specseq.filters.config import FilterSettings, Lyapunov, Matched
from specseq.filters.table import DesignRequest, design_filters
from specseq.tables import Provenance, long_table, read_parquet, read_provenance, write_parquet
from tests.stage_call import Refused, run


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
        (["lyapunov", "--degree", "4"], "--lam: is missing"),
        (["chebyshev", "--degree", "0"], "--degree: 0"),
        (["literal", "--taps=a"], "--taps"),
        (["identity", "--horizon", "-1"], "--horizon: -1 is not"),
    ],
)
def test_bad_arguments_end_in_one_line(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["design", *arguments]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1


def test_stage_writes_one_row_a_filter(tmp_path: Path) -> None:
    specs = {
        "baseline": {"family": "identity"},
        "best": {"family": "lyapunov", "degree": 4, "lam": 5},
        "printed": {"family": "literal", "taps": [-1.5, 0, 0.75], "stride": 16},
        "fitted": {"family": "matched", "degree": 2, "autocovariance": [1.0, 0.4], "horizon": 24},
    }
    run("design", filters=specs, horizons=[24], out=tmp_path / "filters.parquet")
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
        ({}, "request.filters: is missing"),
        ({"filters": {}}, "request.filters"),
        ({"filters": {"a": 3}}, "filters.a"),
        ({"filters": {"a": {"family": "lyapunov", "degree": 4}}}, "filters.a.lam"),
        ({"filters": {"a": {"family": "identity"}}, "horizons": [1.5]}, "horizons"),
    ],
)
def test_stage_refuses_in_one_line_and_writes_nothing(
    params: dict[str, object], part: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        run("design", **params, out=tmp_path / "filters.parquet")
    assert part in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_matched_filters_from_a_table_of_residuals(tmp_path: Path) -> None:
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
    residuals = tmp_path / "residuals.parquet"
    run("design", filters=specs, residuals=residuals, out=tmp_path / "filters.parquet")
    taps = read_parquet(tmp_path / "filters.parquet").set_index("name")["taps"]
    assert taps["fitted"][0] == pytest.approx(taps["own"][0], rel=1e-6)
    assert taps["fitted"][0] != pytest.approx(taps["other"][0], rel=1e-2)


def test_a_design_that_is_killed_goes_on_at_the_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    designed: list[str] = []

    def counted(spec: FilterSettings, where: str, name: str) -> Filter:
        if len(designed) == 2:
            raise KeyboardInterrupt
        designed.append(name)
        return design(spec, where, name)

    def other_code(*names: str) -> str:
        return "other"

    def residuals(second: float) -> None:
        keys = {"study": "p", "run": "p/a/b", "benchmark": "gift_eval", "metric": "residual_autocovariance"}
        rows = [{**keys, "task": "a", "step": lag, "value": value} for lag, value in ((0, 1.0), (1, second))]
        write_parquet(tmp_path / "residuals.parquet", long_table(rows), Provenance("residuals"))

    def request(out: str, parts: str | None = "parts", stride: int = 1) -> DesignRequest:
        filters = {
            "fixed": Lyapunov(degree=4, lam=5),
            "matched": Matched(degree=2, lam=0.1, stride=stride),
            "last": Matched(degree=1),
        }
        folder = tmp_path / parts if parts else None
        files = {"residuals": tmp_path / "residuals.parquet", "out": tmp_path / out, "parts": folder}
        return DesignRequest(filters=filters, **files)

    residuals(0.6)
    design_filters(request("whole.parquet", None))
    monkeypatch.setattr(table, "design", counted)
    for measured, stride, code, rest in (
        (0.6, 1, table.source_digest, ["last"]),
        (0.5, 1, table.source_digest, ["matched", "last"]),
        (0.6, 2, table.source_digest, ["matched", "last"]),
        (0.6, 1, other_code, ["fixed", "matched", "last"]),
    ):
        residuals(0.6)
        designed.clear()
        with pytest.raises(KeyboardInterrupt):
            design_filters(request("again.parquet"))
        assert designed == ["fixed", "matched"]
        residuals(measured)
        designed[:] = ["before"] * 3
        with monkeypatch.context() as patch:
            patch.setattr(table, "source_digest", code)
            design_filters(request("again.parquet", stride=stride))
        assert designed[3:] == rest
        assert not (tmp_path / "parts").exists()
        whole, again = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("whole", "again"))
        same = whole.replace_schema_metadata(None).equals(again.replace_schema_metadata(None))
        assert same == ((measured, stride) == (0.6, 1))


def test_table_without_residuals_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "residuals.parquet", long_table([]), Provenance("evaluate"))
    filters = {"fitted": {"family": "matched", "degree": 1, "horizon": 2}}
    out = tmp_path / "filters.parquet"
    with pytest.raises(Refused, match="no metric residual_autocovariance"):
        run("design", filters=filters, residuals=tmp_path / "residuals.parquet", out=out)
    assert not out.exists()


def test_a_task_without_variance_is_named(tmp_path: Path) -> None:
    keys = {"study": "p", "run": "p/a/b", "benchmark": "gift_eval", "metric": "residual_autocovariance"}
    rows = [
        {**keys, "task": task, "step": lag, "value": value}
        for task, values in (("a", [1.0, 0.6]), ("idle", [0.0, 0.0]))
        for lag, value in enumerate(values)
    ]
    residuals = tmp_path / "residuals.parquet"
    write_parquet(residuals, long_table(rows), Provenance("residuals"))
    filters = {"fitted": {"family": "matched", "degree": 1}}
    with pytest.raises(Refused, match="residual_autocovariance of idle is 0 at lag 0"):
        run("design", filters=filters, residuals=residuals, out=tmp_path / "filters.parquet")


def test_design_does_without_torch() -> None:
    code = (
        "import sys; from specseq.filters import design, diagnose;"
        "diagnose(design({'family': 'lyapunov', 'degree': 4, 'lam': 1}));"
        "import specseq.commands.design, specseq.stages.design, specseq.models.preconditioned;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

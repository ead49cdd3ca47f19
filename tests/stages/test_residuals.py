"""From residuals to matched filters to their evaluation, through the stages."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.models.protocol import Forecaster
from specseq.scoring import residuals as module
from specseq.scoring.config import ForecasterSettings
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.residuals import ResidualsRequest, earlier_residuals, measure_residuals
from specseq.series.arrow_writer import write_folder
from specseq.tables import read_parquet
from tests.scoring.test_gift_eval import items, wild_series
from tests.stage_call import Refused, run

FORECASTER = {"benchmark": "gift_eval", "terms": ["short"], "forecaster": {"name": "naive"}}
MATCHED = {"matched_d1": {"family": "matched", "degree": 1}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_folder(tmp_path / "gift" / "a", items([wild_series(s, 400, "plain") for s in range(2)], "D"))
    write_folder(tmp_path / "gift" / "b", items([wild_series(9, 300, "plain")], "M"))
    return tmp_path / "gift"


def test_a_matched_filter_reaches_the_evaluation(data: Path, tmp_path: Path) -> None:
    residuals, designed, out = (tmp_path / f"{name}.parquet" for name in ("residuals", "matched", "out"))
    run("residuals", **{**FORECASTER, "windows": 4}, data=data, out=residuals)
    rows = read_parquet(residuals)
    lags = rows[rows["metric"] == "residual_autocovariance"].groupby("task")["step"].max()
    assert lags.to_dict() == {"a/D/short": 29, "b/M/short": 11}
    assert (rows[rows["metric"] == "residual_windows"]["value"] == [8, 4]).all()

    run("design", filters=MATCHED, residuals=residuals, out=designed)
    params = {**FORECASTER, "filters": MATCHED, "reversals": ["self"]}
    run("evaluate", **params, data=data, designed=designed, out=out)
    scored = read_parquet(out)
    gain = read_parquet(designed)["noise_gain"].iloc[0]
    np.testing.assert_allclose(scored[scored["filter"] == "matched_d1"]["noise_gain"].unique(), gain)
    by_step = scored[scored["metric"] == "scaled_absolute_error"]
    assert set(by_step["step"]) >= set(range(1, 9))
    assert set(by_step["reversal"]) == {"none", "self"}


def test_a_killed_measurement_goes_on_after_the_last_config(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def counted(evaluation: Evaluation, forecaster: Forecaster, windows: int) -> Any:
        measured.append(evaluation.name)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return earlier_residuals(evaluation, forecaster, windows)

    def request(name: str, parts: str | None) -> ResidualsRequest:
        folder = tmp_path / parts if parts else None
        naive = ForecasterSettings(name="naive")
        return ResidualsRequest(
            benchmark="gift_eval",
            terms=("short",),
            forecaster=naive,
            data=data,
            out=tmp_path / name,
            parts=folder,
        )

    measure_residuals(request("whole.parquet", None))
    monkeypatch.setattr(module, "earlier_residuals", counted)
    with pytest.raises(KeyboardInterrupt):
        measure_residuals(request("again.parquet", "parts"))
    measure_residuals(request("again.parquet", "parts"))
    assert measured == ["a/D/short", "b/M/short", "b/M/short"]
    whole, again = (read_parquet(tmp_path / f"{name}.parquet") for name in ("whole", "again"))
    pd.testing.assert_frame_equal(again, whole)
    assert not (tmp_path / "parts").exists()


def test_a_config_without_errors_has_no_rows(data: Path, tmp_path: Path) -> None:
    spikes = np.zeros(400)
    spikes[[3, 9]] = 1.0
    write_folder(data / "idle", items([spikes], "D"))
    residuals = tmp_path / "residuals.parquet"
    run("residuals", **FORECASTER, data=data, out=residuals)
    assert set(read_parquet(residuals)["task"]) == {"a/D/short", "b/M/short"}
    run("design", filters=MATCHED, residuals=residuals, out=tmp_path / "matched.parquet")
    with pytest.raises(Refused, match="all are too short or forecast without any"):
        run("residuals", **{**FORECASTER, "only": ["idle"]}, data=data, out=tmp_path / "no.parquet")


def test_what_is_missing_is_said(data: Path, tmp_path: Path) -> None:
    params = {**FORECASTER, "filters": MATCHED, "reversals": ["self"]}
    out = tmp_path / "out.parquet"
    with pytest.raises(Refused, match=r"matched_d1: a matched filter is .*; give the table"):
        run("evaluate", **params, data=data, out=out)
    with pytest.raises(Refused, match=r"request\.windows: 0 is not"):
        run("residuals", **{**FORECASTER, "windows": 0}, data=data, out=out)
    with pytest.raises(Refused, match=r"request\.reversals: unknown key"):
        run("residuals", **{**FORECASTER, "reversals": ["self"]}, data=data, out=out)
    assert not out.exists()

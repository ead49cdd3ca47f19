"""The stage ``evaluate``: long rows, control, refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from specseq.series.arrow_writer import write_folder
from specseq.tables import LONG_COLUMNS, read_parquet, read_provenance
from tests.scoring.test_fev import write_task
from tests.scoring.test_gift_eval import items, wild_series
from tests.stage_call import Refused, run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_folder(tmp_path / "gift" / "a", items([wild_series(s, 260, "plain") for s in range(2)], "D"))
    write_task(tmp_path / "fev", {"y": [wild_series(4, 90, "plain")]}, horizon=7, seasonality=7)
    return tmp_path


def test_filters_and_reversals_become_long_rows(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.parquet"
    params = {
        **dict(study="preconditioning", run="preconditioning/frozen/naive", seed=-1, benchmark="gift_eval"),
        **dict(terms=["short"], forecaster={"name": "naive"}, reversals=["self", "oracle"]),
        "filters": {
            "d1": {"family": "literal", "taps": [-0.5]},
            "wild": {"family": "literal", "taps": [-90.0, 9.0]},
        },
    }
    run("evaluate", **params, data=data / "gift", out=out)
    assert "points" in capsys.readouterr().err
    frame = read_parquet(out)
    keys = ["forecaster", "filter", "reversal", "spectral_radius", "noise_gain"]
    assert list(frame.columns) == [*LONG_COLUMNS[:6], *keys, *LONG_COLUMNS[6:]]
    assert set(frame["task"]) == {"a/D/short"}
    mase = frame[frame["metric"] == "MASE"].set_index(["forecaster", "filter", "reversal"])["value"]
    assert set(mase.index) == {
        ("naive", "none", "none"),
        ("seasonal_naive", "none", "none"),
        *(("naive", name, mode) for name in ("d1", "wild") for mode in ("self", "oracle")),
        *(("seasonal_naive", name, "oracle") for name in ("d1", "wild")),
    }
    gain = frame[frame["filter"] == "d1"]["noise_gain"].unique()
    np.testing.assert_allclose(gain, 1 / (1 - 0.25))
    assert frame[frame["filter"] == "none"]["noise_gain"].isna().all()
    assert np.isnan(mase["naive", "wild", "self"])
    diverged = frame[frame["metric"] == "diverged"]
    assert diverged[["filter", "reversal", "value"]].to_numpy().tolist() == [["wild", "self", 1.0]]
    record = read_provenance(out)
    assert record["run"] == "preconditioning/frozen/naive"
    assert list(record["diverged"]) == ["a/D/short/wild/self"]


def test_fev_through_the_door(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    params = {"benchmark": "fev", "forecaster": {"name": "seasonal_naive"}}
    run("evaluate", **params, data=data / "fev", out=out)
    frame = read_parquet(out)
    assert frame["metric"].tolist() == ["SQL", "MASE", "WAPE", "WQL"]
    assert set(frame["task"]) == {"x"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"benchmark": "m4", "forecaster": {"name": "naive"}},
            "request.benchmark: 'm4' is unknown; known: gift_eval, fev",
        ),
        (
            {"benchmark": "gift_eval", "forecaster": {"name": "naive"}, "revesals": []},
            "request.revesals: unknown key; did you mean reversals?",
        ),
        (
            {"benchmark": "gift_eval", "forecaster": {"name": "naive"}, "filters": {"i": {}}},
            "request.filters: have no effect without reversals",
        ),
        ({"benchmark": "gift_eval"}, "request.forecaster: and forecasts exclude each other"),
        (
            {"benchmark": "gift_eval", "forecaster": {"name": "naive"}, "reversals": ["undo"]},
            "reversals.0: 'undo' is unknown; known: self, ",
        ),
        (
            {"benchmark": "gift_eval", "forecaster": {"name": "naive"}, "reversals": ["hybrid"]},
            "other: goes with",
        ),
    ],
)
def test_bad_parameters_are_refused(data: Path, tmp_path: Path, params: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        run("evaluate", **params, data=data / "gift", out=tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(("last", "reason"), [(0.0, "the loss is nan"), (np.nan, "weights are not finite")])
def test_weights_of_a_diverged_run_are_a_result(data: Path, tmp_path: Path, last: float, reason: str) -> None:
    """Whether its last weights are finite, as the loop leaves them, or not."""
    weights, out = tmp_path / "run" / "weights.safetensors", tmp_path / "out.parquet"
    weights.parent.mkdir()
    metadata = {"params": json.dumps({"model": {"kind": "moirai2"}})}
    metadata |= {} if np.isnan(last) else {"diverged": reason}
    save_file({"w": np.full(3, last, np.float32)}, weights, metadata=metadata)
    run("evaluate", benchmark="gift_eval", forecaster={"name": weights}, data=data / "gift", out=out)
    frame = read_parquet(out)
    assert frame[["task", "forecaster", "metric", "value"]].to_numpy().tolist() == [
        ["a/D/short", "run", "diverged", 1.0]
    ]
    assert read_provenance(out)["diverged"] == {"a/D/short/none/none": reason}

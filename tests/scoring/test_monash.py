"""The Monash archive: its files, its horizons, normalised MAE."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq import cli
from specseq.errors import InputError
from specseq.models.seasonal_naive import naive
from specseq.scoring import monash
from specseq.scoring.evaluate import score
from specseq.scoring.monash import SETS, MonashSet, monash_evaluations
from specseq.scoring.tsf import read_tsf
from specseq.series.arrow import open_folder
from specseq.tables import read_parquet
from tests.scoring.test_gift_eval import Fake, fake_quantiles, wild_series

HEAD = """# a remark: of any kind
@relation tests
@attribute series_name string
@attribute start_timestamp date
@frequency monthly
@horizon 4
@missing true
@data
"""


def write_tsf(path: Path, arrays: list[np.ndarray], horizons: list[int] | None = None) -> None:
    lines = []
    for number, values in enumerate(arrays):
        texts = ",".join("?" if np.isnan(value) else repr(float(value)) for value in values)
        extra = f":{horizons[number]}" if horizons else ""
        lines.append(f"T{number + 1}:1979-01-01 00-00-00{extra}:{texts}\n")
    attribute = "@attribute horizon numeric\n@frequency"
    path.write_text((HEAD.replace("@frequency", attribute) if horizons else HEAD) + "".join(lines))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sets = [MonashSet("hospital", 3, 4, "M", 12), MonashSet("cif_2016_6", 1, 6, "M", 12)]
    sets.append(MonashSet("cif_2016_12", 2, 12, "M", 12))
    monkeypatch.setattr(monash, "SETS", {one.name: one for one in sets})
    (tmp_path / "data").mkdir()
    write_tsf(tmp_path / "data/hospital_dataset.tsf", [wild_series(n, 40 + n, "gaps") for n in range(3)])
    three = [wild_series(n, 50, "plain") for n in range(3)]
    write_tsf(tmp_path / "data/cif_2016_dataset.tsf", three, [12, 6, 12])
    return tmp_path / "data"


def test_there_are_29_sets_with_cif_2016_in_two_tasks() -> None:
    assert len(SETS) == 30
    assert SETS["cif_2016_6"].series + SETS["cif_2016_12"].series == 72


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False)), min_size=1
        ),
        min_size=1,
        max_size=5,
    )
)
def test_files_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float | None]]
) -> None:
    path = tmp_path_factory.mktemp("tsf") / "x.tsf"
    arrays = [np.array([np.nan if value is None else value for value in row], np.float32) for row in rows]
    write_tsf(path, arrays)
    for number, (series, values) in enumerate(zip(read_tsf(path), arrays, strict=True), 1):
        assert series.name == f"T{number}"
        assert series.start == np.datetime64("1979-01-01")
        np.testing.assert_array_equal(series.values, values)


def test_errors_equal_a_loop_over_series(root: Path) -> None:
    evaluation = {one.name: one for one in monash_evaluations(root)}["hospital"]
    errors, last = [], []
    for n in range(3):
        values = wild_series(n, 40 + n, "gaps")
        context, target = values[:-4], values[-4:].astype(np.float64)
        errors.append(target - fake_quantiles(context, 4)[4])
        last.append(target - context[np.isfinite(context)][-1])
    made = score(evaluation, Fake())
    assert made["MAE"] == pytest.approx(np.nanmean(np.abs(errors)), rel=1e-6)
    assert made["naive_MAE"] == pytest.approx(np.nanmean(np.abs(last)), rel=1e-6)
    assert made["normalised_MAE"] == pytest.approx(made["MAE"] / made["naive_MAE"])
    assert score(evaluation, naive())["normalised_MAE"] == 1.0


def test_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    command = ["score", "monash", "--forecaster", "seasonal_naive", "--data", str(root), "--out", str(out)]
    assert cli.main(command) == 0
    frame = read_parquet(out).set_index("task")
    assert frame["series"].to_dict() == {"hospital": 3, "cif_2016_6": 1, "cif_2016_12": 2}
    mean = np.exp(np.log(frame["normalised_MAE"]).mean())
    assert f"normalised MAE over 3 tasks, geometric mean: {mean:.4f}" in capsys.readouterr().out


def test_other_files_are_refused(root: Path) -> None:
    path = root / "hospital_dataset.tsf"
    text = path.read_text()

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            score(monash_evaluations(root, ["hospital"])[0], naive())

    for spoilt, message in (
        (text.rsplit("T3", 1)[0], "2 series where the set hospital has 3; the result would be partial"),
        (text.replace("T3:", "T1:"), "1 series names appear twice"),
        (text.replace("T2:1979", "T2:1,2,3:1979"), "line 10: 3 attributes where 2 are declared"),
        (text.replace("T2:1979-01-01", "T2:Jan"), "line 10: start_timestamp 'Jan 00-00-00'; write it as %Y"),
        (text + "T4:1979-01-01 00-00-00:1,two,3", "line 12: could not convert string to float"),
        (text + "T4:1979-01-01 00-00-00:1,1e39,3", "line 12: a value beyond the range of float32"),
        (text.replace("@data", "@attribute series_name string\n@data"), "declares an attribute twice: ser"),
        (
            HEAD + "".join(f"T{n}:1979-01-01 00-00-00:1{',?' * 9}\n" for n in range(3)),
            "no series has a value",
        ),
        (text.replace("@data", "@dat"), "has no line @data"),
        (HEAD + "".join(f"T{n}:1979-01-01 00-00-00:1,2\n" for n in range(3)), "3 series are not longer than"),
    ):
        path.write_text(spoilt)
        refused(message)
    path.rename(root / "hospital_dataset_with_missing_values.tsf")
    path.write_text(text)
    refused(
        "holds hospital twice: hospital_dataset.tsf and hospital_dataset_with_missing_values.tsf; keep the"
    )
    for file in root.iterdir():
        file.unlink()
    refused("holds none of the 29 sets; expected files such as m1_monthly_dataset.tsf")


def test_files_that_are_not_read_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("hospitl_dataset.tsf", "hospital_dataset.TSF", "weather_dataset.zip", "notes.txt"):
        (root / name).touch()
    monash_evaluations(root)
    said = "hospital_dataset.TSF, hospitl_dataset.tsf, weather_dataset.zip\n"
    assert capsys.readouterr().err == f"left out: 3 files of none of the 29 sets: {said}"
    monash_evaluations(root, ["hospital"])
    assert not capsys.readouterr().err


PUBLISHED = {
    "hospital": 24.07,
    "covid_deaths": 353.71,
    "us_births": 1152.67,
    "m4_hourly": 1218.06,
    "m4_weekly": 347.99,
}


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("SPECSEQ_DATA"), reason="SPECSEQ_DATA names no folder")
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_errors_of_naive(name: str, tmp_path: Path) -> None:
    """Column "Naive" of MOIRAI's table on the Monash archive (arXiv:2402.02592), two decimals."""
    folder = Path(os.environ["SPECSEQ_DATA"]) / "gift_eval" / {"us_births": "us_births/D"}.get(name, name)
    blocks = list(open_folder(folder).blocks())
    write_tsf(tmp_path / f"{name}_dataset.tsf", [b.target(row)[0] for b in blocks for row in range(len(b))])
    (evaluation,) = monash_evaluations(tmp_path)
    assert score(evaluation, naive())["MAE"] == pytest.approx(PUBLISHED[name], abs=0.006)

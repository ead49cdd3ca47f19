"""Forecasters of other packages: by import path, with arguments, and refused in one line."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from specseq import cli
from specseq.errors import InputError
from specseq.models.registry import load_forecaster
from specseq.series.arrow_writer import Item, write_folder
from specseq.tables import read_parquet, read_provenance

MODULE = """
import numpy as np


class Drift:
    name, context_length = "drift", None

    def __init__(self, spread, sign=1.0):
        self.spread, self.sign = spread, sign

    def forecast(self, contexts, query):
        levels = np.asarray(query.quantile_levels) - 0.5
        last = np.array([context[-1] for context in contexts])
        made = self.sign * last[:, None, None] + self.spread * levels[:, None] + np.zeros(query.horizon)
        return made.astype(np.float32)


class Mute:
    pass
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_package.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_class_is_scored_with_its_arguments(tmp_path: Path) -> None:
    start = np.datetime64("2020-01-01", "s")
    write_folder(tmp_path / "data" / "x", [Item("a", start, "D", np.arange(200.0))])
    out = tmp_path / "o.parquet"
    command = ["score", "gift_eval", "--data", str(tmp_path / "data"), "--out", str(out)]
    command += ["--forecaster", "other_package:Drift", "--option", "spread=2", "--option", "sign=1.0"]
    assert cli.main(command) == 0
    frame = read_parquet(out)
    assert frame["model"].tolist() == ["drift"]
    # Errors of 1 to 30 steps over a scale of 1.
    assert frame["eval_metrics/MASE[0.5]"].tolist() == pytest.approx([15.5])
    parameters = read_provenance(out)["parameters"]
    assert parameters["arguments"] == {"spread": 2, "sign": 1.0}
    assert cli.main([*command, "--option", "sign=2"]) == 2


def test_a_registered_name(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint("drift", "other_package:Drift", "specseq.forecasters")
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [point])
    assert load_forecaster("drift", arguments={"spread": 1}).name == "drift"
    with pytest.raises(InputError, match=r"drft: no such forecaster.*did you mean drift"):
        load_forecaster("drft")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("no_package:Drift", {}, "cannot be imported"),
        ("other_package:Drft", {}, "other_package has no 'Drft'; did you mean Drift"),
        ("other_package:Drift", {}, "missing a required argument: 'spread'; its arguments are spread, sign"),
        ("other_package:Drift", {"spread": 1, "sgn": 1}, "unexpected keyword argument 'sgn'"),
        ("os:path", {}, "os:path: path is a module, not a class; give package.module:Class"),
        ("other_package:Mute", {}, "has no name, context_length, forecast; see"),
        ("naive", {"spread": 1}, "naive: takes no argument spread"),
    ],
)
def test_what_cannot_be_made_is_said(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_forecaster(name, arguments=arguments)

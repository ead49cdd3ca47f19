"""The 29 sets of the Monash archive that MOIRAI is evaluated on, by normalised MAE.

The last horizon of every series is forecast once, from all that stands before it. MAE is of the median and
pools all steps; a step without a value is left out. CIF 2016 has series of two horizons and is two tasks,
``cif_2016_6`` and ``cif_2016_12``. ``normalised_MAE`` is MAE divided by that of Naive, which repeats the last
value, on the same steps; it is averaged over sets by the geometric mean. Source: Woo et al. 2024 (MOIRAI,
arXiv:2402.02592), Godahewa et al. 2021 (arXiv:2105.06643).

Shapes: N series.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.models.seasonal_naive import naive
from specseq.models.windows import Windows
from specseq.progress import say_left_out
from specseq.scoring import metrics
from specseq.scoring.evaluation import Batch, Evaluation, WindowKeys
from specseq.scoring.metrics import LEVELS, MEDIAN, Totals
from specseq.scoring.tsf import TsfSeries, read_tsf
from specseq.settings import near

_POINTS = 2_000_000


@dataclass(frozen=True)
class MonashSet:
    """A set of the archive.

    Attributes:
        name: its file is ``<name>.tsf`` or ``<name>_dataset....tsf``, with missing values or without.
        series: number of its series.
        horizon: steps to forecast.
        freq: frequency alias.
        season_length: steps in a season.
    """

    name: str
    series: int
    horizon: int
    freq: str
    season_length: int


SETS = {
    one.name: one
    for one in (
        MonashSet("m1_monthly", 617, 18, "M", 12),
        MonashSet("m3_monthly", 1428, 18, "M", 12),
        MonashSet("m3_other", 174, 8, "Q", 1),
        MonashSet("m4_monthly", 48000, 18, "M", 12),
        MonashSet("m4_weekly", 359, 13, "W", 1),
        MonashSet("m4_daily", 4227, 14, "D", 7),
        MonashSet("m4_hourly", 414, 48, "H", 24),
        MonashSet("tourism_quarterly", 427, 8, "Q", 4),
        MonashSet("tourism_monthly", 366, 24, "M", 12),
        MonashSet("cif_2016_6", 15, 6, "M", 12),
        MonashSet("cif_2016_12", 57, 12, "M", 12),
        MonashSet("australian_electricity_demand", 5, 336, "30T", 48),
        MonashSet("bitcoin", 18, 30, "D", 7),
        MonashSet("pedestrian_counts", 66, 24, "H", 24),
        MonashSet("vehicle_trips", 329, 30, "D", 7),
        MonashSet("kdd_cup_2018", 270, 168, "H", 24),
        MonashSet("weather", 3010, 30, "D", 7),
        MonashSet("nn5_daily", 111, 56, "D", 7),
        MonashSet("nn5_weekly", 111, 8, "W", 1),
        MonashSet("car_parts", 2674, 12, "M", 12),
        MonashSet("fred_md", 107, 12, "M", 12),
        MonashSet("traffic_hourly", 862, 168, "H", 24),
        MonashSet("traffic_weekly", 862, 8, "W", 1),
        MonashSet("rideshare", 2304, 168, "H", 24),
        MonashSet("hospital", 767, 12, "M", 12),
        MonashSet("covid_deaths", 266, 30, "D", 7),
        MonashSet("temperature_rain", 32072, 30, "D", 7),
        MonashSet("sunspot", 1, 30, "D", 7),
        MonashSet("saugeenday", 1, 30, "D", 7),
        MonashSet("us_births", 1, 30, "D", 7),
    )
}


@dataclass(frozen=True)
class _Content:
    """The series of a set: values float32 end to end, where each begins [N+1], ids and first times."""

    values: NDArray[np.float32]
    edges: NDArray[np.int64]
    names: tuple[str, ...]
    starts: NDArray[np.datetime64]


class MonashEvaluation(Evaluation):
    """A set; its file is read when it is first needed."""

    _held = ("content",)

    def __init__(self, path: Path, data: MonashSet) -> None:
        self.path, self.data = path, data

    @cached_property
    def content(self) -> _Content:
        """The file's series that have the set's horizon.

        Raises:
            InputError: the file is unreadable, or has other series than the set.
        """
        series = [one for one in read_tsf(self.path) if one.horizon in (None, self.data.horizon)]
        _check(self.path, self.data, series)
        lengths = [len(one.values) for one in series]
        return _Content(
            np.concatenate([one.values for one in series]),
            np.cumsum([0, *lengths]),
            tuple(one.name for one in series),
            np.array([one.start for one in series]),
        )

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def points(self) -> int:
        """Series x horizon."""
        return self.data.series * self.data.horizon

    @property
    def query(self) -> Query:
        return Query(self.data.horizon, LEVELS, self.data.season_length, self.data.freq)

    @property
    def _windows(self) -> Windows:
        edges = self.content.edges
        return Windows(self.content.values, edges[:-1], edges[1:] - self.data.horizon, self.data.horizon)

    def batches(self, points: int) -> Iterator[Batch]:
        """All series."""
        whole = Batch(self._windows, self.content.edges[:-1])
        return whole.blocks(points)

    def keys(self) -> WindowKeys:
        """A window per series."""
        item = np.arange(self.data.series)
        return WindowKeys(
            items=self.content.names,
            targets=("target",),
            item=item,
            target=np.zeros_like(item),
            window=np.zeros_like(item),
            places=self._windows.cuts - self._windows.starts,
            starts=self.content.starts,
            freq=self.data.freq,
        )

    @cached_property
    def naive_error(self) -> float:
        """MAE of Naive.

        Raises:
            InputError: no series has a value.
        """
        error, steps = 0.0, 0
        for block in self._windows.blocks(_POINTS):
            errors = np.abs(block.targets() - naive().forecast_windows(block, self.query)[:, MEDIAN])
            seen = np.isfinite(errors)
            error, steps = error + float(errors[seen].sum()), steps + int(seen.sum())
        if not steps:
            raise InputError(self.path, "no series has a value to score Naive by", "download it again")
        return error / steps

    def metrics(self, totals: Totals) -> dict[str, float]:
        """MAE, Naive's MAE, and the first divided by the second."""
        naive_error = self.naive_error
        error = float(metrics.mean_absolute_error(totals))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = float(np.divide(error, naive_error))
        return {"MAE": error, "naive_MAE": naive_error, "normalised_MAE": ratio}

    def facts(self) -> dict[str, Any]:
        """Description of the set."""
        return {
            "task": self.name,
            "freq": self.data.freq,
            "series": self.data.series,
            "prediction_length": self.data.horizon,
            "seasonality": self.data.season_length,
        }

    def files(self) -> list[Path]:
        return [self.path]


def _check(path: Path, data: MonashSet, series: Sequence[TsfSeries]) -> None:
    if len(series) != data.series:
        fault = f"{len(series)} series where the set {data.name} has {data.series}"
        raise InputError(path, fault, "the result would be partial; download it again")
    names = {one.name for one in series}
    if len(names) < len(series):
        raise InputError(
            path, f"{len(series) - len(names)} series names appear twice", "keep each series once"
        )
    if short := [one.name for one in series if len(one.values) <= data.horizon]:
        fault = f"{len(short)} series are not longer than the horizon {data.horizon}, e.g. {short[0]}"
        raise InputError(path, fault, "download it again")


def _name_of(stem: str) -> str:
    """``nn5_daily`` of ``nn5_daily_dataset_with_missing_values``."""
    return stem.lower().partition("_dataset")[0]


def monash_evaluations(root: str | Path, only: Sequence[str] = ()) -> list[MonashEvaluation]:
    """Every set whose file lies below a folder.

    Args:
        root: folder of ``.tsf`` files at any depth.
        only: sets to keep; each must be there.

    Raises:
        InputError: nothing is found, or a set twice.
    """
    if not Path(root).is_dir():
        raise InputError(root, "no such folder", "give the folder of .tsf files")
    found: dict[str, Path] = {}
    known = {"cif_2016" if name.startswith("cif_2016") else name for name in SETS}
    others: list[str] = []
    for path in sorted(Path(root).rglob("*")):
        if not path.name.lower().endswith((".tsf", ".zip", ".tsf.gz")):
            continue
        name = _name_of(path.stem)
        if path.suffix != ".tsf" or name not in known:
            others.append(path.name)
            continue
        if name in found:
            fault = f"holds {name} twice: {found[name].name} and {path.name}"
            raise InputError(root, fault, "keep the one to score")
        found[name] = path
    files = {name: found.get("cif_2016" if name.startswith("cif_2016") else name) for name in SETS}
    evaluations = {name: MonashEvaluation(path, SETS[name]) for name, path in files.items() if path}
    if not evaluations:
        raise InputError(root, "holds none of the 29 sets", "expected files such as m1_monthly_dataset.tsf")
    if others and not only:
        say_left_out(f"{len(others)} files of none of the 29 sets: {', '.join(others[:9])}")
    for name in only:
        if name not in evaluations:
            raise InputError(name, "no such set", near(name, evaluations))
    return [one for name, one in evaluations.items() if not only or name in only]

"""Test windows of the benchmarks, counted from published facts or declared sizes before data are there."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from specseq.scoring.fev import fev_evaluations
from specseq.scoring.fev_tasks import Task, official_tasks
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.gift_eval_data import Config, DataSet, reference
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import evaluated_shapes
from specseq.series.evaluation import TERMS
from specseq.series.frequency import parse_frequency
from specseq.settings import read
from specseq.studies.config import EMBEDDED, HUB

# History of an item of FEV-Bench whose length is not recorded, in seasons.
_SEASONS = 200
# Frequencies of its tasks by seasonality; a season of one step is a week's or a year's.
_FREQUENCIES = {1: "W", 4: "Q", 7: "D", 12: "M", 24: "H"}
_MINUTES = 24 * 60


class WindowSet(NamedTuple):
    """Test windows of a config of GIFT-Eval or a task of FEV-Bench.

    Attributes:
        series: variates of all items.
        windows: windows of all of them.
        context: mean number of steps before a window.
        horizon: steps to forecast.
        freq: normalised frequency alias.
    """

    series: int
    windows: int
    context: float
    horizon: int
    freq: str

    @property
    def points(self) -> int:
        """Forecast points of all windows."""
        return self.windows * self.horizon


def window_sets(
    benchmark: str, data: Mapping[str, Any], terms: Sequence[str], only: Sequence[str]
) -> tuple[WindowSet, ...]:
    """The test windows that an evaluation forecasts.

    Args:
        benchmark: ``gift_eval`` or ``fev``.
        data: the config's section ``data``.
        terms: of GIFT-Eval.
        only: data sets or tasks to keep; all where empty.

    Raises:
        InputError: the folder that the config names in place of the hub's is at fault.
    """
    if benchmark == "fev":
        return _fev(str(data["fev"]), tuple(only))
    sizes = read(EmbeddedSizes, data.get("embedded") or {}, "data.embedded")
    return _gift_eval(str(data["gift_eval"]), sizes, tuple(terms), tuple(only))


@lru_cache(maxsize=16)
def _gift_eval(
    source: str, sizes: EmbeddedSizes, terms: tuple[str, ...], only: tuple[str, ...]
) -> tuple[WindowSet, ...]:
    if source == EMBEDDED:
        configs: Iterator[Config] = _embedded(sizes, terms)
    elif source == HUB:
        configs = (config for config in reference().values() if config.term in terms)
    else:
        configs = (evaluation.config for evaluation in gift_evaluations(source, terms, only))
    return tuple(
        WindowSet(
            series := config.series * config.variates,
            series * config.windows,
            config.total / series - (config.windows + 1) / 2 * config.horizon,
            config.horizon,
            parse_frequency(config.freq).alias,
        )
        for config in configs
        if not only or any(f"{config.folder}/".startswith(f"{name}/") for name in only)
    )


def _embedded(sizes: EmbeddedSizes, terms: Sequence[str]) -> Iterator[Config]:
    for folder, freq, (items, variates, steps) in evaluated_shapes(sizes):
        data = DataSet(folder, (), items, freq, variates, steps, items * variates * steps)
        yield from (data.config(term) for term in TERMS if term in terms and data.offers(term))


@lru_cache(maxsize=16)
def _fev(source: str, only: tuple[str, ...]) -> tuple[WindowSet, ...]:
    if source == HUB:
        tasks = official_tasks().values()
        return tuple(_official(task) for task in tasks if not only or {task.name, task.dataset} & {*only})
    sets = []
    for evaluation in fev_evaluations(source, None, only):
        task, cuts = evaluation.task, evaluation.data.cuts
        series = evaluation.data.items * len(task.targets)
        context, freq = float(cuts[cuts >= 0].mean()), evaluation.query.freq
        sets.append(WindowSet(series, evaluation.data.forecasts, context, task.horizon, freq))
        evaluation.close()
    return tuple(sets)


def _official(task: Task) -> WindowSet:
    """A published task, of which forecasts are counted, and for a few the steps."""
    windows = task.forecasts or 0
    series = windows // task.windows
    length = float(_SEASONS * task.season_length)
    if task.steps is not None:
        length = task.steps * len(task.targets) / series
    context = max(length - (task.windows + 1) / 2 * task.horizon, 1.0)
    freq = _FREQUENCIES.get(task.season_length) or f"{_MINUTES // task.season_length}T"
    return WindowSet(series, windows, context, task.horizon, freq)

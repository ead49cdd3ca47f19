"""GIFT-Eval's data: its configs, data sets and test windows.

Source: Aksu et al. 2024, arXiv:2410.10393, and the package ``gift_eval``.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from specseq.errors import InputError
from specseq.models.windows import Windows
from specseq.series.arrow import Block, find_folders, open_folder
from specseq.series.evaluation import SHORT_HORIZON, prediction_length, window_count
from specseq.series.frequency import Frequency, parse_frequency, stated_frequency
from specseq.settings import near

_LONG_TERM_UNITS = ("S", "T", "H")
_NUMBERS = ("series", "variates", "shortest", "horizon", "windows", "season_length", "total")
_PRETTY = {"saugeenday": "saugeen"}


@dataclass(frozen=True)
class Config:
    """One row of the benchmark: a data set at a frequency, with a prediction length.

    Attributes:
        name: as published, ``key/freq/term``.
        folder: the data set's folder below the benchmark's.
        domain: subject of the data, or ``-``.
        freq: frequency as the data set states it.
        series: number of items.
        variates: target variates of an item.
        shortest: length of the shortest item.
        horizon: prediction length.
        windows: test windows of each series.
        season_length: season of the scale in MASE and MSIS.
        total: values of all series and variates together.
    """

    name: str
    folder: str
    domain: str
    freq: str
    series: int
    variates: int
    shortest: int
    horizon: int
    windows: int
    season_length: int
    total: int

    @property
    def term(self) -> str:
        """``short``, ``medium`` or ``long``."""
        return self.name.rsplit("/", 1)[1]


@cache
def reference() -> dict[tuple[str, str], Config]:
    """The 97 published configs by (folder, term)."""
    text = resources.files("specseq.scoring").joinpath("gift_eval_configs.csv").read_text("utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        numbers = (int(row[name]) for name in _NUMBERS)
        config = Config(row["config"], row["folder"], row["domain"], row["freq"], *numbers)
        found[config.folder, config.term] = config
    return found


def config_name(folder: str, frequency: Frequency, term: str) -> str:
    """``key/freq/term`` as published: lower case, ``_with_missing`` stripped, saugeenday as saugeen."""
    key = folder.split("/")[0].lower().removesuffix("_with_missing")
    return f"{_PRETTY.get(key, key)}/{folder.split('/')[1] if '/' in folder else frequency.alias}/{term}"


@dataclass(frozen=True)
class DataSet:
    """One folder of the benchmark, read by memory map.

    Attributes:
        folder: path below the benchmark's folder.
        blocks: its record batches; none where only its configs are asked for.
        items: number of items.
        freq: the frequency stated by every item.
        variates: variates of every item.
        shortest: length of the shortest item.
        total: values of all items and variates together.
    """

    folder: str
    blocks: tuple[Block, ...]
    items: int
    freq: str
    variates: int
    shortest: int
    total: int

    def config(self, term: str) -> Config:
        """The config of a term; for a published one, its facts are checked.

        Raises:
            InputError: the data differ from the published config: other series, variates, lengths or windows.
        """
        frequency = stated_frequency(self.freq, self.folder)
        horizon = prediction_length(self.folder, frequency, term)
        published = reference().get((self.folder, term))
        config = Config(
            name=published.name if published else config_name(self.folder, parse_frequency(self.freq), term),
            folder=self.folder,
            domain=published.domain if published else "-",
            freq=self.freq,
            series=self.items,
            variates=self.variates,
            shortest=self.shortest,
            horizon=horizon,
            windows=window_count(self.folder, self.shortest, horizon),
            season_length=frequency.season_length,
            total=self.total,
        )
        if published:
            _check_against(config, published)
        if config.shortest <= config.horizon * config.windows:
            raise InputError(
                config.name,
                f"a series of {config.shortest} steps has no history before {config.windows} windows of "
                f"{config.horizon}",
                "longer series or a shorter term are needed",
            )
        return config

    def offers(self, term: str) -> bool:
        """Whether the benchmark has this term for the folder.

        For the benchmark's data, the published list decides. For other data, every folder has the short term;
        as in the benchmark, longer terms are for hourly and faster data with a history of more than a horizon
        and a season before the first window.
        """
        if any(folder == self.folder for folder, _ in reference()):
            return (self.folder, term) in reference()
        if term == "short":
            return True
        frequency = stated_frequency(self.freq, self.folder)
        if frequency.unit not in _LONG_TERM_UNITS:
            return False
        horizon = prediction_length(self.folder, frequency, term)
        history = self.shortest - horizon * window_count(self.folder, self.shortest, horizon)
        return history > max(horizon, frequency.season_length)

    def windows(self, config: Config) -> Iterator[Windows]:
        """The test windows, one set per record batch: variates are series of their own.

        The last ``windows x horizon`` steps are tested; each window's context is everything before it.
        """
        steps = np.arange(-config.windows, 0, dtype=np.int64) * config.horizon
        for block in self.blocks:
            item = np.repeat(np.arange(len(block)), block.variates)
            first = np.repeat(np.cumsum(block.variates) - block.variates, block.variates)
            lengths = block.length[item]
            starts = block.offset[item] + (np.arange(len(item)) - first) * lengths
            cuts = (starts + lengths)[:, None] + steps
            yield Windows(block.values, np.repeat(starts, config.windows), cuts.ravel(), config.horizon)


def _check_against(config: Config, published: Config) -> None:
    for name, words in (
        ("series", "series"),
        ("variates", "variates"),
        ("shortest", "steps in the shortest series"),
        ("horizon", "steps to forecast"),
        ("windows", "test windows"),
        ("season_length", "steps in a season"),
        ("total", "values in all series"),
    ):
        here, there = getattr(config, name), getattr(published, name)
        if here != there:
            raise InputError(
                config.name,
                f"{here} {words} where the benchmark has {there}",
                "the result would be partial; download the data set again",
            )


def open_dataset(root: str | Path, folder: str) -> DataSet:
    """Open one data set of the benchmark.

    Raises:
        InputError: it is unreadable or empty, or its items differ in frequency or variates, repeat an id, or
            have variates of different lengths.
    """
    blocks = tuple(block for block in open_folder(Path(root) / folder).blocks() if len(block))
    if not blocks:
        raise InputError(folder, "holds no series", "download the data set again")
    ids = [item for block in blocks for item in block.item_id]
    if unnamed := sum(item is None for item in ids):
        raise InputError(folder, f"{unnamed} of {len(ids)} items without item_id", "give each an id")
    if len(set(ids)) < len(ids):
        raise InputError(folder, f"{len(ids) - len(set(ids))} item ids appear twice", "keep each item once")
    freq = _one_frequency(folder, Counter(freq for block in blocks for freq in block.freq))
    lengths = np.concatenate([block.length for block in blocks])
    if (lengths < 0).any():
        raise InputError(folder, f"{int((lengths < 0).sum())} items have variates of different lengths")
    variates = np.unique(np.concatenate([block.variates for block in blocks]))
    if len(variates) > 1 or variates[0] < 1:
        raise InputError(folder, f"items have between {variates[0]} and {variates[-1]} variates")
    total = int(lengths.sum() * variates[0])
    return DataSet(folder, blocks, len(ids), freq, int(variates[0]), int(lengths.min()), total)


def _one_frequency(folder: str, spellings: Counter[str]) -> str:
    """The commonest spelling of the frequency that all items have."""
    if unstated := spellings.get("", 0):
        raise InputError(folder, f"{unstated} of {spellings.total()} items without freq", "state each item's")
    stated = {spelling: stated_frequency(spelling, folder) for spelling in spellings}
    # Season and horizon go by the unit that is stated, so that 60 S and 1 T are scored differently.
    kinds = {
        (parse_frequency(spelling), frequency.season_length, SHORT_HORIZON[frequency.unit])
        for spelling, frequency in stated.items()
    }
    if len(kinds) > 1:
        shown = ", ".join(f"{count} items at {spelling}" for spelling, count in spellings.most_common(4))
        raise InputError(folder, f"mixed frequencies: {shown}", "split it into one folder per frequency")
    return spellings.most_common(1)[0][0]


def find_datasets(root: str | Path, only: Sequence[str] = ()) -> list[DataSet]:
    """All data sets below a folder, in a fixed order.

    Args:
        root: folder with ``key`` or ``key/freq`` folders.
        only: keep folders that equal one of these or lie below it (``ett1`` or ``ett1/H``).

    Raises:
        InputError: nothing is found, a name in ``only`` is not there, or a data set is unreadable.
    """
    there = list(find_folders(root, depth=2))
    chosen = {wanted: [f for f in there if f == wanted or f.startswith(f"{wanted}/")] for wanted in only}
    if unknown := [name for name, folders in chosen.items() if not folders]:
        fault = f"holds no data set named {', '.join(unknown)}"
        raise InputError(root, fault, near(unknown[0], there))
    folders = [folder for folder in there if not only or any(folder in found for found in chosen.values())]
    return [open_dataset(root, folder) for folder in folders]

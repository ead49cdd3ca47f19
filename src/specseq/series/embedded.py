"""Data that need no download: real series included in statsmodels, and synthetic ones.

Each set is written twice: without its last steps as a training corpus in LOTSA's layout, and whole as an
evaluation set in GIFT-Eval's layout, with all test windows in those last steps. A model trained on the corpus
has thus never seen a test point.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import full_disk
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.config import EmbeddedSizes
from specseq.series.evaluation import TERMS, prediction_length, window_count
from specseq.series.frequency import stated_frequency
from specseq.series.synthetic import synthetic_series


@dataclass(frozen=True)
class EmbeddedSet:
    """One data set.

    Attributes:
        corpus: folder name in the training corpus.
        folder: ``key`` or ``key/freq`` in the evaluation sets; None for training-only sets.
        items: the whole series.
        evaluated: number of items that are evaluated.
        licence, source: as stated by the origin.
    """

    corpus: str
    folder: str | None
    items: tuple[Item, ...]
    evaluated: int
    licence: str
    source: str

    @property
    def held_out(self) -> int:
        """Number of last steps of every series withheld from training."""
        if self.folder is None:
            return 0
        return held_out_steps(self.folder, self.items[0].freq, min(i.target.shape[-1] for i in self.items))


def held_out_steps(folder: str, freq: str, shortest: int) -> int:
    """Number of steps covered by the test windows: horizon × windows, the largest over all terms.

    A term longer than the short one counts only if a history of a horizon and a season remains, as an
    evaluation requires for it.
    """
    frequency = stated_frequency(freq)
    spans = []
    for term in TERMS:
        horizon = prediction_length(folder, frequency, term)
        span = horizon * window_count(folder, shortest, horizon)
        if term == "short" or shortest - span > max(horizon, frequency.season_length):
            spans.append(span)
    return max(spans)


def embedded_sets(seed: int, sizes: EmbeddedSizes) -> list[EmbeddedSet]:
    """All sets, the same for the same seed and sizes."""
    return [*_real_sets(), *(_synthetic_set(seed, alias, sizes) for alias in sizes.frequencies)]


def evaluated_shapes(sizes: EmbeddedSizes) -> list[tuple[str, str, tuple[int, int, int]]]:
    """Folder, frequency and shape of every evaluation set, without synthesising any.

    Shapes:
        items, variates, steps.
    """
    real = [
        (one.folder, one.items[0].freq, (one.evaluated, *np.atleast_2d(one.items[0].target).shape))
        for one in _real_sets()
        if one.folder is not None
    ]
    synthetic = (sizes.evaluated, 1, sizes.steps)
    return real + [(f"synthetic/{alias}", alias, synthetic) for alias in sizes.frequencies]


def write_corpus(root: str | Path, sets: Iterable[EmbeddedSet]) -> None:
    """Write the training corpus: every series without its held-out tail, in LOTSA's layout.

    The previous contents of ``root`` are deleted, so that sets of an earlier choice are not trained on.

    Raises:
        InputError: the disk is full.
    """

    def seen(one: EmbeddedSet, item: Item) -> Item:
        return replace(item, target=item.target[..., : item.target.shape[-1] - one.held_out])

    _write(root, ((one.corpus, one, [seen(one, item) for item in one.items]) for one in sets))


def write_evaluation(root: str | Path, sets: Iterable[EmbeddedSet]) -> None:
    """Write the evaluation sets: whole series, in GIFT-Eval's layout; ``root`` is replaced.

    Raises:
        InputError: the disk is full.
    """
    _write(root, ((one.folder, one, one.items[: one.evaluated]) for one in sets if one.folder is not None))


def _write(root: str | Path, folders: Iterable[tuple[str, EmbeddedSet, Sequence[Item]]]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    with full_disk(Path(root)):
        for name, one, items in folders:
            write_folder(Path(root) / name, items, licence=one.licence, source=one.source)


def _synthetic_set(seed: int, alias: str, sizes: EmbeddedSizes) -> EmbeddedSet:
    values = synthetic_series(seed, alias, sizes.series, sizes.steps)
    start = np.datetime64("2000-01-01T00:00:00")
    items = tuple(Item(f"synthetic_{alias}_{number}", start, alias, row) for number, row in enumerate(values))
    return EmbeddedSet(
        f"synthetic_{alias}",
        f"synthetic/{alias}",
        items,
        sizes.evaluated,
        "none needed: generated",
        "Gaussian processes with composed kernels",
    )


def _real_sets() -> list[EmbeddedSet]:
    """The series included in statsmodels, with the copyright that it states."""
    from statsmodels import datasets

    def columns(*names: str) -> Callable[[Any], NDArray[np.float64]]:
        return lambda frame: frame[list(names)].to_numpy(np.float64).T.squeeze(0 if len(names) == 1 else ())

    accounts = ("realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi")
    rates = ("m1", "tbilrate", "unemp", "pop", "infl", "realint")
    money = ("lrm", "lry", "lpy", "ibo", "ide")
    plan: list[tuple[str, str, str, bool, Callable[[Any], NDArray[np.float64]]]] = [
        ("sunspots", "1700-01-01", "A-DEC", True, columns("SUNACTIVITY")),
        ("nile", "1871-01-01", "A-DEC", True, columns("volume")),
        ("co2", "1958-03-29", "W-SAT", True, columns("co2")),
        ("elnino", "1950-01-01", "M", True, lambda frame: frame.iloc[:, 1:].to_numpy(np.float64).ravel()),
        ("macrodata", "1959-01-01", "Q-DEC", True, columns(*accounts, *rates)),
        ("danish_data", "1974-01-01", "Q-DEC", False, columns(*money)),
    ]
    sets = []
    for name, start, freq, evaluated, extract in plan:
        module = getattr(datasets, name)
        item = Item(name, np.datetime64(f"{start}T00:00:00"), freq, extract(module.load_pandas().data))
        licence = " ".join(module.COPYRIGHT.split())
        source = f"statsmodels.datasets.{name}"
        sets.append(EmbeddedSet(name, name if evaluated else None, (item,), 1, licence, source))
    return sets

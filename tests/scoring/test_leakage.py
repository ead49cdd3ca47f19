"""Leaks of a benchmark's test points into a training corpus, planted where they are known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from specseq.commands.leakage import main
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.leakage import LeakageRequest, leakage, measure_leakage
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus, write_evaluation
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stretches import DISTINCT, WINDOW, Stretches, telling, window_hashes

STEPS, HORIZON, WINDOWS = 960, 48, 2
CUT = STEPS - HORIZON * WINDOWS  # the first test point
Series = NDArray[np.float64]


def _walk(seed: int, steps: int = STEPS) -> Series:
    return np.random.default_rng(seed).normal(size=steps).cumsum()


def _folder(path: Path, targets: dict[str, Series], freq: str = "H") -> None:
    start = np.datetime64("2020-01-01T00:00:00")
    write_folder(path, [Item(name, start, freq, target) for name, target in targets.items()])


def _measured(root: Path, tested: dict[str, Series], corpus: dict[str, dict[str, Series]]) -> pd.Series:
    """The row of hourly test series, each 960 steps with two windows of 48, beside a corpus."""
    _folder(root / "tests" / "ours", tested)
    for name, targets in corpus.items():
        _folder(root / "corpus" / name, targets)
    prepare_store(root / "corpus", root / "store")
    evaluations = gift_evaluations(root / "tests", ["short"])
    assert [(e.config.horizon, e.config.windows) for e in evaluations] == [(HORIZON, WINDOWS)]
    return leakage(open_store(root / "store"), evaluations).iloc[0]


# What of a test series lies in the corpus, where in a series of its own -> how many of its 96 test points.
PLANTED: dict[str, tuple[Callable[[Series], Series], int]] = {
    "whole": (lambda x: x, 96),
    "another beginning": (lambda x: x[700:], 96),
    "amid another series": (lambda x: np.concatenate([_walk(7, 333), x[CUT - 40 :], _walk(8, 50)]), 96),
    "a part": (lambda x: x[500 : CUT + 30], 30),
    "its end": (lambda x: np.concatenate([_walk(7, 100), x[-20:]]), 20),
    "one point": (lambda x: x[: CUT + 1], 1),
    "history alone": (lambda x: x[:CUT], 0),
    "too little to tell": (lambda x: np.concatenate([_walk(7, 100), x[-WINDOW + 1 :], _walk(8, 100)]), 0),
    "another series": (lambda x: _walk(9), 0),
    "shifted by a constant": (lambda x: x + 1, 0),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_leaks_are_counted_to_the_point(kind: str, tmp_path: Path) -> None:
    plant, points = PLANTED[kind]
    tested = {"a": _walk(0), "b": _walk(1)}
    row = _measured(tmp_path, tested, {"clean": {"c": _walk(2)}, "held": {"d": plant(tested["b"])}})
    assert (row["series"], row["points"]) == (2, 2 * HORIZON * WINDOWS)
    assert row["leaked_points"] == points
    assert (row["leaked_series"], row["leaked_from"]) == ((1, "held") if points else (0, ""))
    kept = kind in (
        "whole",
        "another beginning",
        "a part",
        "one point",
        "history alone",
        "amid another series",
    )
    assert row["history_series"] == kept
    assert row["untold_points"] == 0


def test_missing_values_and_narrow_types_hide_no_leak(tmp_path: Path) -> None:
    tested = _walk(0)
    tested[[CUT + 3, CUT + 50]] = np.nan
    held = tested[CUT - 5 :].astype(np.float32).astype(np.float64)
    row = _measured(tmp_path, {"a": tested}, {"held": {"b": held}})
    assert row["leaked_points"] == HORIZON * WINDOWS


def test_values_that_are_alike_tell_nothing(tmp_path: Path) -> None:
    quiet, busy = np.tile([0.0, 1.0, 0.0, 2.0], STEPS // 4), _walk(0)
    busy[CUT : CUT + 40] = 0
    corpus = {"counts": {"c": np.tile([0.0, 1.0, 0.0, 2.0], 100)}, "zeros": {"d": np.r_[1.0, np.zeros(99)]}}
    row = _measured(tmp_path, {"a": quiet, "b": busy}, corpus)
    assert row["leaked_points"] == 0
    # All of the first; of the second the zeros that no telling stretch reaches into.
    assert HORIZON * WINDOWS < row["untold_points"] < HORIZON * WINDOWS + 40


def test_a_name_alone_is_a_prior(tmp_path: Path) -> None:
    _folder(tmp_path / "tests" / "m_dense" / "M", {"a": _walk(0, 84)}, "M")
    _folder(tmp_path / "corpus" / "M_DENSE", {"b": _walk(1, 84)}, "M")
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    made = leakage(open_store(tmp_path / "store"), gift_evaluations(tmp_path / "tests", ["short"]))
    assert made.loc[0, "named"]
    assert made.loc[0, "leaked_points"] == 0, "of that name, but other values"


def test_the_embedded_corpus_holds_histories_alone(tmp_path: Path) -> None:
    sets = embedded_sets(0, EmbeddedSizes(frequencies=("H", "M"), series=4, steps=256, evaluated=2))
    write_corpus(tmp_path / "corpus", sets)
    write_evaluation(tmp_path / "tests", sets)
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    out = tmp_path / "leakage.parquet"
    request = LeakageRequest(
        benchmark="gift_eval", data=tmp_path / "tests", corpus=tmp_path / "store", out=out
    )
    made = measure_leakage(request)
    assert not made["leaked_points"].any()
    assert (made["history_series"] == made["series"]).all()
    assert (made["points"] > 0).all()
    assert pd.read_parquet(out).equals(made)


def test_tasks_of_fev_bench_are_searched_too(tmp_path: Path) -> None:
    series = {"a": _walk(0, 200), "b": _walk(1, 200)}
    stamps = pd.date_range("2020-01-01", periods=200, freq="h").to_numpy()
    rows = [{"id": name, "timestamp": stamps, "target": values} for name, values in series.items()]
    (tmp_path / "fev" / "walks").mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(tmp_path / "fev" / "walks" / "data.parquet")
    task = "tasks:\n- {dataset_config: walks, horizon: 10, num_windows: 2, seasonality: 24}\n"
    (tmp_path / "fev" / "tasks.yaml").write_text(task)
    _folder(tmp_path / "corpus" / "held", {"c": series["b"][60:185]})
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    out = tmp_path / "leakage.parquet"
    made = measure_leakage(
        LeakageRequest(
            benchmark="fev", data=tmp_path / "fev", corpus=tmp_path / "store" / "manifest.json", out=out
        )
    ).iloc[0]
    assert (made["points"], made["leaked_points"], made["leaked_series"]) == (40, 5, 1)
    assert (made["history_series"], made["leaked_from"]) == (1, "held")


values = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(width=32, allow_infinity=False)), max_size=90
).map(lambda numbers: np.array(numbers, np.float64))


@given(values, values, st.integers(0, 80), st.integers(0, 60), st.booleans())
@settings(max_examples=200, deadline=None)
def test_windows_are_held_exactly_where_their_values_are(
    tested: Series, other: Series, begin: int, length: int, narrow: bool
) -> None:
    corpus = np.concatenate([other, tested[begin : begin + length], other[::-1]])
    hashes, told = window_hashes(tested), telling(tested)
    made = Stretches([hashes[told], hashes[told]])
    made._look(window_hashes(corpus.astype(np.float32) if narrow else corpus), 3)
    there = {_bits(corpus, place) for place in range(len(corpus) - WINDOW + 1)}
    mine = [_bits(tested, place) for place in range(len(tested) - WINDOW + 1)]
    assert (np.where(told, made.holders(hashes), -1) >= 0).tolist() == [
        bool(tell) and bits in there for tell, bits in zip(told, mine, strict=True)
    ]
    assert told.tolist() == [len(set(bits) - {"nan"}) >= DISTINCT for bits in mine]


def _bits(series: Series, place: int) -> tuple[str, ...]:
    """A window as texts, in which missing values are equal and zeros have no sign."""
    return tuple(str(np.float32(value) + np.float32(0)) for value in series[place : place + WINDOW])


def test_the_command_names_what_leaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tested = _walk(0)
    _measured(tmp_path, {"a": tested}, {"held": {"b": tested[:-48]}})
    folders = ["--data", str(tmp_path / "tests"), "--corpus", str(tmp_path / "store")]
    capsys.readouterr()
    main(["gift_eval", *folders, "--out", str(tmp_path / "leakage.parquet")])
    printed = capsys.readouterr().out
    assert "ours/H/short: 48 of 96 test points, from held\n1 of " in printed

"""GIFT-Eval: windows, names and metrics against GluonTS, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.scoring.evaluate import score
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.gift_eval_data import config_name, open_dataset, reference
from specseq.scoring.metrics import LEVELS
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.evaluation import TERMS, prediction_length, window_count
from specseq.series.frequency import parse_frequency, stated_frequency
from specseq.series.hub import UNFINISHED


def fake_quantiles(
    context: NDArray[np.floating], horizon: int, levels: Sequence[float] = LEVELS
) -> NDArray[np.float32]:
    """A forecast that depends on the context alone: a fan around its last known value."""
    known = np.asarray(context, np.float64)[np.isfinite(context)]
    centre, spread = (known[-1], 0.1 + np.abs(known).mean()) if len(known) else (0.0, 1.0)
    shape = np.sin(np.arange(horizon) + len(context))
    fan = np.asarray(levels)[:, None] - 0.45
    return (centre + spread * (fan + 0.3 * shape)).astype(np.float32)


class Fake:
    """Speaks the protocol with :func:`fake_quantiles`, and checks what the harness hands over."""

    name = "fake"
    context_length: int | None = None

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        lengths = [len(context) for context in contexts]
        assert lengths == sorted(lengths)
        levels = query.quantile_levels
        return np.stack([fake_quantiles(context, query.horizon, levels) for context in contexts])


def items(arrays: Sequence[NDArray[np.floating]], freq: str) -> list[Item]:
    start = np.datetime64("2020-01-01", "s")
    return [Item(f"i{number}", start, freq, values) for number, values in enumerate(arrays)]


def wild_series(seed: int, length: int, kind: str) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=length).cumsum() * 10.0 ** generator.integers(-3, 5)
    if kind == "gaps":
        values[generator.random(length) < 0.4] = np.nan
    elif kind == "leading":
        values[: int(length * 0.8)] = np.nan
    elif kind == "constant":
        values[:] = 7.0
    elif kind == "zeros":
        values = np.where(generator.random(length) < 0.8, 0.0, generator.integers(0, 4, length))
    elif kind == "missing":
        values[:] = np.nan
    return values.astype(np.float32)


KINDS = ("plain", "gaps", "leading", "constant", "zeros", "missing")
PANDAS = {"15T": "15min", "10T": "10min", "H": "h", "D": "D", "W-SUN": "W-SUN", "M": "M", "Q": "Q-DEC"}


@settings(max_examples=40, deadline=None)
@given(
    freq=st.sampled_from(sorted(PANDAS)),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    variates=st.integers(1, 3),
    history=st.integers(1, 160),
    seed=st.integers(0, 2**32 - 1),
)
def test_metrics_equal_gluonts(
    tmp_path_factory: pytest.TempPathFactory,
    freq: str,
    kinds: list[str],
    variates: int,
    history: int,
    seed: int,
) -> None:
    from tests.scoring.gluonts_oracle import evaluate

    length = history + prediction_length("x", parse_frequency(freq), "short")
    arrays = [
        np.stack([wild_series(seed + 10 * number + k, length + number, kind) for k in range(variates)])
        for number, kind in enumerate(kinds)
    ]
    root = tmp_path_factory.mktemp("gift")
    write_folder(root / "x", items([a[0] if variates == 1 else a for a in arrays], freq), shards=2)
    (evaluation,) = gift_evaluations(root, ["short"])
    facts, query = evaluation.facts(), evaluation.query
    ours = score(evaluation, Fake())
    theirs = evaluate(
        [row.astype(np.float64) for array in arrays for row in array],
        PANDAS[freq],
        query.horizon,
        facts["windows"],
        facts["seasonality"],
        lambda context: fake_quantiles(context, query.horizon).astype(np.float64),
    )
    assert set(ours) == {f"eval_metrics/{name}" for name in theirs}
    for name, value in theirs.items():
        assert ours[f"eval_metrics/{name}"] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize(("folder", "term"), sorted(reference()))
def test_rules_give_the_published_configs(folder: str, term: str) -> None:
    config = reference()[folder, term]
    frequency = stated_frequency(config.freq)
    assert config_name(folder, parse_frequency(config.freq), term) == config.name
    assert prediction_length(folder, frequency, term) == config.horizon
    assert window_count(folder, config.shortest, config.horizon) == config.windows
    assert frequency.season_length == config.season_length


SPELLINGS = (
    *("S", "s", "T", "min", "H", "h", "BH", "bh", "D", "C", "B", "W-SUN", "M", "ME", "MS", "BME", "BMS"),
    *("CBMS", "Q", "QE-DEC", "QS", "BQE", "BQS", "YE", "YS", "BYE"),
)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "spelling", [*SPELLINGS, "BQE", "BQS", "YE", "YS", "BYE", "S", "T", "H", "BH", "M", "Q"]
)
def test_seasons_are_those_of_gluonts_and_horizons_go_by_the_unit_as_stated(spelling: str) -> None:
    from gluonts.time_feature import get_seasonality

    one = stated_frequency(spelling)
    for multiple in (1, 2, 5, 7, 15, 24, 60, 120, 300, 1440, 3600):
        frequency = stated_frequency(f"{multiple}{spelling}")
        assert frequency.season_length == get_seasonality(f"{multiple}{spelling}")
        assert prediction_length("x", frequency, "short") == prediction_length("x", one, "short")


@pytest.mark.parametrize(
    ("freq", "season", "horizon", "name"),
    [
        ("60S", 60, 60, "x/T/short"),
        ("300S", 12, 60, "x/5T/short"),
        ("3600S", 1, 60, "x/H/short"),
        ("60T", 24, 48, "x/H/short"),
        ("BH", 1, 48, "x/H/short"),
    ],
)
def test_configs_go_by_the_frequency_as_stated(
    tmp_path: Path, freq: str, season: int, horizon: int, name: str
) -> None:
    write_folder(tmp_path / "x", items([np.arange(300.0)], freq))
    (evaluation,) = gift_evaluations(tmp_path, ["short"])
    query = evaluation.query
    assert (evaluation.name, query.season_length, query.horizon) == (name, season, horizon)
    assert name.split("/")[1] == query.freq


def test_folders_named_after_m4_have_horizons_at_other_frequencies_too() -> None:
    horizons = [prediction_length("m4_more", stated_frequency(freq), "short") for freq in ("M", "15T", "B")]
    assert horizons == [18, 48, 30]


def test_there_are_97_configs() -> None:
    terms = [term for _, term in reference()]
    assert [terms.count(term) for term in TERMS] == [55, 21, 21]


def test_windows_are_the_last_steps_with_expanding_contexts(tmp_path: Path) -> None:
    values = np.arange(2 * 700, dtype=np.float32).reshape(2, 700)
    write_folder(tmp_path / "x" / "H", items([values], "H"))
    data = open_dataset(tmp_path, "x/H")
    config = data.config("short")
    assert (config.name, config.windows, config.horizon) == ("x/H/short", 2, 48)
    (windows,) = data.windows(config)
    contexts, targets = windows.contexts(), windows.targets()
    assert [len(context) for context in contexts] == [604, 652, 604, 652]
    assert [context[0] for context in contexts] == [0, 0, 700, 700]
    assert targets[:, 0].tolist() == [604, 652, 1304, 1352]
    assert [context[0] for context in windows.contexts(limit=4)] == [600, 648, 1300, 1348]


def test_data_of_the_benchmark_must_be_whole(tmp_path: Path) -> None:
    write_folder(tmp_path / "hospital", items([np.ones(84)] * 3, "M"))
    with pytest.raises(InputError, match=r"hospital/M/short: 3 series where the benchmark has 767"):
        gift_evaluations(tmp_path)
    write_folder(tmp_path / "us_births" / "D", items([np.ones(7000)], "D"))
    with pytest.raises(
        InputError, match=r"us_births/D/short: 7000 steps in the shortest series where .* 7305"
    ):
        gift_evaluations(tmp_path, only=["us_births"])


def test_points_that_were_cut_are_counted(tmp_path: Path) -> None:
    """Series, windows and the shortest series are those of m4_weekly, and values of the others are gone."""
    lengths = [93] + [1035] * 357 + [371_579 - 93 - 357 * 1035]
    arrays = [np.ones(length, np.float32) for length in lengths]
    write_folder(tmp_path / "m4_weekly", items(arrays, "W-SUN"))
    (evaluation,) = gift_evaluations(tmp_path)
    assert evaluation.name == "m4_weekly/W/short"
    write_folder(tmp_path / "m4_weekly", items([array[-900:] for array in arrays], "W-SUN"))
    with pytest.raises(InputError, match=r"m4_weekly/W/short: \d+ values in all series where the .* 371579"):
        gift_evaluations(tmp_path)


def test_other_data_define_their_own_configs(tmp_path: Path) -> None:
    write_folder(tmp_path / "long" / "H", items([np.arange(9000.0)], "H"))
    write_folder(tmp_path / "Short_With_Missing", items([np.arange(30.0)], "A-DEC"))
    write_folder(tmp_path / "slow", items([np.arange(9000.0)], "D"))
    names = [evaluation.name for evaluation in gift_evaluations(tmp_path)]
    assert names == ["short/A/short", "long/H/short", "long/H/medium", "long/H/long", "slow/D/short"]
    assert [e.name for e in gift_evaluations(tmp_path, ["medium"], ["long"])] == ["long/H/medium"]
    with pytest.raises(InputError, match="unknown term"):
        gift_evaluations(tmp_path, ["tiny"])
    for only in (["solw"], ["long", "solw"]):
        with pytest.raises(InputError, match="no data set named solw; did you mean slow"):
            gift_evaluations(tmp_path, only=only)


@pytest.mark.parametrize(
    ("one", "two", "name"),
    [
        ("foo", "foo_with_missing", "foo/H/short"),
        ("ETT/H", "ett/H", "ett/H/short"),
        ("x", "x/H", "x/H/short"),
    ],
)
def test_two_folders_of_one_name_are_refused(tmp_path: Path, one: str, two: str, name: str) -> None:
    for folder in (one, two):
        write_folder(tmp_path / "new", items([np.arange(300.0)], "H"))
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for file in (tmp_path / "new").iterdir():
            file.rename(tmp_path / folder / file.name)
        (tmp_path / "new").rmdir()
    with pytest.raises(InputError, match=f"folders {one} and {two} both go by {name}; rename one of them"):
        gift_evaluations(tmp_path, ["short"])


def test_an_unfinished_download_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", items([wild_series(0, 400, "plain")], "D"))
    (tmp_path / UNFINISHED).touch()
    with pytest.raises(InputError, match="this download is unfinished"):
        gift_evaluations(tmp_path, ["short"])


def test_faulty_data_are_named(tmp_path: Path) -> None:
    start = np.datetime64("2020-01-01", "s")
    twice = [Item("a", start, "D", np.ones(99)), Item("a", start, "D", np.ones(99))]
    write_folder(tmp_path / "twice", twice)
    with pytest.raises(InputError, match=r"twice: 1 item ids appear twice"):
        open_dataset(tmp_path, "twice")
    mixed = [Item("a", start, "D", np.ones(99)), Item("b", start, "H", np.ones(99))]
    write_folder(tmp_path / "mixed", mixed)
    with pytest.raises(InputError, match=r"mixed: mixed frequencies: 1 items at D, 1 items at H"):
        open_dataset(tmp_path, "mixed")
    uneven = [Item("a", start, "D", np.ones((2, 99))), Item("b", start, "D", np.ones((3, 99)))]
    write_folder(tmp_path / "uneven", uneven)
    with pytest.raises(InputError, match="between 2 and 3 variates"):
        open_dataset(tmp_path, "uneven")
    write_folder(tmp_path / "untold", [Item("a", start, None, np.ones(99))])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="untold: 1 of 1 items without freq"):
        gift_evaluations(tmp_path, only=["untold"])
    write_folder(tmp_path / "nameless", [Item(None, start, "D", np.ones(99))] * 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nameless: 2 of 2 items without item_id"):
        open_dataset(tmp_path, "nameless")
    write_folder(tmp_path / "brief", items([np.ones(30)], "D"))
    with pytest.raises(InputError, match=r"brief/D/short: a series of 30 steps has no history"):
        open_dataset(tmp_path, "brief").config("short")


@pytest.mark.parametrize(
    ("spellings", "freq"),
    [
        (["H", "h", "60min", "h"], "h"),
        (["W-SUN", "W-MON"], "W-SUN"),
        (["MS", "M", "ME"], "MS"),
        (["60S", "T"], None),
        (["D", "B"], None),
    ],
)
def test_spellings_of_one_frequency(tmp_path: Path, spellings: list[str], freq: str | None) -> None:
    """60 S and 1 T are the same spacing, but have another season and horizon in the benchmark."""
    start = np.datetime64("2020-01-01", "s")
    made = [Item(str(n), start, spelling, np.ones(99)) for n, spelling in enumerate(spellings)]
    write_folder(tmp_path / "x", made)
    if freq:
        assert open_dataset(tmp_path, "x").freq == freq
    else:
        with pytest.raises(InputError, match="mixed frequencies: 1 items at"):
            open_dataset(tmp_path, "x")

from pathlib import Path

import numpy as np
import pytest

from specseq.errors import InputError
from specseq.scoring.gift_eval_data import find_datasets
from specseq.series.arrow import find_folders, open_folder
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus, write_evaluation
from specseq.series.evaluation import TERMS
from specseq.series.synthetic import compose, kernel_bank, sample, synthetic_series
from specseq.settings import read
from tests.series.rows import rows, target_of

# 60 S are as long as 1 T, but have the horizon of seconds.
SIZES = EmbeddedSizes(("60S", "H", "D", "W", "M"), series=5, steps=320, evaluated=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    sets = embedded_sets(3, SIZES)
    write_corpus(root / "corpus", sets)
    write_evaluation(root / "evaluation", sets)
    return root


def test_the_layouts_hold_what_they_promise(written: Path) -> None:
    corpus = find_folders(written / "corpus")
    evaluation = find_folders(written / "evaluation", depth=2)
    assert {"sunspots", "nile", "co2", "elnino", "macrodata", "synthetic_H"} <= set(corpus)
    assert {"nile", "synthetic/H", "macrodata"} <= set(evaluation)
    assert 6 <= len(evaluation) <= 10
    macro = open_folder(corpus["macrodata"])
    assert target_of(macro, 0).shape[0] == 12
    assert np.isnan(target_of(open_folder(corpus["co2"]), 0)).sum() > 0


def test_training_never_sees_a_test_window(written: Path) -> None:
    """For every term that the evaluation offers, the corpus ends before the first test step."""
    corpus = find_folders(written / "corpus")
    names = {one.folder: one.corpus for one in embedded_sets(3, SIZES) if one.folder}
    checked = 0
    for dataset in find_datasets(written / "evaluation"):
        trained = open_folder(corpus[names[dataset.folder]])
        whole = open_folder(written / "evaluation" / dataset.folder)
        for term in TERMS:
            if not dataset.offers(term):
                continue
            config = dataset.config(term)
            for row in range(len(rows(whole))):
                seen, full = target_of(trained, row), target_of(whole, row)
                assert seen.shape[1] <= full.shape[1] - config.horizon * config.windows
                np.testing.assert_array_equal(seen, full[:, : seen.shape[1]])
                checked += 1
    assert checked > len(names)


def test_sets_depend_on_the_seed_alone() -> None:
    first, again, other = (embedded_sets(seed, SIZES) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        for x, y in zip(a.items, b.items, strict=True):
            np.testing.assert_array_equal(x.target, y.target)
    assert not np.array_equal(first[-1].items[0].target, other[-1].items[0].target)


def test_synthetic_series_are_varied_and_finite() -> None:
    series = synthetic_series(0, "H", 40, 128)
    assert series.shape == (40, 128)
    assert np.isfinite(series).all()
    assert len(np.unique(series[:, 0])) == 40
    assert (series.std(axis=1) > 0).all()
    np.testing.assert_array_equal(series[:8], synthetic_series(0, "H", 8, 128))


def test_samples_have_the_covariance_of_their_kernel() -> None:
    generator = np.random.default_rng(0)
    kernel = 2.0 * np.exp(-0.5 * np.subtract.outer(np.arange(4.0), np.arange(4.0)) ** 2)
    draws = sample(generator, kernel, 40_000)
    np.testing.assert_allclose(np.cov(draws.T), kernel, atol=0.06)


@pytest.mark.parametrize("frequency", ["10S", "15T", "H", "D", "W", "M", "Q", "A", "B", "7T"])
def test_kernels_are_symmetric_and_have_the_periods_of_the_frequency(frequency: str) -> None:
    generator = np.random.default_rng(0)
    bank = kernel_bank(frequency, 64)
    for _ in range(10):
        kernel = compose(generator, bank)
        np.testing.assert_allclose(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel)[0] > -1e-8 * np.trace(kernel)
    if frequency == "M":
        assert any(np.allclose(kernel()[0, 12], kernel()[0, 0]) and kernel()[0, 6] < 0.2 for kernel in bank)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"serie": 3}, "embedded.serie"),
        ({"steps": 10**6}, "embedded.steps"),
        ({"series": 0}, "embedded.series"),
        ({"evaluated": 65}, "embedded.evaluated"),
        ({"frequencies": ["X"]}, "embedded.frequencies"),
    ],
)
def test_bad_sizes_name_the_key(values: dict[str, object], place: str) -> None:
    with pytest.raises(InputError) as caught:
        read(EmbeddedSizes, values, "embedded")
    assert str(caught.value).startswith(place)

"""Crops and packing against uni2ts: the same distributions, the same bins."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from specseq.series.arrow_writer import Item, write_folder
from specseq.series.moirai import MoiraiCrops
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stream import first_fit_decreasing

PYTHON = Path(__file__).parents[2] / ".cache" / "referee" / "bin" / "python"
pytestmark = [
    pytest.mark.referee,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="uni2ts is not installed; run 'python tests/referee/install.py' first"
    ),
]
CASES = {"hourly": ("H", 5000, 1), "wide": ("M", 700, 6), "daily": ("D", 333, 1), "short": ("Q", 20, 1)}
COLUMNS = ("patch", "tokens", "variates", "predicted", "start")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("draws") / "draws.npz"
    script = Path(__file__).with_name("uni2ts_draws.py")
    subprocess.run([PYTHON, "-W", "ignore", script, out], check=True, timeout=300)
    return dict(np.load(out))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    draws = {}
    for name, (freq, steps, variates) in CASES.items():
        root = tmp_path_factory.mktemp(name)
        values = np.arange(float(steps)) + np.zeros((variates, 1))
        write_folder(root / "c" / name, [Item("x", np.datetime64("2020-01-01T00:00:00"), freq, values)])
        prepare_store(root / "c", root / "s")
        crops = MoiraiCrops(open_store(root / "s")).draw(np.random.default_rng(0), 4000)
        draws[name] = np.stack([getattr(crops, column) for column in COLUMNS], axis=1)
    return draws


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("column", COLUMNS)
def test_draws_have_the_same_distribution(
    theirs: dict[str, np.ndarray], ours: dict[str, np.ndarray], case: str, column: str
) -> None:
    """Two-sample Kolmogorov-Smirnov on each quantity; with 20 of them a level of 1e-4 rarely errs."""
    place = COLUMNS.index(column)
    a, b = theirs[case][:, place], ours[case][:, place]
    assert (a.min(), a.max()) == pytest.approx((b.min(), b.max()), rel=0.1, abs=2)
    assert stats.ks_2samp(a, b, method="asymp").pvalue > 1e-4


@pytest.mark.parametrize("case", CASES)
def test_quantities_depend_on_each_other_alike(
    theirs: dict[str, np.ndarray], ours: dict[str, np.ndarray], case: str
) -> None:
    """Rank correlations of all pairs agree within their sampling error (standard error about 0.016)."""

    def correlations(draws: np.ndarray) -> np.ndarray:
        ranks = stats.rankdata(draws, axis=0) - (len(draws) + 1) / 2
        norm = np.sqrt((ranks**2).sum(0))
        return ranks.T @ ranks / np.where(norm > 0, norm, 1) / np.where(norm > 0, norm, 1)[:, None]

    np.testing.assert_allclose(correlations(ours[case]), correlations(theirs[case]), atol=0.09)


def test_packing_gives_the_same_bins(theirs: dict[str, np.ndarray]) -> None:
    bins = first_fit_decreasing(theirs["lengths"], 512)
    assert [m for members in bins for m in members] == theirs["member"].tolist()
    assert [n for n, members in enumerate(bins) for _ in members] == theirs["bin"].tolist()

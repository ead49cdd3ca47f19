"""Reference predictors and statistics against what is known of them."""

from pathlib import Path

import numpy as np
import pytest

from specseq.errors import InputError
from specseq.spacings.config import SPLITS
from specseq.spacings.evaluation import FORM_FACTOR_TAU, SpacingEvaluation, sequence_statistics
from specseq.spacings.gue import gue_segment
from specseq.spacings.predictors import fit_autoregressions, lag_products, wigner_nll
from specseq.spacings.references import evaluate_references, spread
from specseq.spacings.sets import SpacingSet, load_spacing_set
from specseq.spacings.statistics import (
    autocorrelation,
    block_bootstrap,
    form_factor,
    jitter,
    jitter_positions,
    mean_interval,
    number_variance,
    peak_at_one,
)


def one_segment(values: np.ndarray) -> SpacingSet:
    return SpacingSet(values.astype(np.float32), len(values), np.array([1e6, 1e6]), "made/train")


def test_lag_products_equal_the_plain_normal_equations() -> None:
    x = np.random.default_rng(0).normal(size=(3, 90))
    gram, cross, terms = lag_products(x, 7)
    past = np.concatenate([np.stack([row[6 - i : 89 - i] for i in range(7)], axis=1) for row in x])
    now = x[:, 7:].ravel()
    assert np.allclose(gram, past.T @ past)
    assert np.allclose(cross, past.T @ now)
    assert terms == len(now)


def test_a_planted_autoregression_is_recovered() -> None:
    rng = np.random.default_rng(1)
    x = np.zeros(60_000)
    for t in range(2, len(x)):
        x[t] = -0.5 * x[t - 1] + 0.3 * x[t - 2] + 0.1 * rng.standard_normal()
    fitted = fit_autoregressions(one_segment(1 + x), [2, 5])
    assert fitted[0].coefficients == pytest.approx([-0.5, 0.3], abs=0.02)
    assert fitted[0].scale == pytest.approx(0.1, rel=0.02)
    assert fitted[1].coefficients[2:] == pytest.approx([0, 0, 0], abs=0.02)
    s = 1 + x[None, :50]
    error = fitted[0].predict(s) - s[:, 2:]
    assert fitted[0].nll(error).mean() == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 0.01), abs=0.3)
    step = fitted[0].rollout(s[:, :10], 3)
    assert step[0, 0] == pytest.approx(fitted[0].predict(s[:, :11])[0, -1])
    with pytest.raises(InputError, match="needs 5"):
        fitted[1].rollout(s[:, :4], 3)


def test_orders_longer_than_the_data_are_refused() -> None:
    with pytest.raises(InputError, match="lower the order"):
        fit_autoregressions(one_segment(np.ones(1000)), [40])


def test_wigner_floor_is_known() -> None:
    rng = np.random.default_rng(0)
    # s² of Wigner's surmise is a gamma variable of shape 3/2.
    s = np.sqrt(rng.gamma(1.5, np.pi / 4, 200_000))
    assert s.mean() == pytest.approx(1, abs=0.003)
    assert wigner_nll(s).mean() == pytest.approx(0.533, abs=0.003)
    assert np.isinf(wigner_nll(np.array([0.0])))[0]


def test_form_factor_of_known_processes() -> None:
    rng = np.random.default_rng(0)
    tau = np.array([0.1, 0.3, 0.7])
    poisson = form_factor(rng.exponential(size=(400, 500)), tau).mean(axis=0)
    assert poisson == pytest.approx([1, 1, 1], abs=0.2)
    lattice = form_factor(np.ones((1, 500)), np.array([0.5, 1.0]))
    assert lattice[0] == pytest.approx([0, 500], abs=1e-6)


def test_form_factor_of_short_windows_is_the_ramp_where_it_is_given() -> None:
    rng = np.random.default_rng(0)
    segments = [gue_segment(1000, rng) for _ in range(20)]
    given = {}
    for length in (10, 50, 100, 128):
        windows = np.concatenate([s[: len(s) // length * length].reshape(-1, length) for s in segments])
        rows = sequence_statistics("data", windows)
        given[length] = {row["step"]: row["value"] for row in rows if row["metric"] == "data_form_factor"}
        ramp = {step: step / 1000 for step in given[length]}
        assert given[length] == pytest.approx(ramp, rel=0.25), length
    everywhere = [round(1000 * tau) for tau in FORM_FACTOR_TAU]
    assert [list(steps) for steps in given.values()] == [everywhere[1:], everywhere[1:], everywhere, []]


def test_number_variance_of_known_processes() -> None:
    rng = np.random.default_rng(0)
    assert number_variance(rng.exponential(size=(60, 2000)), [2, 10]) == pytest.approx([2, 10], rel=0.15)
    assert number_variance(np.ones((2, 300)), [5]) == pytest.approx([0.0], abs=1.0)
    assert np.isnan(number_variance(np.ones((2, 20)), [50])[0])


def test_autocorrelation_and_jitter() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5001))
    moving = x[:, 1:] - x[:, :-1]
    assert autocorrelation(moving, 2) == pytest.approx([-0.5, 0], abs=0.02)
    rigid = 1 + 0.1 * moving
    assert peak_at_one(jitter(rigid, 0.5, rng)).mean() < 0.5 * peak_at_one(rigid).mean()


def test_jittered_positions_keep_a_known_share_of_a_peak() -> None:
    """K(1) of a lattice is N; noise of ±a leaves q = (sin(2πa) / (2πa))² of it, and adds 1 - q of its own."""
    rng, lattice = np.random.default_rng(0), np.ones((200, 500))
    for amplitude, share in ((0.0, 1.0), (0.25, (2 / np.pi) ** 2), (0.5, 0.0)):
        noisy = jitter_positions(lattice, amplitude, rng)
        peak = form_factor(noisy, np.array([1.0])).mean()
        assert peak == pytest.approx(500 * share + 1 - share, rel=0.02, abs=0.3)
    strayed = jitter_positions(lattice, 0.25, rng).cumsum(axis=1)
    walked = jitter(lattice, 0.25, rng).cumsum(axis=1)
    assert strayed[:, -1].std() < 0.25 < 2 < walked[:, -1].std()


def test_bootstrap_covers_and_accounts_for_dependence() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        low, high = block_bootstrap(rng.normal(size=100), rng, draws=200)
        hits += low <= 0 <= high
    assert 85 <= hits <= 100
    independent = rng.normal(size=400)
    dependent = np.repeat(independent[:40], 10)
    widths = [np.diff(block_bootstrap(v, rng))[0] for v in (independent, dependent)]
    assert widths[1] > 2 * widths[0]
    assert np.isnan(block_bootstrap(np.array([1.0, np.nan]), rng)).all()
    assert np.isnan(block_bootstrap(np.array([]), rng)).all()
    assert np.isnan(block_bootstrap(np.array([2.0]), rng)).all()


@pytest.mark.parametrize("count", [3, 8, 40])
def test_intervals_of_few_windows_cover(count: int) -> None:
    """Of a mean of one, of windows whose form factors are exponential, as in theory."""
    rng, draws = np.random.default_rng(count), 400
    hits, plain = 0, 0
    for _ in range(draws):
        values = rng.exponential(size=(count, 40)).mean(axis=1)
        low, high = mean_interval(values, rng, draws=200)
        hits += low <= 1 <= high
        narrow = block_bootstrap(values, rng, draws=200)
        plain += narrow[0] <= 1 <= narrow[1]
    assert hits / draws == pytest.approx(0.95, abs=0.03)
    assert plain <= hits
    assert np.isnan(mean_interval(values[:1], rng)).all()


def test_statistics_of_data_have_their_intervals(manifest: Path) -> None:
    spec = SpacingEvaluation(windows=10, rollout_contexts=(32,), horizons=(1,), draws=20)
    train, test = (load_spacing_set(manifest, "poisson", split) for split in ("train", "test"))
    data = [row for row in evaluate_references(train, test, [1], spec, seed=0) if row["run"].endswith("data")]
    rows = {(row["metric"], row.get("step", -1)): row["value"] for row in data}
    sampled = [
        key for key in rows if key[0] in ("data_std", "form_factor_band", "form_factor_at_one", "peak")
    ]
    assert len(sampled) >= 4
    for name, step in sampled:
        assert rows[f"{name}_low", step] < rows[name, step] < rows[f"{name}_high", step]
    for name in ("data_std", "form_factor_band"):
        assert rows[f"{name}_low", -1] < 1 < rows[f"{name}_high", -1], "1 of a Poisson process"


def test_spread_is_that_of_all_splits_together(manifest: Path) -> None:
    whole = np.concatenate([load_spacing_set(manifest, "real", split).spacings for split in SPLITS])
    made = spread(manifest, "real")
    assert made["metric"] == "data_std"
    assert made["value"] == pytest.approx(whole.std(dtype=float), rel=1e-6)
    assert made["value"] != pytest.approx(load_spacing_set(manifest, "real", "test").spacings.std(), rel=1e-6)


def test_reference_rows(manifest: Path) -> None:
    spec = SpacingEvaluation(windows=100, rollout_contexts=(32,), horizons=(1, 10, 50), draws=50)
    rows = {}
    for name in ("real", "shuffled"):
        train, test = (load_spacing_set(manifest, name, split) for split in ("train", "test"))
        for row in evaluate_references(train, test, [1, 32, 64], spec, seed=0):
            rows[name, row["run"].split("/")[-1], row["metric"], row.get("step", -1)] = row["value"]
    assert rows["real", "wigner", "nll", -1] == pytest.approx(0.513, abs=0.02)
    assert rows["real", "ar32", "nll", -1] == pytest.approx(0.137, abs=0.04)
    assert rows["real", "ar64", "nll", -1] < rows["real", "ar32", "nll", -1]
    assert rows["shuffled", "ar64", "nll", -1] > rows["shuffled", "wigner", "nll", -1]
    assert rows["real", "ar32", "err_mean", 50] < rows["real", "constant", "err_mean", 50]
    assert (
        rows["real", "ar32", "nll_low", -1]
        < rows["real", "ar32", "nll", -1]
        < rows["real", "ar32", "nll_high", -1]
    )
    assert ("real", "ar64", "err_mean", 50) not in rows  # the context is shorter than its order
    assert rows["real", "data", "form_factor_at_one", 2000] > rows["real", "data", "form_factor_at_one", 250]
    with pytest.raises(InputError, match="lower it"):
        list(evaluate_references(train, test, [20_000], spec, seed=0))


@pytest.mark.parametrize("values", [np.ones(6000), np.tile([0.5, 1.5], 3000)])
def test_spacings_that_repeat_exactly_have_no_autoregression(values: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"AR\(\d\) leaves no noise: the spacings are constant or repeat"):
        fit_autoregressions(one_segment(values), [1, 2])

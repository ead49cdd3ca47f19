"""Paired comparisons: known counts, scipy's tests, interval coverage, pairing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from specseq.errors import InputError
from specseq.scoring.comparison import compare, paired_ratio, sign_test


def test_counts_ratio_and_verdict() -> None:
    b = np.ones(40)
    result = compare(np.where(np.arange(40) < 30, 0.5, 1.0), b)
    assert (result.wins, result.losses, result.ties, result.tasks) == (30, 0, 10, 40)
    assert result.ratio == pytest.approx(0.5**0.75)
    assert result.low < result.ratio < result.high < 1
    assert result.verdict == "better"
    swapped = compare(b, np.where(np.arange(40) < 30, 0.5, 1.0))
    assert swapped.verdict == "worse"
    assert swapped.ratio == pytest.approx(1 / result.ratio)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_test_is_scipys_binomial_test(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)


def test_wilcoxon_on_log_ratios() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(0.1, 0.3, 50), rng.lognormal(0, 0.3, 50)
    assert compare(a, b).wilcoxon_p == stats.wilcoxon(np.log(a) - np.log(b)).pvalue


def test_equal_results_are_undecided_and_nothing_else() -> None:
    same = np.full((5, 3), 2.0)
    result = compare(same, same)
    assert (result.ties, result.ratio, result.low, result.high) == (5, 1.0, 1.0, 1.0)
    assert result.verdict == "undecided"
    assert np.isnan(result.wilcoxon_p)


def test_rounding_wins_nothing() -> None:
    b = np.random.default_rng(0).lognormal(0, 1, 30)
    result = compare(b * (1 + 1e-7 * (-1) ** np.arange(30)), b)
    assert (result.wins, result.losses, result.ties, result.sign_p) == (0, 0, 30, 1.0)


def test_only_pairs_count_and_the_rest_is_reported() -> None:
    a = np.array([1.0, np.nan, 2.0, 0.0, np.inf, 4.0])
    b = np.array([2.0, 1.0, np.nan, 1.0, 1.0, 8.0])
    result = compare(a, b)
    assert (result.tasks, result.left_out, result.wins) == (2, 4, 2)
    with pytest.raises(InputError, match="no task"):
        compare(a[1:5], b[1:5])
    with pytest.raises(InputError, match="shapes"):
        compare(a, b[:3])


def test_seed_noise_widens_the_interval() -> None:
    """A seed effect common to all tasks must show, however many tasks there are."""
    rng = np.random.default_rng(0)
    tasks = rng.normal(0, 0.01, (200, 1))
    seeds = rng.normal(0, 0.2, (1, 5))
    _, low, high = paired_ratio(tasks + seeds)
    _, low_tasks, high_tasks = paired_ratio(np.repeat(tasks, 5, axis=1))
    assert np.log(high / low) > 10 * np.log(high_tasks / low_tasks)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for trial in range(200):
        _, low, high = paired_ratio(rng.normal(0.1, 0.5, (60, 1)), resamples=400, seed=trial)
        inside += low <= np.exp(0.1) <= high
    assert 0.90 <= inside / 200 <= 0.99


@pytest.mark.parametrize(("tasks", "seeds"), [(10, 1), (5, 1), (2, 1), (2, 3)])
def test_few_tasks_are_covered_too(tasks: int, seeds: int) -> None:
    """A bootstrap of two tasks alone would cover every other time."""
    rng = np.random.default_rng(3)
    inside = 0
    for trial in range(400):
        cells = 0.1 + rng.normal(0, 0.3, (tasks, 1)) + rng.normal(0, 0.1, (tasks, seeds))
        _, low, high = paired_ratio(cells, resamples=300, seed=trial)
        inside += low <= np.exp(0.1) <= high
    # Four standard deviations of a share of 400 below 95 %.
    assert inside / 400 >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)


def test_a_single_pair_has_no_interval_and_decides_nothing() -> None:
    result = compare(np.array([1.0]), np.array([1.01]))
    assert result.ratio == pytest.approx(1 / 1.01)
    assert np.isnan([result.low, result.high]).all()
    assert result.verdict == "undecided"


def test_three_seeds_are_covered_too() -> None:
    """A bootstrap of three values alone would cover about three times in four."""
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(200):
        cells = 0.1 + rng.normal(0, 0.3, (1, 3)) + rng.normal(0, 0.05, (40, 3))
        _, low, high = paired_ratio(cells, resamples=300, seed=trial)
        inside += low <= np.exp(0.1) <= high
    assert inside / 200 >= 0.92


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 99))
def test_interval_holds_the_estimate_and_repeats(tasks: int, seeds: int, seed: int) -> None:
    logs = np.random.default_rng(seed).normal(0, 1, (tasks, seeds))
    first = paired_ratio(logs, seed=seed)
    assert first == paired_ratio(logs, seed=seed)
    assert first[1] <= first[2]

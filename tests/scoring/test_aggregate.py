"""Aggregates against closed forms, fev's own functions and a brute-force bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.scoring import aggregate


def errors(seed: int, tasks: int, models: int, ties: bool = False) -> np.ndarray:
    drawn = np.random.default_rng(seed).lognormal(0, 1, (tasks, models))
    return np.round(drawn, 1) + 0.1 if ties else drawn


def test_geometric_mean_of_known_values() -> None:
    assert aggregate.geometric_mean(np.array([[1.0, 2.0], [4.0, 8.0]])) == pytest.approx(
        [2.0, 4.0], rel=1e-15
    )
    assert np.isnan(aggregate.geometric_mean(np.array([[1.0], [np.nan]])))
    assert aggregate.geometric_mean(np.array([[0.0], [3.0]])) == 0


def test_baseline_aggregates_to_one_exactly() -> None:
    values = errors(0, 97, 5)
    relative = aggregate.relative_errors(values, values[:, 2])
    assert aggregate.geometric_mean(relative)[2] == 1.0
    estimate = aggregate.skill_score(relative, aggregate.bootstrap_weights(97))
    assert (estimate.point[2], estimate.low[2], estimate.high[2]) == (0, 0, 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 8), st.booleans())
def test_equals_fev_to_rounding(seed: int, tasks: int, models: int, ties: bool) -> None:
    from fev.analysis import _skill_score, _win_rate, bootstrap

    table = errors(seed, tasks, models, ties)
    weights = aggregate.bootstrap_weights(tasks, 200, seed=123)
    for ours, statistic in ((aggregate.win_rate, _win_rate), (aggregate.skill_score, _skill_score)):
        mine = ours(table, weights)
        theirs = bootstrap(table, statistic, n_resamples=200, seed=123)
        for a, b in zip((mine.point, mine.low, mine.high), theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 8))
def test_win_shares_are_a_zero_sum_game(seed: int, tasks: int, models: int) -> None:
    shares = aggregate.win_shares(errors(seed, tasks, models, ties=True))
    np.testing.assert_allclose(shares.mean(axis=1), 0.5)
    ranks = aggregate.mean_rank(errors(seed, tasks, models, ties=True))
    assert ranks.mean() == pytest.approx((models + 1) / 2)


def test_an_error_of_zero_counts_in_the_resamples_that_have_it() -> None:
    table, weights = errors(4, 9, 3), aggregate.bootstrap_weights(9, 200)
    plain = aggregate.mean_ratio(table, weights)
    table[2, 1] = 0.0
    made = aggregate.mean_ratio(table, weights)
    for ours, before in ((made.point, plain.point), (made.low, plain.low), (made.high, plain.high)):
        assert ours[[0, 2]].tolist() == before[[0, 2]].tolist()
    drawn = [[task for task, share in enumerate(row) for _ in range(round(9 * share))] for row in weights]
    brute = [aggregate.geometric_mean(table[tasks, 1]) for tasks in drawn]
    assert (made.point[1], made.low[1]) == (0.0, 0.0)
    assert made.high[1] == pytest.approx(np.quantile(brute, 0.975))
    assert made.high[1] > 0


def test_mean_rank_is_scipys() -> None:
    from scipy.stats import rankdata

    table = errors(3, 25, 7, ties=True)
    np.testing.assert_allclose(aggregate.mean_rank(table), rankdata(table, axis=1).mean(axis=0))


def test_one_model_has_no_opponents() -> None:
    assert np.isnan(aggregate.win_shares(np.ones((3, 1)))).all()


def test_an_unknown_error_leaves_the_shares_of_its_task_unknown() -> None:
    shares = aggregate.win_shares(np.array([[1.0, np.nan, 2.0], [1.0, 3.0, 2.0]]))
    assert np.isnan(shares[0]).all()
    assert shares[1].tolist() == [1, 0, 0.5]


def test_weights_are_shares_and_follow_the_seed() -> None:
    weights = aggregate.bootstrap_weights(10, 50, seed=1)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert np.array_equal(weights, aggregate.bootstrap_weights(10, 50, seed=1))
    assert not np.array_equal(weights, aggregate.bootstrap_weights(10, 50, seed=2))


def test_leakage_takes_the_stand_in_there_and_only_there() -> None:
    table = np.array([[1.0, 2.0], [3.0, 4.0]])
    made = aggregate.impute_leakage(table, np.array([[True, False], [False, False]]), np.array([9.0, 8.0]))
    assert made.tolist() == [[9.0, 2.0], [3.0, 4.0]]


def test_one_task_has_no_interval() -> None:
    table, weights = errors(0, 1, 3), aggregate.bootstrap_weights(1, 10)
    for statistic in (aggregate.skill_score, aggregate.win_rate, aggregate.mean_ratio):
        estimate = statistic(table, weights)
        assert np.isfinite(estimate.point).all()
        assert np.isnan([estimate.low, estimate.high]).all()

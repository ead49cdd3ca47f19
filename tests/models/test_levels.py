"""Quantiles at other levels."""

import numpy as np

from specseq.models.protocol import at_levels

OWN = (0.01, 0.05, 0.25, 0.5, 0.6, 0.7, 0.8, 0.95, 0.99)
WANTED = (0.005, 0.1, 0.3, 0.5, 0.65, 0.995)


def test_linear_between_levels_and_the_outermost_beyond_them() -> None:
    quantiles = np.cumsum(np.random.default_rng(0).random((3, 9, 4)), axis=1).astype(np.float32)
    found = at_levels(quantiles, OWN, WANTED)
    for row in np.ndindex(3, 4):
        expected = np.interp(WANTED, OWN, quantiles[row[0], :, row[1]])
        np.testing.assert_allclose(found[row[0], :, row[1]], expected, rtol=1e-6)
    assert at_levels(quantiles, OWN, OWN) is quantiles


def test_equal_quantiles_do_not_cross() -> None:
    one = np.random.default_rng(0).normal(100, 30, (100, 1, 5)).astype(np.float32)
    found = at_levels(np.repeat(one, 9, axis=1), OWN, WANTED)
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_allclose(found, np.repeat(one, len(WANTED), axis=1), rtol=1e-6)

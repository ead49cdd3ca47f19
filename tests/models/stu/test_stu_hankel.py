"""The spectral filters against the definition."""

import numpy as np
import pytest

from specseq.models.stu.hankel import hankel_eigenpairs, hankel_matrix, spectral_filters


def test_the_matrix_holds_the_defining_entries() -> None:
    matrix = hankel_matrix(4)
    assert matrix[0, 0] == pytest.approx(2 / (8 - 2))
    assert matrix[1, 2] == pytest.approx(2 / (125 - 5))
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix[0, 3] == matrix[1, 2] == matrix[2, 1]


def test_eigenpairs_solve_the_eigenproblem_to_rounding() -> None:
    values, vectors = hankel_eigenpairs(512, 24)
    np.testing.assert_allclose(hankel_matrix(512) @ vectors, vectors * values, atol=1e-15)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(24), atol=1e-12)
    assert (np.diff(values) <= 0).all()
    assert abs(values[23]) < 1e-15 < values[15]


def test_signs_are_fixed_by_the_largest_entry() -> None:
    _, vectors = hankel_eigenpairs(64, 8)
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(8)] > 0).all()


def test_filters_carry_the_fourth_root_and_are_finite_where_rounding_turns_eigenvalues_negative() -> None:
    filters = spectral_filters(512, 24)
    values, _ = hankel_eigenpairs(512, 24)
    np.testing.assert_allclose(np.linalg.norm(filters, axis=0), np.abs(values) ** 0.25, rtol=1e-9)
    assert np.isfinite(filters).all()


@pytest.mark.parametrize("count", [0, 9])
def test_a_count_outside_the_matrix_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="filters of length 8"):
        hankel_eigenpairs(8, count)

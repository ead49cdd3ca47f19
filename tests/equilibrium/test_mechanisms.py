"""Measurements of mechanisms say what is known of the blocks they are taken on."""

import pytest

from specseq.equilibrium.config import MechanismSettings
from specseq.equilibrium.mechanisms import (
    abscissa,
    alignment,
    diagnostics,
    measure,
    nudged_solver,
    penalty,
    products,
)
from specseq.equilibrium.rotating import CASES
from specseq.tables import long_table
from tests.stage_call import Refused, run


def values(rows) -> dict[str, float]:
    """The last value of each method."""
    return {row["method"]: row["value"] for row in rows}


def test_power_iteration_fakes_the_abscissa() -> None:
    found = values(abscissa(0))
    assert found["lanczos"] > 0
    assert found["power"] < -10


def test_diagnostics_miss_a_radius_above_one() -> None:
    found = values(diagnostics("rotating", 0))
    assert found["exact"] == pytest.approx(1.0089, abs=1e-4)
    assert found["krylov"] == pytest.approx(found["exact"], abs=1e-6)
    assert found["subspace"] < 1
    assert found["power"] < 1


def test_exact_products_are_better_than_differences() -> None:
    found = values(products(0))
    assert found["exact_64"] < 1e-11
    assert 20 * found["exact_32"] < found["central_32"] < found["one_sided_32"]


def test_another_solver_of_the_nudged_phase_gives_no_gradient() -> None:
    rows = list(nudged_solver())
    assert values(rows)["newton"] > 0.999
    assert values(rows)["euler"] < 0.9
    frame = long_table(({"study": "equilibrium", **row} for row in rows), ("method", "at")).to_pandas()
    assert frame["metric"].eq("cos_exact").all()


def test_the_published_penalty_has_not_the_gradient_of_the_eigenvalue() -> None:
    cosines = [row["value"] for case in CASES for row in penalty(case, 0)]
    assert len(cosines) == 4
    assert all(-1 <= value < 0.9 for value in cosines)


def test_without_its_drift_the_two_sided_estimate_is_as_good_as_the_adjoint() -> None:
    """Where the free phase has not settled; the plain estimate mistakes the drift for a response."""
    gaps: dict[str, dict[float, float]] = {}
    for row in alignment(0):
        gaps.setdefault(row["method"], {})[row["at"]] = 1 - row["value"]
    unsettled = [residual for residual in gaps["adjoint"] if 1e-3 < residual < 0.1]
    assert unsettled
    for residual in unsettled:
        cancelled = gaps["two_sided_drift_cancelled"][residual]
        assert cancelled == pytest.approx(gaps["adjoint"][residual], rel=0.1)
        assert gaps["two_sided"][residual] > 10 * cancelled


def test_the_stage_refuses_unknown_tasks(tmp_path) -> None:
    with pytest.raises(Refused, match="'radii' is unknown; did you mean radius"):
        run("mechanisms", out=tmp_path / "m.parquet", mechanisms={"tasks": ["radii"]})


def test_the_tasks_named_are_measured_and_no_others() -> None:
    assert {row["task"] for row in measure(MechanismSettings(tasks=("products", "abscissa")))} == {
        "products",
        "abscissa",
    }

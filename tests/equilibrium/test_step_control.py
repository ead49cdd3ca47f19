"""What controllers of the step do is known of each solve, and the ε-sweep tells its two residuals apart."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.equilibrium.audit import audit_block
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.fingerprint import step_sweep
from specseq.equilibrium.mechanisms import controllers
from specseq.equilibrium.rotating import CASES, PACES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import AdaptiveEuler, Anderson, Euler
from specseq.equilibrium.solvers import solve
from specseq.equilibrium.trainer import step_metrics
from specseq.spectra.modes import critical_step, damping_ratio, settling_time


def solved(case: tuple[float, float, float], budget: int = 300, **settings: Any) -> Any:
    block = rotating_block(*case)
    x = block.embed(rotating_tokens())
    return solve(AdaptiveEuler(**settings), FreePhase(block, x), x, budget)


def test_the_naive_controller_parks_at_its_floor_where_the_corrected_one_grows() -> None:
    smooth = PACES["smooth"]
    corrected, naive = (
        solved(smooth, step=0.01, ceiling=0.1, patience=0, contraction=share) for share in (1.0, 0.9)
    )
    assert corrected.facts["step"] == pytest.approx([0.1, 0.1])
    assert naive.facts["step"] == pytest.approx([1e-3, 1e-3])
    assert corrected.facts["floor_overshoots"] == [0, 0]
    assert corrected.residual_B.max() < 1e-3 * naive.residual_B.max()


def test_a_hand_off_keeps_what_the_controller_did() -> None:
    facts = solved(CASES["unstable"], 2000).facts
    assert facts["handed_off"]
    assert max(facts["floor_overshoots"]) == AdaptiveEuler().patience
    assert all(1e-3 <= step <= 1 for step in facts["typical_step"])
    assert "restarts" in facts


def test_the_mechanism_knows_the_critical_step_of_its_blocks() -> None:
    found = {
        case: {(row["method"], row["metric"]): row["value"] for row in controllers(case, 0)} for case in PACES
    }
    assert found["smooth"]["exact", "eps_crit"] > 0.5
    assert found["stiff"]["exact", "eps_crit"] == pytest.approx(0.0059, rel=0.01)
    assert found["smooth"]["adaptive", "step_reached"] == 0.1  # its ceiling, to the last digit
    assert found["smooth"]["adaptive", "force_residual"] <= 1e-8
    # While the residual grows under the flow itself, whose ω is above 0, no step is short enough.
    assert 0.001 <= found["stiff"]["adaptive", "step_reached"] < 0.0059
    assert all(own["adaptive_naive", "step_reached"] < 0.0011 for own in found.values())


def test_step_metrics_are_means_over_samples_and_of_controlled_steps_only() -> None:
    facts = {"typical_step": [0.1, 0.001], "floor_overshoots": [0, 3], "handed_off": True}
    expected = {"free_step": 0.01, "free_floor_overshoots": 1.5, "free_handed_off": 1.0}
    assert step_metrics("free", facts) == pytest.approx(expected)
    assert step_metrics("nudged", {"length_B": [20.0, 40.0]}) == {"nudged_length": 30.0}
    assert step_metrics("free", {"restarts": 3}) == {}
    block = rotating_block(*CASES["rotating"])
    x = block.embed(rotating_tokens())
    for solver in (Euler(), Anderson()):
        assert step_metrics("free", solve(solver, FreePhase(block, x), x, 10).facts) == {}


def test_both_residuals_stand_side_by_side() -> None:
    block, tokens = rotating_block(*PACES["smooth"], width=16, length=5), rotating_tokens(2, 5)
    audit = audit_block(block, tokens, 0.1)
    steps = (0.1, 0.001)
    table = step_sweep(audit, block, tokens, steps, 200).set_index(["step", "sample"])
    identity = table["step_residual"] / table["force_residual"]
    assert identity.to_numpy() == pytest.approx(table.index.get_level_values("step").to_numpy(), rel=1e-6)
    assert table.loc[0.1, "force_residual"].max() <= audit.tolerance
    # After as many short steps nothing has settled, which the step residual alone would hide.
    assert table.loc[0.001, "force_residual"].min() > 1e-3 > table.loc[0.001, "step_residual"].max()
    for step in steps:
        modes = audit.spectrum.mu_BN
        assert table.loc[step, "rho"].to_numpy() == pytest.approx((1 + step * modes).abs().amax(1).numpy())
        spent = table.loc[step, "evaluations"].to_numpy()
        assert table.loc[step, "time"].to_numpy() == pytest.approx(step * spent)


@settings(max_examples=50, deadline=None)
@given(a=st.floats(-50, -1e-3), b=st.floats(-50, 50))
def test_settling_and_damping_are_those_of_the_mode(a: float, b: float) -> None:
    mu = torch.tensor([complex(a, b), complex(2 * a - 1, b)], dtype=torch.complex128)
    time = settling_time(mu).item()
    assert math.exp(a * time) == pytest.approx(0.02)
    assert damping_ratio(mu).item() == pytest.approx(min(-a, 1e300) / math.hypot(a, b))
    assert 0 < damping_ratio(mu) <= 1
    # ε_crit = 2 ζ / |μ|
    assert critical_step(mu[:1])[0].item() == pytest.approx(
        2 * damping_ratio(mu[:1]).item() / abs(mu[0].item())
    )


def test_what_grows_never_settles() -> None:
    mu = torch.tensor([0.1 + 1j, -3 + 0j], dtype=torch.complex128)
    assert settling_time(mu) == math.inf
    assert damping_ratio(mu) == pytest.approx(-0.1 / abs(0.1 + 1j))
    assert torch.isnan(settling_time(mu * math.nan))


def test_the_audit_has_both(tmp_path: Path) -> None:
    block, tokens = rotating_block(*CASES["rotating"]), rotating_tokens(1)
    audit = audit_block(block, tokens, 0.1)
    row, summary = audit.table, audit.summary()
    assert summary["settling_time"] == pytest.approx(math.log(50) / -summary["alpha"])
    assert summary["damping_ratio"] == row["damping_ratio"].min()
    unstable = audit_block(rotating_block(*CASES["unstable"]), tokens, 0.1).summary()
    assert unstable["settling_time"] == math.inf
    assert unstable["damping_ratio"] < 0

"""The audit tells stable from unstable roots, and a root from none."""

import numpy as np
import pandas as pd
import pytest
import torch

from specseq.equilibrium.audit import (
    Audit,
    audit_block,
    audit_in_parts,
    find_root,
    joined,
    sample_rows,
)
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.errors import InputError
from specseq.spectra.audit import CausalSpectrum, audit_table
from specseq.spectra.operators import dense_jacobian

SPECTRAL = ["alpha", "im", "rho", "eps_crit", "limit_re", "limit_im", "rotation", "omega", "gap", "kappa"]


def test_a_root_that_anderson_converged_on_is_labelled_hopf() -> None:
    audit = audit_block(rotating_block(*CASES["unstable"]), rotating_tokens(1), 0.1)
    assert (audit.residual_B < 1e-8).all()
    row = sample_rows(audit.table).iloc[0]
    assert row["verdict"] == "HOPF"
    assert (row["alpha"], row["im"]) == (pytest.approx(0.093, abs=1e-3), pytest.approx(3.226, abs=1e-3))
    assert row["eps_crit"] == 0
    summary = audit.summary()
    assert summary["verdict_hopf"] == 1
    assert summary["alpha"] == row["alpha"]
    block = rotating_block(*CASES["unstable"])
    x = block.embed(rotating_tokens(1))
    dense = dense_jacobian(lambda z: block.force(z, x), audit.root_BTC)[0]
    assert row["omega"] == pytest.approx(torch.linalg.eigvalsh((dense + dense.T) / 2)[-1].item(), abs=1e-3)
    assert row["gap"] == pytest.approx(row["omega"] - row["alpha"])


def test_the_step_decides_between_stable_and_the_euler_wall() -> None:
    block, tokens = rotating_block(*CASES["rotating"]), rotating_tokens(1)
    wall, inside = audit_block(block, tokens, 0.074).table, audit_block(block, tokens, 0.072).table
    assert wall["eps_crit"].min() == pytest.approx(0.073, abs=1e-4)
    assert sample_rows(wall)["verdict"].item() == "EULER-WALL"
    assert sample_rows(inside)["verdict"].item() == "STABLE"
    # The wall stands at some positions and not at others; the table says at which.
    assert set(wall["verdict"]) == {"EULER-WALL", "STABLE"}
    assert (wall.loc[wall["verdict"] == "EULER-WALL", "eps_crit"] < 0.074).all()


def spectrum(alpha: list[float]) -> CausalSpectrum:
    mu = torch.tensor(alpha, dtype=torch.complex128).view(1, -1, 1)
    one = torch.ones(1, len(alpha), dtype=torch.float64)
    return CausalSpectrum(mu, one, 1e-12 * one)


def table(alpha: list[float], residual: list[float], step: float = 0.1) -> pd.DataFrame:
    g = torch.tensor([residual], dtype=torch.float64)
    return audit_table(spectrum(alpha), g, step, torch.zeros(1, dtype=torch.float64))


def test_a_position_behind_an_unconverged_one_is_at_no_root_either() -> None:
    rows = table([-1.0, -1.0, 0.5, -1.0], [1e-9, 1e-2, 1e-9, 1e-9])
    assert rows["verdict"].tolist() == ["STABLE", "TRANSIENT", "NO-ROOT", "NO-ROOT"]
    assert rows["residual"].tolist() == [1e-9, 1e-2, 1e-2, 1e-2]


def test_where_no_root_is_no_number_looks_like_a_result() -> None:
    rows = table([-1.0, -30.0, -1.0], [1e-9, 1e-2, np.nan])
    assert rows["verdict"].tolist() == ["STABLE", "NO-ROOT", "NO-ROOT"]
    assert rows.loc[1:, SPECTRAL].isna().all().all()
    assert rows[["omega", "gap"]].isna().all().all()
    assert rows.loc[0, ["alpha", "rho", "eps_crit"]].tolist() == pytest.approx([-1, 0.9, 2])


def test_a_summary_tells_of_equilibria_alone() -> None:
    """A state that is still moving has a spectrum, but not that of an equilibrium."""
    rows = table([-1.0, -0.2], [1e-9, 1e-2])
    assert rows["verdict"].tolist() == ["STABLE", "TRANSIENT"]
    none = torch.zeros(1, dtype=torch.float64)
    summary = Audit(rows, spectrum([-1.0, -0.2]), none, none, none, 9).summary()
    assert (summary["alpha"], summary["verdict_transient"]) == (-1, 1)
    moving = Audit(rows[1:], spectrum([-0.2]), none, none, none, 9).summary()
    assert np.isnan([moving[name] for name in SPECTRAL]).all()


def test_samples_by_parts_give_what_they_give_together(monkeypatch: pytest.MonkeyPatch) -> None:
    block, tokens = rotating_block(*CASES["rotating"], width=16, length=5), rotating_tokens(3, 5)
    whole = audit_block(block, tokens, 0.1).table
    monkeypatch.setattr("specseq.equilibrium.audit._LARGEST", 1)
    pd.testing.assert_frame_equal(audit_block(block, tokens, 0.1).table, whole)


def test_a_real_growing_mode_is_a_saddle() -> None:
    assert table([0.2], [1e-9])["verdict"].item() == "SADDLE"


def test_a_sample_is_decided_where_it_is_most_serious_then_rightmost() -> None:
    rows = table([-1.0, 0.1, 0.3, -25.0], [1e-9] * 4)
    assert rows["verdict"].tolist() == ["STABLE", "SADDLE", "SADDLE", "EULER-WALL"]
    assert sample_rows(rows)["position"].tolist() == [2]


def test_a_budget_too_small_for_a_root_is_said() -> None:
    block, tokens = rotating_block(*CASES["unstable"]), rotating_tokens(2)
    audit = audit_block(block, tokens, 0.1, budget=10)
    assert (audit.residual_B > 1e-3).all()
    assert set(sample_rows(audit.table)["verdict"]) == {"NO-ROOT"}
    assert audit.evaluations <= 10 + 45


def test_weights_that_are_not_finite_are_named() -> None:
    block = rotating_block(*CASES["rotating"])
    with torch.no_grad():
        block.value[3, 3] = torch.inf
    with pytest.raises(InputError, match=r"weights\.value: not finite"):
        audit_block(block, rotating_tokens(1), 0.1)


def test_roots_are_found_where_the_flow_takes_them() -> None:
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(16, 4, 6), 9, draw, torch.float64).requires_grad_(False)
    x = block.embed(torch.randint(0, 9, (2, 6), generator=draw))
    state, residual, spent = find_root(block, x, 400, 1e-10)
    assert (residual < 1e-10).all()
    assert spent < 200
    z = x
    for _ in range(400):
        z = z + 0.1 * block.force(z, x)
    torch.testing.assert_close(state, z, rtol=0, atol=1e-8)


def test_the_numbers_of_a_sample_are_those_of_all_its_positions() -> None:
    """The mode that limits the step may stand elsewhere than the one that decides the verdict."""
    rows = table([-1.0, -0.1, -15.0], [1e-9] * 3)
    (row,) = sample_rows(rows).to_dict("records")
    assert (row["verdict"], row["position"], row["alpha"]) == ("STABLE", 1, -0.1)
    assert (row["eps_crit"], row["limit_re"]) == (pytest.approx(2 / 15), -15)
    assert row["rho"] == pytest.approx(0.99)
    (row,) = sample_rows(table([-1.0, -0.1, -15.0], [1e-9] * 3, step=0.15)).to_dict("records")
    assert (row["verdict"], row["position"], row["alpha"]) == ("EULER-WALL", 2, -0.1)
    assert row["rho"] == pytest.approx(1.25)


def test_a_sample_without_any_root_has_no_numbers() -> None:
    (row,) = sample_rows(table([0.5, -1.0], [1e-2] * 2)).to_dict("records")
    assert (row["verdict"], row["position"]) == ("NO-ROOT", 0)
    assert np.isnan([row[name] for name in SPECTRAL]).all()


def test_parts_of_an_audit_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    block, tokens = rotating_block(*CASES["rotating"], width=16, length=5), rotating_tokens(3, 5)
    monkeypatch.setattr("specseq.equilibrium.audit.PART", 2)
    parts = list(audit_in_parts(block, tokens, 0.1, 2000, 1e-6))
    assert [len(part.residual_B) for part in parts] == [2, 1]
    whole, together = audit_block(block, tokens, 0.1), joined(parts)
    # The solver stops when the last sample of a part is at its root, so the others' residuals differ.
    pd.testing.assert_frame_equal(
        together.table.drop(columns="residual"), whole.table.drop(columns="residual"), rtol=1e-5, atol=1e-12
    )
    torch.testing.assert_close(together.spectrum.kappa_BT, whole.spectrum.kappa_BT, rtol=1e-5, atol=0)
    assert together.evaluations == sum(part.evaluations for part in parts)

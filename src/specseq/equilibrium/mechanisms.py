"""The mechanisms behind the study's claims, measured on blocks with known answers.

Every measurement gives rows ``(task, method, at, metric, value)``:

================ ============================================= ======================= ======================
task             method                                        at                      metrics
================ ============================================= ======================= ======================
estimator_bias   estimator                                     nudge radius            adjoint_error
alignment        estimator, also with drift_cancelled          force residual of state cos_exact
solver_trace     solver                                        evaluations             force_residual
solver_root      solver                                        evaluations spent       converged, evaluations,
                                                                                       alpha
euler_growth     euler                                         ε / ε_crit              growth per step
radius           exact, krylov, arnoldi_20, subspace, power    products                rho
abscissa         lanczos, power                                products                omega_learned
products         exact_64, exact_32, central_32, one_sided_32  —                       alpha_error
nudged_solver    solver of the nudged phase                    evaluations             cos_exact
penalty          published                                     subspace iterations     cos_exact
controllers      exact, adaptive, adaptive_naive               contraction             eps_crit, step_reached,
                                                                                       floor_overshoots,
                                                                                       force_residual
nudged_length    fixed, select, track                          budget T2               cos_exact, evaluations,
                                                                                       seconds
================ ============================================= ======================= ======================

Where a task has several blocks, their names follow a slash: ``rotating`` is stable for the flow, ``unstable``
is not; ``smooth`` and ``stiff`` have leading modes near -1 ± i and -1 ± 16i; ``small`` has random weights.
``seconds`` is CPU time.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import (
    AdaptiveLength,
    AdjointEstimator,
    BlockShape,
    Estimator,
    Holomorphic,
    MechanismSettings,
    MechanismTask,
    OneSided,
    TwoSided,
)
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.estimators import Problem, estimate, implicit_adjoint
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import cosine, operator_gradient, surrogate
from specseq.equilibrium.penalty_config import LeadingEigenvalue
from specseq.equilibrium.regularisers import Equilibrium, leading_radius
from specseq.equilibrium.rotating import CASES, PACES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import SOLVERS, AdaptiveEuler, Anderson, Euler, NewtonGMRES
from specseq.equilibrium.solvers import solve
from specseq.equilibrium.solvers.interface import residuals
from specseq.seeding import stream_seed
from specseq.spectra.diagnostics import difference_product, power_abscissa, power_radius, subspace_radius
from specseq.spectra.exact import block_eigenvalues
from specseq.spectra.krylov import Arnoldi, extreme_pairs, fastest, numerical_abscissa
from specseq.spectra.modes import critical_step, spectral_radius
from specseq.spectra.operators import Jacobian, dense_jacobian
from specseq.tables.kept import NOTHING_KEPT, Kept

Row = dict[str, Any]


def _row(task: str, method: str, at: float, metric: str, value: float) -> Row:
    return {"task": task, "method": method, "at": float(at), "metric": metric, "value": float(value)}


def measure(settings: MechanismSettings, kept: Kept = NOTHING_KEPT) -> Iterator[Row]:
    """The named measurements; all together they take minutes on one core.

    Args:
        kept: what a call that was killed has measured.
    """
    for task in settings.tasks:
        yield from kept.rows(task, partial(_MEASUREMENTS[task], settings.seed))


def _problem(seed: int, samples: int = 2) -> tuple[Problem, Tensor]:
    """A contractive block of 16 channels and 8 positions at its root, and its tokens."""
    draw = torch.Generator().manual_seed(stream_seed(seed, "mechanisms"))
    block = EquilibriumBlock(BlockShape(16, 4, 8, residual_gain=0.5), 40, draw, torch.float64)
    tokens, targets = (torch.randint(0, 40, (samples, 8), generator=draw) for _ in range(2))
    x = block.embed(tokens).detach()
    root = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-13).state
    return Problem(block, x, root, targets), tokens


def estimator_bias(seed: int) -> Iterator[Row]:
    """Relative error of the adjoint against the nudge radius, all phases converged."""
    problem, _ = _problem(seed)
    exact = implicit_adjoint(problem, 1e-13, 200).a_BTC
    for radius in (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1):
        estimators: dict[str, Estimator] = {
            "one_sided": OneSided(radius),
            "two_sided": TwoSided(radius),
            "holomorphic_4": Holomorphic(radius, points=4),
            "holomorphic_8": Holomorphic(radius, points=8),
        }
        for name, estimator in estimators.items():
            found = estimate(estimator, problem, Anderson(), 300, 1e-12).a_BTC
            error = (found - exact).norm() / exact.norm()
            yield _row("estimator_bias", name, radius, "adjoint_error", error.item())


def alignment(seed: int) -> Iterator[Row]:
    """Cosine of the weight gradient with the exact one, against the force residual of the free phase."""
    problem, tokens = _problem(seed)
    block, x, root = problem.block, problem.x_BTC, problem.root_BTC

    def gradient(state: Tensor, a: Tensor) -> Tensor:
        return operator_gradient(block, surrogate(block, state, tokens, problem.targets_BT, a))

    exact = gradient(root, implicit_adjoint(problem, 1e-13, 200).a_BTC)
    for steps in (5, 10, 20, 40, 80, 160):
        state = solve(Euler(0.1), FreePhase(block, x), x, steps + 1, 1e-15).state
        settled = residuals(block.force(state, x).detach(), state).mean().item()
        here = Problem(block, x, state, problem.targets_BT)
        estimators: dict[str, Estimator] = {
            "two_sided": TwoSided(0.02),
            "one_sided": OneSided(0.02),
            "two_sided_drift_cancelled": TwoSided(0.02, drift_cancelled=True),
            "adjoint": AdjointEstimator(),
        }
        for name, estimator in estimators.items():
            a = estimate(estimator, here, Euler(0.1), 160, 1e-12).a_BTC
            yield _row("alignment", name, settled, "cos_exact", cosine(gradient(state, a), exact))


def solvers(case: str) -> Iterator[Row]:
    """Force residual against evaluations, and the abscissa of what each solver converged on."""
    block = rotating_block(*CASES[case])
    x = block.embed(rotating_tokens())
    for name, kind in SOLVERS.items():
        solution = solve(kind(), FreePhase(block, x), x, 1000)
        every = max(1, len(solution.trace) // 60)
        for spent, g_B in solution.trace[::every]:
            yield _row(f"solver_trace/{case}", name, spent, "force_residual", g_B.max().item())
        converged = bool(solution.converged_B.all())
        yield _row(f"solver_root/{case}", name, solution.evaluations, "converged", converged)
        needed = solution.evaluations if converged else math.nan
        yield _row(f"solver_root/{case}", name, solution.evaluations, "evaluations", needed)
        mu = block_eigenvalues(diagonal_blocks(block, solution.state))
        alpha = mu.real.max().item() if converged else math.nan
        yield _row(f"solver_root/{case}", name, solution.evaluations, "alpha", alpha)


def _root(gains: tuple[float, float, float], samples: int = 1) -> tuple[EquilibriumBlock, Tensor, Tensor]:
    block = rotating_block(*gains)
    x = block.embed(rotating_tokens(samples))
    return block, x, solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-13).state


def euler_growth(seed: int) -> Iterator[Row]:
    """Growth per step of a small disturbance of a root under Euler with ε around ε_crit."""
    block, x, root = _root(CASES["rotating"])
    limit = critical_step(block_eigenvalues(diagonal_blocks(block, root)).flatten(1))[0].item()
    draw = torch.Generator().manual_seed(stream_seed(seed, "disturbance"))
    noise = 1e-6 * torch.randn(root.shape, generator=draw, dtype=torch.float64)
    for factor in (0.9, 0.95, 0.98, 1.02, 1.05, 1.1):
        z, sizes = root + noise, []
        for step in range(2401):
            if step in (1200, 2400):
                sizes.append((z - root).norm().item())
            z = z + factor * limit * block.force(z, x)
        yield _row("euler_growth", "euler", factor, "growth", (sizes[1] / sizes[0]) ** (1 / 1200))


def diagnostics(case: str, seed: int) -> Iterator[Row]:
    """ρ(0.1) by exact methods and by approximations in common use."""
    block, x, root = _root(CASES[case])
    jacobian = Jacobian(lambda z: block.force(z, x), root)
    mu = block_eigenvalues(diagonal_blocks(block, root)).flatten(1)
    radius = f"radius/{case}"
    yield _row(radius, "exact", root.shape[-1], "rho", spectral_radius(mu, 0.1).item())
    draw = torch.Generator().manual_seed(stream_seed(seed, "start"))
    pair = torch.randn(*root.shape, 2, generator=draw, dtype=torch.float64)
    for iterations in (5, 10, 20, 50):
        found = subspace_radius(jacobian.matvec, pair, 0.1, iterations)
        yield _row(radius, "subspace", 2 * iterations + 2, "rho", found.item())
    start = pair[..., 0]
    for count, value in enumerate(power_radius(jacobian.rmatvec, start, 0.1, 100), 1):
        if count % 5 == 0:
            yield _row(radius, "power", count, "rho", value.item())
    (ritz,) = extreme_pairs(jacobian.matvec, jacobian.rmatvec, start, [fastest(0.1)], margin=1e-5)
    yield _row(radius, "krylov", ritz.products, "rho", (1 + 0.1 * ritz.mu_B).abs().item())
    space = Arnoldi(jacobian.matvec, start)
    space.grow(20)
    yield _row(radius, "arnoldi_20", 20, "rho", spectral_radius(space.ritz()[0], 0.1).item())


def abscissa(seed: int) -> Iterator[Row]:
    """ω(J_nc) of an operator whose symmetric part has its largest eigenvalue by modulus on the left."""
    block, x, root = _root((1.0, -6.0, 0.8))
    jacobian = Jacobian(lambda z: block.force(z, x), root)
    omega, _ = numerical_abscissa(jacobian.matvec, jacobian.rmatvec, root)
    yield _row("abscissa", "lanczos", 160, "omega_learned", omega.item() + block.leak)
    draw = torch.Generator().manual_seed(stream_seed(seed, "start"))
    start = torch.randn(root.shape, generator=draw, dtype=torch.float64)
    for iterations in (10, 50, 200):
        power = power_abscissa(jacobian.matvec, jacobian.rmatvec, start, iterations, block.leak)
        yield _row("abscissa", "power", 2 * iterations, "omega_learned", power.item())


def products(seed: int) -> Iterator[Row]:
    """Error in α from exact and differenced Jacobian products."""
    problem, _ = _problem(seed, 1)
    block, x, root = problem.block, problem.x_BTC, problem.root_BTC
    true = torch.linalg.eigvals(dense_jacobian(lambda z: block.force(z, x), root)).real.max().item()
    single = copy.deepcopy(block).float().requires_grad_(False)
    x32, root32 = x.float(), root.float()

    def field(z: Tensor) -> Tensor:
        return single.force(z, x32)

    found = {
        "exact_64": (Jacobian(lambda z: block.force(z, x), root).matvec, root),
        "exact_32": (Jacobian(field, root32).matvec, root32),
        "central_32": (difference_product(field, root32, 1e-3, True), root32),
        "one_sided_32": (difference_product(field, root32, 1e-3, False), root32),
    }
    for name, (product, state) in found.items():
        basis = torch.eye(state.numel(), dtype=state.dtype)
        columns = torch.stack([product(e.view_as(state)).detach().flatten() for e in basis], 1)
        alpha = torch.linalg.eigvals(columns.double()).real.max().item()
        yield _row("products", name, math.nan, "alpha_error", abs(alpha - true))


def nudged_solver() -> Iterator[Row]:
    """The adjoint at an unstable root, by nudged phases of the solver that found it and of Euler."""
    block, x, root = _root(CASES["unstable"], 2)
    problem = Problem(block, x, root, rotating_tokens().roll(-1, 1))
    exact = implicit_adjoint(problem, 1e-12, 300).a_BTC.flatten()
    for name, solver in (("newton", NewtonGMRES()), ("euler", Euler(0.1))):
        found = estimate(TwoSided(1e-3), problem, solver, 300, 1e-8)
        value = cosine(found.a_BTC.flatten(), exact)
        yield _row("nudged_solver", name, found.evaluations, "cos_exact", value)


def penalty(case: str, seed: int) -> Iterator[Row]:
    """Cosine of the published penalty's gradient of |λ| of the Euler map with the exact gradient."""
    block, x, root = _root(CASES[case])
    block.requires_grad_(True)

    def gradient(settings: LeadingEigenvalue) -> Tensor:
        draw = torch.Generator().manual_seed(stream_seed(seed, "penalty"))
        return operator_gradient(block, leading_radius(settings, Equilibrium(block, x, root, draw)).sum())

    exact = gradient(LeadingEigenvalue(weight=1))
    for iterations in (10, 50):
        found = gradient(LeadingEigenvalue(weight=1, form="published", iterations=iterations))
        yield _row(f"penalty/{case}", "published", iterations, "cos_exact", cosine(found, exact))


def controllers(case: str, seed: int) -> Iterator[Row]:
    """Step that adaptive Euler reaches from .01 within .001 to .1, by either rule, without a hand-off.

    The start is a small disturbance of a root, where ε_crit limits the step.
    """
    block, x, root = _root(PACES[case])
    draw = torch.Generator().manual_seed(stream_seed(seed, "disturbance"))
    start = root + 1e-3 * torch.randn(root.shape, generator=draw, dtype=torch.float64)
    mu = block_eigenvalues(diagonal_blocks(block, root)).flatten(1)
    task = f"controllers/{case}"
    yield _row(task, "exact", math.nan, "eps_crit", critical_step(mu)[0].min().item())
    for name, contraction in (("adaptive", 1.0), ("adaptive_naive", 0.9)):
        solver = AdaptiveEuler(0.01, ceiling=0.1, patience=0, contraction=contraction)
        solution = solve(solver, FreePhase(block, x), start, 1000)
        (reached,), (overshoots,) = (solution.facts[name] for name in ("typical_step", "floor_overshoots"))
        yield _row(task, name, contraction, "step_reached", reached)
        yield _row(task, name, contraction, "floor_overshoots", overshoots)
        yield _row(task, name, contraction, "force_residual", solution.residual_B.max().item())


def nudged_length(case: str, seed: int) -> Iterator[Row]:
    """The gradient's cosine with the exact one, and its cost, against the budget of the nudged phase (Euler).

    On the block ``unstable`` the nudged phase runs away from the root: the longer it is, the worse.
    """
    problem, tokens = _problem(seed)
    if case == "unstable":
        block, x, root = _root(CASES[case], 2)
        tokens = rotating_tokens()
        problem = Problem(block.requires_grad_(True), x, root, tokens.roll(-1, 1))

    def gradient(a: Tensor) -> Tensor:
        scalar = surrogate(problem.block, problem.root_BTC, tokens, problem.targets_BT, a)
        return operator_gradient(problem.block, scalar)

    exact = gradient(implicit_adjoint(problem, 1e-12, 300).a_BTC)
    lengths = {
        "fixed": None,
        "select": AdaptiveLength(method="select"),
        "track": AdaptiveLength(method="track"),
    }
    for budget in (20, 40, 80, 160):
        for name, length in lengths.items():
            began = time.process_time()
            found = estimate(TwoSided(length=length), problem, Euler(0.1), budget, 1e-12)
            seconds = time.process_time() - began
            task = f"nudged_length/{case}"
            yield _row(task, name, budget, "cos_exact", cosine(gradient(found.a_BTC), exact))
            yield _row(task, name, budget, "evaluations", found.evaluations)
            yield _row(task, name, budget, "seconds", seconds)


_MEASUREMENTS: dict[MechanismTask, Callable[[int], Iterator[Row]]] = {
    "estimator_bias": estimator_bias,
    "alignment": alignment,
    "solvers": lambda seed: (row for case in CASES for row in solvers(case)),
    "radius": lambda seed: (row for case in CASES for row in diagnostics(case, seed)),
    "abscissa": abscissa,
    "euler_growth": euler_growth,
    "products": products,
    "nudged_solver": lambda seed: nudged_solver(),
    "penalty": lambda seed: (row for case in CASES for row in penalty(case, seed)),
    "controllers": lambda seed: (row for case in PACES for row in controllers(case, seed)),
    "nudged_length": lambda seed: (
        row for case in ("small", "unstable") for row in nudged_length(case, seed)
    ),
}

"""What a step of equilibrium propagation takes, phase by phase, and the audit of a run.

Phases are metered at two small budgets and extrapolated, since every evaluation costs the same: for a solver
that is known to settle, to where it settled; for all others, to their full budgets.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, Literal

import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape, EquilibriumRun, Estimator, LockIn, Products
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.estimators import Problem, estimate, implicit_adjoint
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.frozen import RENEWAL
from specseq.equilibrium.gradients import bptt_loss, surrogate, transformer_loss
from specseq.equilibrium.penalty_config import LeadingEigenvalue, Penalty
from specseq.equilibrium.regularisers import SQUARED_FROM, Equilibrium, penalty
from specseq.equilibrium.solver_config import Anderson, Euler, NewtonGMRES, Solver
from specseq.equilibrium.solvers import solve
from specseq.settings import read
from specseq.spectra.dominant import SQUARINGS, VECTORS
from specseq.studies.cost.step import StageUsage, StepUsage, backpropagation, parameters_of
from specseq.sweeps import Plan
from specseq.training.metering import Usage, metered
from specseq.training.settings import TrainingSettings

# CPU-seconds of the eigenproblem of a C × C block: constant, and per C³. Measured on one core.
_EIGENPROBLEM = 3e-4, 2.1e-9
# The same for the two factorisations that give its eigenvectors.
_FACTORS = 3e-4, 4e-10
# A spectrum with its condition numbers, in the audit; the share of its budget that finding a root takes.
_SPECTRUM = 3e-4, 1.0e-9
_ROOT_SHARE = 0.25
# Products with J and its transpose in an audit, for the numerical abscissa and for the measurements in common
# use, in evaluations of the force.
_PRODUCTS = 600
# Symbols where the tokeniser has no size of its own: characters of the embedded text.
_CHARACTERS = 96
_BUDGETS = 4, 8
# Evaluations until free and nudged phases settled to the tolerances of the paper scale, at the end of a
# training of 32 channels and 16 positions, 300 steps on docstrings; at the published size and initial weights
# they are 12 and 6 (benchmarks/bench_precision.py). Past its wall Euler does not settle.
_SETTLED = {"anderson": (34, 28)}


def kind(params: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that determine the cost of a step: all but step sizes, radii, weights and tolerances."""
    kept = {key: params[key] for key in ("model", "rule", "evaluation") if key in params}
    for name in ("solver", "nudged_solver"):
        if solver := params.get(name):
            kept[name] = _only(solver, "name", "memory", "krylov")
    if estimator := params.get("estimator"):
        kept["estimator"] = _only(
            estimator, "name", "points", "period", "cycles", "corrected", "drift_cancelled"
        )
    for name in ("free", "nudged"):
        kept[name] = _only(params.get(name) or {}, "evaluations", "products")
    penalties = {
        name: {"weight": 1, **_only(penalty, "form", "samples", "positions", "size", "iterations")}
        for name, penalty in (params.get("regularisers") or {}).items()
    }
    size = (data["text"].get("tokeniser") or {}).get("size")
    return {**kept, "regularisers": penalties, "symbols": size or _CHARACTERS}


def _only(section: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: section[name] for name in names if name in section}


def step(
    params: Mapping[str, Any], training: TrainingSettings, lengths: tuple[int, int], gpu: bool
) -> StepUsage:
    """A step of a run; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    symbols = int(params["symbols"])
    given = {key: value for key, value in params.items() if key != "symbols"}
    run = read(EquilibriumRun, {**given, "training": {"steps": training.steps}}, "run")
    shape, rows = run.model, -(-training.batch // training.micro_batches)
    step_size = getattr(run.solver, "step", 0.1)
    if run.rule == "transformer":
        whole, seen = (_transformed(shape, symbols, count) for count in (rows, run.evaluation.windows))
        count = parameters_of(_block(shape, symbols))
        return StepUsage(whole * training.micro_batches, count, host_seconds=1e-4, evaluation=seen)
    if run.rule == "bptt":
        usage = _extrapolated(lambda n: _unrolled(shape, symbols, rows, step_size, n), run.free.evaluations)
        usage = usage * training.micro_batches
    else:
        budget = _spent(run.solver, run.free.evaluations, 0)
        usage = _relaxed(run.solver, shape, symbols, rows, budget, run.free.products)
        usage += _adjoint(run, shape, symbols, rows) + _weights(shape, symbols, rows)
    blocking = 0.0
    for settings in run.regularisers.active().values():
        usage += _penalty(settings, shape, symbols, rows)
        if isinstance(settings, LeadingEigenvalue) and settings.form == "left_right":
            looked = min(settings.samples, rows)
            blocks = looked * (settings.positions or shape.length)
            small = shape.width < SQUARED_FROM
            blocking += blocks * _seconds(_EIGENPROBLEM, shape.width if small else VECTORS)
            blocking += 0.0 if small else looked * _seconds(_FACTORS, shape.width)
    evaluation, audited = _evaluation(run, shape, symbols)
    block = _block(shape, symbols)
    return StepUsage(
        usage,
        parameters_of(block),
        host_seconds=1e-4,
        blocking_seconds=blocking,
        evaluation=evaluation,
        blocking_evaluation=audited,
    )


def _seconds(law: tuple[float, float], width: int) -> float:
    return law[0] + law[1] * width**3


@lru_cache(maxsize=8)
def _block(shape: BlockShape, symbols: int) -> EquilibriumBlock:
    return EquilibriumBlock(shape, symbols, torch.Generator().manual_seed(0)).to("meta")


def _data(shape: BlockShape, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens (or targets), and states, of some rows."""
    tokens = torch.empty(rows, shape.length, dtype=torch.int64, device="meta")
    return tokens, tokens, torch.empty(rows, shape.length, shape.width, device="meta")


def _extrapolated(
    usage_of: Callable[[int], Usage], budget: int, budgets: tuple[int, int] = _BUDGETS
) -> Usage:
    """The usage at a budget of evaluations, from those at two small ones."""
    low, high = budgets
    if budget <= high:
        return usage_of(budget)
    return usage_of(low).extrapolated(usage_of(high), (budget - low) / (high - low))


def _spent(solver: Solver, budget: int, phase: int) -> int:
    return min(budget, _SETTLED[solver.name][phase]) if solver.name in _SETTLED else budget


def _relaxed(
    solver: Solver,
    shape: BlockShape,
    symbols: int,
    rows: int,
    budget: int,
    products: Literal["float32", "tf32"] = "float32",
) -> Usage:
    def usage_of(budget: int) -> Usage:
        return _relaxation(solver, shape, symbols, rows, budget, products)

    # Both budgets renew the base as often per evaluation as a long phase does.
    budgets = _BUDGETS if products == "float32" else (RENEWAL, 2 * RENEWAL)
    return _extrapolated(usage_of, budget, budgets)


@cache
def _relaxation(
    solver: Solver,
    shape: BlockShape,
    symbols: int,
    rows: int,
    budget: int,
    products: Literal["float32", "tf32"],
) -> Usage:
    x = _data(shape, rows)[2]
    force = FreePhase(_block(shape, symbols), x, products)
    return metered(lambda: solve(solver, force, x, budget, 1e-30))


def _problem(shape: BlockShape, symbols: int, rows: int, products: Products = "float32") -> Problem:
    _, targets, state = _data(shape, rows)
    return Problem(_block(shape, symbols), state, state, targets, products)


def _adjoint(run: EquilibriumRun, shape: BlockShape, symbols: int, rows: int) -> Usage:
    if run.rule == "implicit":
        return _extrapolated(lambda n: _implicit(shape, symbols, rows, n), min(60, run.nudged.evaluations))
    solver, estimator = run.nudged_solver or run.solver, run.estimator
    budget = _spent(solver, run.nudged.evaluations, 1)

    def usage_of(estimator: Estimator, budget: int) -> Usage:
        return _nudged(estimator, solver, shape, symbols, rows, budget, run.nudged.products)

    if isinstance(estimator, LockIn):
        # One Euler step per evaluation, whatever the budget.
        short, long = (replace(estimator, period=2, cycles=n) for n in (1, 2))
        low, high = (usage_of(some, budget) for some in (short, long))
        return low.extrapolated(high, (estimator.evaluations - 4) / 4)
    return _extrapolated(lambda n: usage_of(estimator, n), budget)


@cache
def _nudged(
    estimator: Estimator,
    solver: Solver,
    shape: BlockShape,
    symbols: int,
    rows: int,
    budget: int,
    products: Products,
) -> Usage:
    problem = _problem(shape, symbols, rows, products)
    return metered(lambda: estimate(estimator, problem, solver, budget, 1e-30))


@cache
def _implicit(shape: BlockShape, symbols: int, rows: int, budget: int) -> Usage:
    return metered(lambda: implicit_adjoint(_problem(shape, symbols, rows), 1e-30, budget))


@cache
def _weights(shape: BlockShape, symbols: int, rows: int) -> Usage:
    """From the adjoint to the gradient of the weights, and the loss itself."""
    tokens, targets, state = _data(shape, rows)
    block = _block(shape, symbols)
    usage = backpropagation(block, lambda: (surrogate(block, state, tokens, targets, state), None), False)
    with torch.no_grad():
        return usage + metered(lambda: block.cost(state, targets))


@cache
def _unrolled(shape: BlockShape, symbols: int, rows: int, step_size: float, steps: int) -> Usage:
    tokens, targets, _ = _data(shape, rows)
    block = _block(shape, symbols)
    return backpropagation(block, lambda: bptt_loss(block, tokens, targets, step_size, steps), False)


@cache
def _transformed(shape: BlockShape, symbols: int, rows: int) -> Usage:
    tokens, targets, _ = _data(shape, rows)
    block = _block(shape, symbols)
    return backpropagation(block, lambda: (transformer_loss(block, tokens, targets), None), False)


@cache
def _penalty(settings: Penalty, shape: BlockShape, symbols: int, rows: int) -> Usage:
    if isinstance(settings, LeadingEigenvalue) and settings.form == "left_right":
        # Two vector-Jacobian products of a force and their gradient, on the few samples looked at. Small
        # eigenproblems are counted as the processor's, large blocks are squared.
        usage = _weights(shape, symbols, settings.samples) * 2
        if shape.width >= SQUARED_FROM:
            positions = settings.positions or shape.length
            usage += _squared(settings.samples * positions, shape.width)
        return usage
    block = _block(shape, symbols)
    tokens, _, state = _data(shape, rows)

    def value() -> tuple[torch.Tensor, None]:
        at = Equilibrium(block, block.embed(tokens), state, torch.Generator().manual_seed(0))
        return penalty(settings, at), None

    return backpropagation(block, value, False)


@cache
def _squared(count: int, width: int) -> Usage:
    """Squarings of blocks in double precision, each with its norm and scaling."""
    blocks = torch.empty(count, width, width, dtype=torch.float64, device="meta")
    once = metered(lambda: (blocks @ blocks) / torch.linalg.vector_norm(blocks, dim=(-2, -1))[:, None, None])
    return once * (SQUARINGS + 1)


def _evaluation(run: EquilibriumRun, shape: BlockShape, symbols: int) -> tuple[Usage, float]:
    """One evaluation along training, and the processor's part of its audit."""
    settings = run.evaluation
    free = run.free
    usage = _relaxed(run.solver, shape, symbols, settings.windows, free.evaluations, free.products)
    usage += _roots(shape, symbols, settings.windows, settings.budget)
    usage += (
        _adjoint(replace(run, gate=None), shape, symbols, settings.aligned) if run.rule != "bptt" else Usage()
    )
    usage += _extrapolated(lambda n: _implicit(shape, symbols, settings.aligned, n), 30)
    if settings.unrolled:
        usage += _extrapolated(
            lambda n: _unrolled(shape, symbols, settings.aligned, 0.1, n), settings.unrolled
        )
    return usage, settings.samples * shape.length * _seconds(_SPECTRUM, shape.width)


def _roots(shape: BlockShape, symbols: int, rows: int, budget: int) -> Usage:
    each = max(1, int(_ROOT_SHARE * budget) // 2)
    found = (_relaxed(solver, shape, symbols, rows, each) for solver in (Anderson(), NewtonGMRES()))
    return sum(found, Usage())


def evaluations(params: Mapping[str, Any], plan: Plan, scale: str) -> list[dict[str, Any]] | None:
    """Stages after training; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    audit = params.get("audit")
    return [{"rule": "audit", "kind": kind(params, plan.data(scale)), "audit": audit}] if audit else []


def evaluation(stage: Mapping[str, Any]) -> StageUsage:
    """The usage of an audit, whose phases count with their full budgets."""
    given = {key: value for key, value in stage["kind"].items() if key != "symbols"}
    run = read(EquilibriumRun, {**given, "audit": stage["audit"], "training": {"steps": 1}}, "run")
    shape, symbols, settings = run.model, int(stage["kind"]["symbols"]), run.audit
    assert settings is not None
    evaluated = len(settings.steps) * settings.budget + _PRODUCTS
    usage = _roots(shape, symbols, settings.samples, settings.budget)
    usage += _relaxed(Euler(), shape, symbols, settings.samples, evaluated)
    state = _data(shape, settings.samples)[2]
    usage += metered(lambda: diagonal_blocks(_block(shape, symbols), state))
    along, blocking = _evaluation(
        replace(run, evaluation=settings.evaluation.over(run.evaluation)), shape, symbols
    )
    blocking += settings.samples * shape.length * _seconds(_SPECTRUM, shape.width)
    return StageUsage(_in_double(usage) + along, blocking)


def _in_double(usage: Usage) -> Usage:
    """The usage of the same operators in double precision."""
    operators: Counter[tuple[str, float, float]] = Counter()
    for (_, flops, moved), count in usage.operators.items():
        operators["float64", flops, 2 * moved] += count
    return replace(usage, operators=operators, peak_bytes=2 * usage.peak_bytes)

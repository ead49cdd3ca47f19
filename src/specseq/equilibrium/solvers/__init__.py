"""Solvers for equilibria, one interface: see :class:`specseq.equilibrium.solvers.interface.Solver`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from specseq.equilibrium.solvers.anderson import Anderson
from specseq.equilibrium.solvers.flows import (
    AdaptiveEuler,
    Euler,
    HeunEuler,
    RungeKutta4,
    SemiImplicitEuler,
)
from specseq.equilibrium.solvers.interface import Solution, Solver
from specseq.equilibrium.solvers.newton import BackwardEuler, NewtonGMRES
from specseq.errors import InputError

SOLVERS: dict[str, type[Solver]] = {
    "euler": Euler,
    "adaptive": AdaptiveEuler,
    "anderson": Anderson,
    "rk4": RungeKutta4,
    "heun": HeunEuler,
    "imex": SemiImplicitEuler,
    "backward_euler": BackwardEuler,
    "newton": NewtonGMRES,
}


def make_solver(params: Mapping[str, Any]) -> Solver:
    """A solver from ``{"name": ..., <its constants>}``.

    Raises:
        InputError: an unknown name or constant.
    """
    constants = dict(params)
    name = constants.pop("name", None)
    if name not in SOLVERS:
        raise InputError("solver.name", f"unknown solver {name!r}", f"known are {', '.join(SOLVERS)}")
    known = {entry.name for entry in fields(SOLVERS[name])}  # type: ignore[arg-type]
    for constant in constants:
        if constant not in known:
            raise InputError(
                f"solver.{constant}", f"{name} has no such constant", f"it has {', '.join(sorted(known))}"
            )
    return SOLVERS[name](**constants)


def euler_step(solver: Solver) -> float:
    """The Euler step ε that the stability of a run refers to: its own, or 0.1 where it takes none."""
    return solver.step if isinstance(solver, Euler | AdaptiveEuler) else 0.1


__all__ = [
    "SOLVERS",
    "AdaptiveEuler",
    "Anderson",
    "BackwardEuler",
    "Euler",
    "HeunEuler",
    "NewtonGMRES",
    "RungeKutta4",
    "SemiImplicitEuler",
    "Solution",
    "Solver",
    "euler_step",
    "make_solver",
]

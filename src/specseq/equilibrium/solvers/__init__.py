"""Solvers for equilibria behind one function, :func:`specseq.equilibrium.solvers.interface.solve`."""

from specseq.equilibrium.solvers import anderson, flows, newton
from specseq.equilibrium.solvers.interface import Solution, solve

__all__ = ["Solution", "anderson", "flows", "newton", "solve"]

"""Settings of solvers, one class per solver; :func:`specseq.equilibrium.solvers.solve` acts on them."""

from typing import Annotated, Literal, get_args

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass

Step = Annotated[float, Field(gt=0, description="step size; the initial one if steps adapt")]
Krylov = Annotated[int, Field(ge=1, description="largest Krylov space of a linear solve")]
LinearTolerance = Annotated[float, Field(gt=0, lt=1, description="relative residual of a linear solve")]


@dataclass(frozen=True, config=STRICT)
class Euler:
    """z ← z + ε F(z), the relaxation of the studied work. Does not settle when ε > ε_crit."""

    step: Step = 0.1
    name: Literal["euler"] = "euler"


@dataclass(frozen=True, config=STRICT)
class AdaptiveEuler:
    """Euler whose step shrinks on any overshoot of the force residual and grows otherwise.

    With ``contraction`` below 1 it also shrinks when the residual falls slowly. That is the naive controller,
    which mistakes the slow decay of a small step for instability.
    """

    step: Step = 0.1
    grow: float = Field(default=1.1, ge=1, description="factor of ε after a step without overshoot")
    shrink: float = Field(default=0.5, gt=0, lt=1, description="factor of ε after an overshoot")
    floor: float = Field(default=1e-3, gt=0, description="smallest ε")
    ceiling: float = Field(default=1.0, gt=0, description="largest ε")
    patience: int = Field(
        default=30, ge=0, description="shrinks at the floor before Anderson takes over; 0: never"
    )
    contraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="ε shrinks when a step leaves more than this share of the force residual; 1: only on an "
        "overshoot; below 1: also when it falls slowly",
    )
    name: Literal["adaptive"] = "adaptive"

    def __post_init__(self) -> None:
        _within(self.step, self.floor, self.ceiling)


@dataclass(frozen=True, config=STRICT)
class Anderson:
    """Anderson acceleration: mixes the last few steps to minimise the extrapolated residual."""

    step: Step = 0.2
    memory: int = Field(default=8, ge=1, description="number of past differences kept")
    damping: float = Field(default=1.0, gt=0, description="share of the mixed residual that is added")
    restart_ratio: float = Field(
        default=2.0,
        gt=1,
        description="a sample whose residual exceeds its best by this factor restarts from its best state",
    )
    regularisation: float | None = Field(
        default=None,
        ge=0,
        description="added to the normal matrix, in units of its trace; null: 1e-10 (float32: 1e-6)",
    )
    name: Literal["anderson"] = "anderson"


@dataclass(frozen=True, config=STRICT)
class RungeKutta4:
    """The classical fourth-order method with a fixed step, four evaluations per step."""

    step: Step = 0.5
    name: Literal["rk4"] = "rk4"


@dataclass(frozen=True, config=STRICT)
class HeunEuler:
    """The embedded pair of Heun and Euler with local error control."""

    step: Step = 0.2
    error: float = Field(
        default=0.2, gt=0, description="accepted local error, relative to the length of the step"
    )
    floor: float = Field(default=1e-3, gt=0, description="smallest step")
    ceiling: float = Field(default=2.0, gt=0, description="largest step")
    name: Literal["heun"] = "heun"

    def __post_init__(self) -> None:
        _within(self.step, self.floor, self.ceiling)


@dataclass(frozen=True, config=STRICT)
class SemiImplicitEuler:
    """IMEX Euler: the leak is implicit, the learned part explicit."""

    step: Step = 0.1
    name: Literal["imex"] = "imex"


@dataclass(frozen=True, config=STRICT)
class BackwardEuler:
    """Pseudo-transient continuation: linearly implicit Euler whose step grows as the force falls."""

    step: Step = 1.0
    ceiling: float = Field(default=1e6, gt=0, description="largest step")
    growth: float = Field(default=5.0, ge=1, description="largest growth per step; 1 keeps the step fixed")
    krylov: Krylov = 40
    linear_tolerance: LinearTolerance = 0.1
    name: Literal["backward_euler"] = "backward_euler"

    def __post_init__(self) -> None:
        _within(self.step, 0, self.ceiling)


@dataclass(frozen=True, config=STRICT)
class NewtonGMRES:
    """Newton's method with inexact linear solves and a line search per sample."""

    krylov: Krylov = 40
    linear_tolerance: LinearTolerance = 0.1
    growth: float = Field(
        default=1.5, gt=0, description="largest growth of the residual that the line search accepts"
    )
    shortest: float = Field(
        default=0.05, gt=0, le=1, description="fraction of the step at which the line search gives up"
    )
    name: Literal["newton"] = "newton"


Solver = (
    Euler
    | AdaptiveEuler
    | Anderson
    | RungeKutta4
    | HeunEuler
    | SemiImplicitEuler
    | BackwardEuler
    | NewtonGMRES
)
SOLVERS: dict[str, type[Solver]] = {solver.name: solver for solver in get_args(Solver)}
NamedSolver = Annotated[Solver, Field(discriminator="name")]


def euler_step(solver: Solver) -> float:
    """The Euler step ε that a run's stability refers to: the solver's own, or 0.1 if it has none."""
    return solver.step if isinstance(solver, Euler | AdaptiveEuler) else 0.1


def _within(step: float, floor: float, ceiling: float) -> None:
    if not floor <= step <= ceiling:
        raise InputError("step", f"{step:g} is not from {floor:g} to {ceiling:g}", "change step or bounds")

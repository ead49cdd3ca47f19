"""Settings of equilibrium training, as stored in a run's parameters: one class per part and per choice.

The classes of estimators hold settings only; :func:`specseq.equilibrium.estimators.estimate` does the work.
"""

from typing import Annotated, Literal, get_args

from specseq.equilibrium.penalty_config import Regularisers
from specseq.equilibrium.solver_config import Euler, NamedSolver, Step
from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass, plain, read
from specseq.training.settings import Initial, TrainingSettings

Evaluations = Annotated[int, Field(ge=1, description="largest number of evaluations of the force")]
Tolerance = Annotated[float, Field(gt=0, description="force residual ‖F‖/‖z‖ that counts as a root")]
Ending = Annotated[float, Field(gt=0, description="force residual at which the phase ends")]
Products = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True, config=STRICT)
class BlockShape:
    """Sizes and constants of an equilibrium block."""

    width: int = Field(default=64, ge=1, description="channels C")
    heads: int = Field(default=4, ge=1, description="attention heads H, a divisor of the width")
    length: int = Field(default=32, ge=1, description="positions T")
    expansion: int = Field(default=4, ge=1, description="width of the feed-forward part in units of C")
    damping: float = Field(default=1.0, ge=0, description="c of the leak -c z")
    residual_gain: float = Field(
        default=0.1,
        ge=0,
        description="scale of the initial output projections; small values start contractive",
    )
    normalise_queries: bool = Field(
        default=True,
        description="root-mean-square normalisation of queries and keys, which bounds the logits",
    )
    offsets: bool = Field(
        default=False,
        description="offsets of queries, keys and expanded channels, from 0; imported blocks with affine "
        "norms have them",
    )

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError("heads", f"{self.heads} does not divide the width {self.width}")


# --- estimators


@dataclass(frozen=True, config=STRICT)
class Nudged:
    """Settings shared by all estimators that use nudged phases."""

    radius: float = Field(default=0.02, gt=0, description="radius r of the nudge, per token")
    corrected: bool = Field(
        default=True, description="include the term that makes the response obey the transposed Jacobian"
    )
    drift_cancelled: bool = Field(default=False, description="subtract the free drift from the nudged force")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class AdaptiveLength:
    """A nudged phase whose estimates are checked on the way and decide its length."""

    method: Literal["select", "track"] = Field(
        description="select: keep the checked estimate that solves the adjoint equation best; track: end the "
        "phase when the estimate no longer moves"
    )
    every: int = Field(
        default=20,
        ge=2,
        description="evaluations between checks; a solver with a memory starts afresh after each",
    )
    change: float = Field(
        default=0.01, gt=0, description="relative change between checks below which track ends the phase"
    )

    def __post_init__(self) -> None:
        if self.method != "track" and self.change != 0.01:
            raise InputError("change", "acts on track only", "give method: track, or leave it out")


@dataclass(frozen=True, config=STRICT)
class Settled(Nudged):
    """Settings shared by estimators that use nudged phases at rest."""

    length: AdaptiveLength | None = Field(
        default=None, description="null: budget and tolerance alone decide the length of the phase"
    )


@dataclass(frozen=True, config=STRICT)
class OneSided(Settled):
    """(z* - z(r)) / r."""

    name: Literal["one_sided"] = "one_sided"


@dataclass(frozen=True, config=STRICT)
class TwoSided(Settled):
    """(z(-r) - z(r)) / 2r."""

    name: Literal["two_sided"] = "two_sided"


@dataclass(frozen=True, config=STRICT)
class Holomorphic(Settled):
    """The first Fourier coefficient of z(r e^{iφ}) over points on a circle."""

    points: int = Field(default=4, ge=2, description="nudge points N, even; the bias is O(r^N)")
    name: Literal["holomorphic"] = "holomorphic"

    def __post_init__(self) -> None:
        if self.points % 2:
            raise InputError("points", f"{self.points} is odd", "give an even number")


@dataclass(frozen=True, config=STRICT)
class LockIn(Nudged):
    """A slow sinusoidal nudge along the flow, demodulated."""

    step: Step = 0.1
    period: int = Field(default=400, ge=2, description="Euler steps per cycle")
    cycles: int = Field(default=2, ge=1, description="cycles to average, after as many to settle")
    name: Literal["lock_in"] = "lock_in"

    @property
    def evaluations(self) -> int:
        """Steps to settle and to average."""
        return 2 * self.cycles * self.period


@dataclass(frozen=True, config=STRICT)
class AdjointEstimator:
    """The rest point of the adjoint flow, without nudge or bias."""

    name: Literal["adjoint"] = "adjoint"


Estimator = OneSided | TwoSided | Holomorphic | LockIn | AdjointEstimator
ESTIMATORS: dict[str, type[Estimator]] = {estimator.name: estimator for estimator in get_args(Estimator)}
NamedEstimator = Annotated[Estimator, Field(discriminator="name")]


# --- a run


@dataclass(frozen=True, config=STRICT)
class FreeBudget:
    """The budget of free phases, and the precision that they may use."""

    evaluations: Evaluations = 60
    tolerance: Ending = 1e-5
    products: Literal["float32", "tf32"] = Field(
        default="float32",
        description="precision of products that act on the difference from an earlier state of the phase, "
        "where a card has it; every tenth evaluation is in float32 throughout",
    )


@dataclass(frozen=True, config=STRICT)
class NudgedBudget:
    """The budget of nudged phases, and the precision that they may use."""

    evaluations: Evaluations = 60
    tolerance: Ending = 1e-4
    products: Products = Field(
        default="float32",
        description="precision of products that act on the small difference from the free state. tf32: those "
        "of the force, with J and its transpose, and in the read-out of the nudge, where a card has it; "
        "bfloat16: those with J and its transpose, the others as tf32",
    )


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """What is measured of a block on held-out windows."""

    windows: int = Field(default=32, ge=1, description="windows of both losses")
    aligned: int = Field(default=8, ge=1, description="windows for the alignment of gradients")
    samples: int = Field(default=4, ge=1, description="windows that are audited")
    budget: Evaluations = 1000
    tolerance: Tolerance = 1e-6
    unrolled: int = Field(
        default=60,
        ge=0,
        description="Euler steps of the backpropagation to compare with; 0 disables the comparison",
    )

    def __post_init__(self) -> None:
        for name in ("aligned", "samples"):
            if getattr(self, name) > self.windows:
                raise InputError(name, f"{getattr(self, name)} is more than the {self.windows} windows")


@dataclass(frozen=True, config=STRICT)
class AuditEvaluation:
    """Settings of a fingerprint's evaluation that differ from those used in training; null: the same."""

    windows: int | None = Field(default=None, ge=1)
    aligned: int | None = Field(default=None, ge=1)
    samples: int | None = Field(default=None, ge=1)
    budget: Evaluations | None = None
    tolerance: Tolerance | None = None
    unrolled: int | None = Field(default=None, ge=0)

    def over(self, base: Evaluation) -> Evaluation:
        """The evaluation with these differences.

        Raises:
            InputError: the combined settings are not valid.
        """
        changes = {name: value for name, value in vars(self).items() if value is not None}
        return read(Evaluation, {**plain(base), **changes}, "audit.evaluation")


@dataclass(frozen=True, config=STRICT)
class AuditSettings:
    """The audit of a checkpoint."""

    samples: int = Field(default=8, ge=1, description="texts to audit")
    step: float | None = Field(default=None, gt=0, description="Euler step ε; null: that of the run")
    budget: Evaluations = 2000
    tolerance: Annotated[Tolerance, Field(le=0.01)] = 1e-6
    steps: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(), description="Euler steps ε to relax with, to compare step and force residuals"
    )
    evaluation: AuditEvaluation = AuditEvaluation()


@dataclass(frozen=True, config=STRICT, kw_only=True)
class EquilibriumRun:
    """The parameters of a run."""

    study: Literal["equilibrium"] = "equilibrium"
    seed: int = Field(default=0, ge=0, description="decides every random draw of the run")
    training: TrainingSettings
    initial: Initial | None = Field(default=None, description="weights to begin from; null: random ones")
    model: BlockShape = BlockShape()
    rule: Literal["ep", "implicit", "bptt", "transformer"] = Field(
        default="ep",
        description="ep: nudged equilibria; implicit: the exact adjoint; bptt: backpropagation through "
        "Euler's steps; transformer: through one pass of the same weights, without an equilibrium",
    )
    solver: NamedSolver = Euler()
    nudged_solver: NamedSolver | None = Field(
        default=None, description="solver of the nudged phase; null: the solver of the free phase"
    )
    estimator: NamedEstimator = TwoSided()
    free: FreeBudget = FreeBudget()
    nudged: NudgedBudget = NudgedBudget()
    regularisers: Regularisers = Regularisers()
    gate: float | None = Field(
        default=None, gt=0, description="force residual above which a sample is left out of the gradient"
    )
    caps: float | None = Field(
        default=None, gt=0, description="largest norm of a matrix in units of its initial norm"
    )
    evaluation: Evaluation = Evaluation()
    audit: AuditSettings | None = Field(default=None, description="audit at the end of training; null: none")

    def __post_init__(self) -> None:
        if self.rule == "bptt" and not isinstance(self.solver, Euler):
            raise InputError("solver.name", "the rule bptt unrolls Euler only", "use euler")
        whole = self.rule not in ("bptt", "transformer") or self.regularisers.active()
        if whole and self.training.micro_batches > 1:
            fault = f"the rule {self.rule} and regularisers take a batch whole"
            remedy = "leave it out, or use bptt without regularisers"
            raise InputError("training.micro_batches", fault, remedy)
        if self.rule != "ep":
            plain_pass = self.rule == "transformer"
            ignored = {
                "nudged_solver": self.nudged_solver is not None,
                "estimator": self.estimator != TwoSided(),
                "gate": self.rule != "implicit" and self.gate is not None,
                "solver": plain_pass and self.solver != Euler(),
                "regularisers": plain_pass and self.regularisers.active(),
                "audit": plain_pass and self.audit is not None,
            }
            if name := next((name for name, given in ignored.items() if given), None):
                raise InputError(name, f"is not used by the rule {self.rule}", "leave it out")
        elif isinstance(self.estimator, LockIn):
            if self.nudged_solver is not None:
                raise InputError("nudged_solver", "lock_in follows the flow by itself", "leave it out")
            if self.estimator.evaluations > self.nudged.evaluations:
                fault = f"needs {self.estimator.evaluations} evaluations of {self.nudged.evaluations}"
                remedy = "raise nudged.evaluations, or shorten period or cycles"
                raise InputError("estimator.period", fault, remedy)
        if self.caps is not None and self.model.residual_gain == 0:
            fault = "no multiple of a norm that begins at 0"
            raise InputError("caps", fault, "give model.residual_gain above 0")
        if self.audit is not None:
            self.audit.evaluation.over(self.evaluation)


# --- mechanisms

MechanismTask = Literal[
    "estimator_bias",
    "alignment",
    "solvers",
    "radius",
    "abscissa",
    "euler_growth",
    "products",
    "nudged_solver",
    "penalty",
    "controllers",
    "nudged_length",
]


@dataclass(frozen=True, config=STRICT)
class MechanismSettings:
    """Which mechanisms are measured on blocks whose answers are known."""

    seed: int = Field(default=0, ge=0, description="decides blocks and start vectors")
    tasks: tuple[MechanismTask, ...] = Field(default=get_args(MechanismTask), min_length=1)

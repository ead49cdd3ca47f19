"""Settings of the penalties on a block's operator, one class each.

They hold settings only; :func:`specseq.equilibrium.regularisers.penalty` does the work.
"""

from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass

Samples = Annotated[int, Field(ge=1, description="samples of the batch that are examined")]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Penalty:
    """The weight of a penalty, fixed or following the force residual."""

    weight: float = Field(ge=0, description="weight in the loss; 0 disables the penalty")
    target: float | None = Field(
        default=None, gt=0, description="force residual that the weight aims for; null: the weight is fixed"
    )
    rate: float = Field(default=1.05, gt=1, description="factor per step, up or down, with a target")
    floor: float = Field(default=1e-4, ge=0, description="smallest value of a weight with a target")
    ceiling: float = Field(default=10.0, gt=0, description="largest value of a weight with a target")

    def __post_init__(self) -> None:
        if self.target is None:
            bounds = Penalty.__dataclass_fields__
            for name in ("rate", "floor", "ceiling"):
                if getattr(self, name) != bounds[name].default.default:
                    fault = "acts on a weight with a target only"
                    raise InputError(name, fault, "give target, or leave it out")
        elif self.weight and not self.floor <= self.weight <= self.ceiling:
            raise InputError("weight", f"{self.weight:g} is not from {self.floor:g} to {self.ceiling:g}")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class JacobianNorm(Penalty):
    """Hutchinson's estimate of ‖J_nc‖²_F / n."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ResidualNorm(Penalty):
    """The squared force residual of the state that the free phase left."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class LeadingEigenvalue(Penalty):
    """The mean of max(|λ| - margin, 0)² for the leading eigenvalue λ of I + εJ."""

    step: float | None = Field(
        default=None, gt=0, description="ε of the Euler map; null: that of the run's solver"
    )
    margin: float = Field(default=0.995, ge=0, description="|λ| up to which there is no penalty")
    form: Literal["left_right", "published"] = Field(
        default="left_right", description="left_right: exact; published: two-dimensional subspace iteration"
    )
    samples: Samples = 2
    positions: int | None = Field(
        default=None, ge=1, description="positions drawn per step that left_right examines; null: all"
    )
    iterations: int = Field(default=10, ge=1, description="subspace iterations of the published form")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form != "published" and self.iterations != 10:
            raise InputError("iterations", "acts on the published form only", "give form: published")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class NumericalAbscissa(Penalty):
    """The mean of max(ω - margin, 0)² for the numerical abscissa ω of J."""

    margin: float = Field(default=1.0, description="ω up to which there is no penalty")
    samples: Samples = 2
    size: int = Field(default=20, ge=1, description="Lanczos vectors")


@dataclass(frozen=True, config=STRICT)
class Regularisers:
    """Penalties on the operator, added to the loss."""

    jacobian: JacobianNorm | None = None
    residual: ResidualNorm | None = None
    eigenvalue: LeadingEigenvalue | None = None
    abscissa: NumericalAbscissa | None = None

    def active(self) -> dict[str, Penalty]:
        """The penalties whose weight is not 0, by name."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: penalty for name, penalty in given.items() if penalty is not None and penalty.weight}

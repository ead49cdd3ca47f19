"""One step of training an equilibrium block: the free phase, the adjoint, the penalties.

Three rules share everything else. ``ep`` estimates the adjoint from nudged equilibria or the adjoint flow
with the solver of the free phase, ``implicit`` solves for it by GMRES, ``bptt`` differentiates an Euler
relaxation of finite length.

B sample, T position, C channel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.controllers import AdaptiveWeight, NormCaps, RandomDirections, gate
from specseq.equilibrium.estimators import Estimator, Problem, make_estimator
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import Implicit, bptt_loss, surrogate
from specseq.equilibrium.regularisers import (
    Equilibrium,
    JacobianNorm,
    LeadingEigenvalue,
    NumericalAbscissa,
    Regulariser,
    ResidualNorm,
)
from specseq.equilibrium.solvers import Euler, Solver, euler_step, make_solver
from specseq.equilibrium.solvers.interface import residuals
from specseq.errors import Diverged, InputError

RULES = ("ep", "implicit", "bptt")
REGULARISERS: dict[str, type[Regulariser]] = {
    "jacobian": JacobianNorm,
    "residual": ResidualNorm,
    "eigenvalue": LeadingEigenvalue,
    "abscissa": NumericalAbscissa,
}


@dataclass(frozen=True)
class Phase:
    """A budget of evaluations and the residual at which a phase is done."""

    evaluations: int
    tolerance: float

    @classmethod
    def read(cls, where: str, params: Mapping[str, Any]) -> "Phase":
        """From ``{"evaluations", "tolerance"}``."""
        unknown = set(params) - {"evaluations", "tolerance"}
        if unknown:
            raise InputError(f"{where}.{sorted(unknown)[0]}", "no such setting")
        phase = cls(int(params.get("evaluations", 60)), float(params.get("tolerance", 1e-5)))
        if phase.evaluations < 1 or not phase.tolerance > 0:
            raise InputError(where, f"{dict(params)!r} is not a budget", "give positive numbers")
        return phase


@dataclass(frozen=True)
class Penalty:
    """A regulariser with its weight."""

    name: str
    regulariser: Regulariser
    weight: AdaptiveWeight


@dataclass
class Trainer:
    """Fills gradients; see the module.

    Attributes:
        rule: ``ep``, ``implicit`` or ``bptt``.
        solver: of the free phase, and of the nudged phases unless they have their own.
        estimator: of the adjoint.
        free, nudged: budgets of the two phases.
        penalties: added to the surrogate.
        directions: the generator that penalties draw from.
        largest_residual: the gate; samples that settle worse do not teach. Infinite lets all pass.
        other_solver: of the nudged phases, where not that of the free phase. The nudged flow has the
            spectrum of the free one, so a solver that fails there fails here: kept to show that.
    """

    rule: str
    solver: Solver
    estimator: Estimator
    free: Phase
    nudged: Phase
    penalties: list[Penalty]
    directions: RandomDirections
    largest_residual: float = float("inf")
    other_solver: Solver | None = None

    @classmethod
    def read(cls, params: Mapping[str, Any], seed: int) -> "Trainer":
        """From a run's ``rule``, ``solver``, ``nudged_solver``, ``estimator``, ``free``, ``nudged``,
        ``regularisers`` and ``gate``.

        Raises:
            InputError: something is unknown or does not go together.
        """
        rule = params.get("rule", "ep")
        if rule not in RULES:
            raise InputError("rule", f"{rule!r} is unknown", f"one of {', '.join(RULES)}")
        solver = make_solver(params.get("solver", {"name": "euler"}))
        if rule == "bptt" and not isinstance(solver, Euler):
            raise InputError("solver.name", "only Euler is unrolled", "use euler with the rule bptt")
        estimator = make_estimator(params.get("estimator", {"name": "two_sided"}))
        largest = params.get("gate")
        return cls(
            rule,
            solver,
            Implicit() if rule == "implicit" else estimator,
            Phase.read("free", params.get("free", {})),
            Phase.read("nudged", params.get("nudged", {"tolerance": 1e-4})),
            read_penalties(params.get("regularisers") or {}, euler_step(solver)),
            RandomDirections(seed),
            float("inf") if largest is None else float(largest),
            make_solver(params["nudged_solver"]) if params.get("nudged_solver") else None,
        )

    @property
    def step(self) -> float:
        """The Euler step ε that ρ(ε), EULER-WALL and the step residual refer to."""
        return euler_step(self.solver)

    @property
    def nudged_solver(self) -> Solver:
        """The solver of the nudged phases."""
        return self.other_solver or self.solver

    def relax(self, block: EquilibriumBlock, tokens_BT: Tensor) -> tuple[Tensor, Tensor, int]:
        """The free phase as training has it: state, force residual of each sample, evaluations."""
        x_BTC = block.embed(tokens_BT).detach()
        found = self.solver.solve(FreePhase(block, x_BTC), x_BTC, self.free.evaluations, self.free.tolerance)
        return found.state, found.residual_B, found.evaluations

    @property
    def backpropagates(self) -> bool:
        """Whether the gradient is that of :meth:`loss`, which may then be computed in parts of a batch.

        A penalty's weight moves once a step, so with penalties a batch is taken whole.
        """
        return self.rule == "bptt" and not self.penalties

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The scalar to back-propagate for one batch, and metrics with the loss and the ``weight`` in tokens.

        Computes in the precision of the weights whatever autocast says: an equilibrium is no better than the
        arithmetic that settles it.
        """
        with torch.autocast(batch["tokens"].device.type, enabled=False):
            scalar, metrics = self._scalar(model, batch)
        return scalar, {**metrics, "weight": float(batch["targets"].numel())}

    def gradients(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """Fill ``.grad`` of the weights from one batch; returns metrics with the loss. Precision as there."""
        with torch.autocast(batch["tokens"].device.type, enabled=False):
            scalar, metrics = self._scalar(model, batch)
            scalar.backward()
        return metrics

    def _scalar(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        block: EquilibriumBlock = model  # type: ignore[assignment]
        tokens_BT, targets_BT = batch["tokens"], batch["targets"]
        rule = self._unrolled if self.rule == "bptt" else self._at_equilibrium
        scalar, root_BTC, metrics = rule(block, tokens_BT, targets_BT)
        if self.penalties:
            at = Equilibrium(block, block.embed(tokens_BT), root_BTC, self.directions.generator)
            for penalty in self.penalties:
                value = penalty.regulariser.penalty(at)
                scalar = scalar + penalty.weight.weight * value
                metrics[f"penalty/{penalty.name}"] = float(value.detach())
                metrics[f"penalty/{penalty.name}_weight"] = penalty.weight.weight
                penalty.weight.update(metrics["force_residual"])
        return scalar, metrics

    def _unrolled(
        self, block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        loss, root_BTC = bptt_loss(block, tokens_BT, targets_BT, self.step, self.free.evaluations)
        with torch.no_grad():
            g_B = residuals(block.force(root_BTC, block.embed(tokens_BT)), root_BTC)
        metrics = self._free_metrics(float(loss.detach()), g_B, self.free.evaluations)
        return loss, root_BTC, metrics

    def _at_equilibrium(
        self, block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        root_BTC, g_B, spent = self.relax(block, tokens_BT)
        with torch.no_grad():
            loss = float(block.cost(root_BTC, targets_BT)) / targets_BT.numel()
        metrics = self._free_metrics(loss, g_B, spent)
        lost = int((~torch.isfinite(g_B)).sum())
        if lost and self.largest_residual == float("inf"):
            raise Diverged(f"the free phase of {lost} of {len(g_B)} samples overflowed")
        teach_B = gate(g_B, self.largest_residual)
        metrics["gated"] = 1 - float(teach_B.float().mean())
        if not bool(teach_B.any()):
            return sum((w.sum() * 0.0 for w in block.parameters()), root_BTC.new_zeros(())), root_BTC, metrics
        rows = slice(None) if bool(teach_B.all()) else teach_B
        root_PTC, tokens_PT, targets_PT = root_BTC[rows], tokens_BT[rows], targets_BT[rows]
        problem = Problem(block, block.embed(tokens_PT).detach(), root_PTC, targets_PT)
        nudged = self.nudged
        found = self.estimator.estimate(problem, self.nudged_solver, nudged.evaluations, nudged.tolerance)
        metrics["nudged_residual"] = float(found.residual_B.mean())
        metrics["nudged_evaluations"] = float(found.evaluations)
        return surrogate(block, root_PTC, tokens_PT, targets_PT, found.a_BTC), root_BTC, metrics

    def _free_metrics(self, loss: float, g_B: Tensor, spent: int) -> dict[str, float]:
        residual = float(g_B.mean())
        return {
            "loss": loss,
            "force_residual": residual,
            "step_residual": self.step * residual,
            "free_evaluations": float(spent),
        }


def read_penalties(params: Mapping[str, Mapping[str, Any]], step: float = 0.1) -> list[Penalty]:
    """Penalties from ``{"jacobian": {"weight": 0.1, "target": 0.02, ...}, ...}``.

    ``weight``, ``target``, ``rate``, ``floor`` and ``ceiling`` belong to the weight, the rest to the penalty.

    Args:
        params: settings by the penalty's name.
        step: ε of the Euler map whose leading eigenvalue is controlled, unless the penalty names its own.

    Raises:
        InputError: an unknown penalty or setting, or a missing weight.
    """
    penalties = []
    for name, settings in params.items():
        if name not in REGULARISERS:
            known = ", ".join(REGULARISERS)
            raise InputError(f"regularisers.{name}", "no such penalty", f"known are {known}")
        if "weight" not in settings:
            raise InputError(f"regularisers.{name}.weight", "missing", "give a number; 0 switches it off")
        of_weight = {k: float(v) for k, v in settings.items() if k in AdaptiveWeight.__dataclass_fields__}
        others = {k: v for k, v in settings.items() if k not in of_weight}
        if name == "eigenvalue":
            others.setdefault("step", step)
        try:
            regulariser = REGULARISERS[name](**others)
        except TypeError as error:
            raise InputError(f"regularisers.{name}", str(error).split("() ")[-1]) from None
        penalties.append(Penalty(name, regulariser, AdaptiveWeight(**of_weight)))
    return [penalty for penalty in penalties if penalty.weight.weight > 0]


@dataclass
class AfterStep:
    """What happens to the weights after each optimiser step."""

    caps: NormCaps | None = field(default=None)

    def __call__(self, model: nn.Module, step: int) -> dict[str, float]:
        if self.caps is None:
            return {}
        return {"capped": float(self.caps.apply(model))}  # type: ignore[arg-type]

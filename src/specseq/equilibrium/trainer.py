"""One step of training an equilibrium block: the free phase, the adjoint, the penalties.

Three rules differ only in the gradient. ``ep`` estimates the adjoint from nudged equilibria or the adjoint
flow, ``implicit`` solves for it by GMRES, and ``bptt`` differentiates an Euler relaxation of finite length. A
fourth, ``transformer``, is the baseline without an equilibrium: one pass through the same weights.

Where several processes share a batch, each has some of its rows. Random directions, examined samples,
controllers and the mean over admitted samples refer to the whole batch, so that the step equals that of a
single process. Phases end by budget or by tolerance, which each process checks on its own rows.

Shapes: B sample, T position, C channel, P sample admitted by the gate.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import EquilibriumRun
from specseq.equilibrium.controllers import AdaptiveWeight, gate
from specseq.equilibrium.estimators import Adjoint, Problem, estimate, implicit_adjoint
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import bptt_loss, surrogate, transformer_loss
from specseq.equilibrium.regularisers import Equilibrium, penalty
from specseq.equilibrium.solver_config import Solver, euler_step
from specseq.equilibrium.solvers import Solution, solve
from specseq.equilibrium.solvers.interface import residuals
from specseq.errors import Diverged
from specseq.training.parallel import here


class Trainer:
    """Computes losses and gradients of a run; see the module docstring.

    Attributes:
        penalties: penalties by name, with their current weights.
        generator: draws the penalties' random directions, always for the whole batch.
    """

    def __init__(self, run: EquilibriumRun, seed: int) -> None:
        self.run = run
        self.penalties = {
            name: (settings, AdaptiveWeight(settings)) for name, settings in run.regularisers.active().items()
        }
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def step(self) -> float:
        """The Euler step ε that ρ(ε), EULER-WALL and the step residual refer to."""
        return euler_step(self.run.solver)

    @property
    def nudged_solver(self) -> Solver:
        """The solver of the nudged phases; by default the free phase's, whose flow has the same spectrum."""
        return self.run.nudged_solver or self.run.solver

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold besides the block: the generator and the penalties' weights."""
        weights = {name: weight.weight for name, (_, weight) in self.penalties.items()}
        return {"generator": self.generator.get_state(), "weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.generator.set_state(state["generator"])
        for name, (_, weight) in self.penalties.items():
            weight.weight = state["weights"][name]

    def relax(self, block: EquilibriumBlock, tokens_BT: Tensor) -> Solution:
        """The free phase as run in training."""
        x_BTC, phase = block.embed(tokens_BT).detach(), self.run.free
        force = FreePhase(block, x_BTC, phase.products)
        return solve(self.run.solver, force, x_BTC, phase.evaluations, phase.tolerance)

    def adjoint(self, problem: Problem) -> Adjoint:
        """The adjoint by the rule ``ep`` or ``implicit``."""
        phase = self.run.nudged
        if self.run.rule == "implicit":
            return implicit_adjoint(problem, phase.tolerance, min(60, phase.evaluations))
        return estimate(self.run.estimator, problem, self.nudged_solver, phase.evaluations, phase.tolerance)

    @property
    def backpropagates(self) -> bool:
        """Whether training backpropagates :meth:`loss`, possibly over parts of a batch.

        A penalty's weight moves once per step, so with penalties the batch is not divided.
        """
        return self.run.rule in ("bptt", "transformer") and not self.penalties

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The scalar to back-propagate for one batch, and metrics with the loss and the ``weight`` in tokens.

        Computes in the precision of the weights regardless of autocast: an equilibrium is only as accurate
        as the arithmetic that settles it.
        """
        with torch.autocast(batch["tokens"].device.type, enabled=False):
            scalar, metrics = self._scalar(model, batch)
        return scalar, {**metrics, "weight": float(batch["targets"].numel())}

    def gradients(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """Fill ``.grad`` of the weights from one batch; returns metrics with the loss, as :meth:`loss`."""
        with torch.autocast(batch["tokens"].device.type, enabled=False):
            scalar, metrics = self._scalar(model, batch)
            scalar.backward()
        return {**metrics, "weight": float(batch["targets"].numel())}

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Update the penalties' weights after a step with these metrics."""
        for _, weight in self.penalties.values():
            weight.update(metrics["force_residual"])

    def _scalar(self, model: nn.Module, given: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        block: EquilibriumBlock = model  # type: ignore[assignment]
        tokens_BT, targets_BT = given["tokens"], given["targets"]
        if self.run.rule == "transformer":
            loss = transformer_loss(block, tokens_BT, targets_BT)
            return loss, {"loss": float(loss.detach())}
        rule = self._unrolled if self.run.rule == "bptt" else self._at_equilibrium
        scalar, root_BTC, metrics = rule(block, tokens_BT, targets_BT)
        if self.penalties:
            world, batch = here(), self.run.training.batch
            rows = None if world.size == 1 else (batch * world.rank // world.size, batch)
            x_BTC = block.embed(tokens_BT)
            at = Equilibrium(block, x_BTC, root_BTC, self.generator, self.step, rows)
            for name, (settings, weight) in self.penalties.items():
                value = penalty(settings, at)
                scalar = scalar + weight.weight * value
                metrics[f"penalty/{name}"] = float(value.detach())
                metrics[f"penalty/{name}_weight"] = weight.weight
        return scalar, metrics

    def _unrolled(
        self, block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        steps = self.run.free.evaluations
        loss, root_BTC = bptt_loss(block, tokens_BT, targets_BT, self.step, steps)
        with torch.no_grad():
            g_B = residuals(block.force(root_BTC, block.embed(tokens_BT)), root_BTC)
        return loss, root_BTC, self._free_metrics(float(loss.detach()), g_B, steps)

    def _at_equilibrium(
        self, block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        free = self.relax(block, tokens_BT)
        root_BTC, g_B = free.state, free.residual_B
        with torch.no_grad():
            loss = float(block.cost(root_BTC, targets_BT)) / targets_BT.numel()
        metrics = self._free_metrics(loss, g_B, free.evaluations) | step_metrics("free", free.facts)
        lost = int((~torch.isfinite(g_B)).sum())
        if lost and self.run.gate is None:
            raise Diverged(f"the free phase of {lost} of {len(g_B)} samples overflowed")
        teach_B = gate(g_B, self.run.gate)
        metrics["gated"] = 1 - float(teach_B.float().mean())
        share = self._share(teach_B)
        if not bool(teach_B.any()):
            return sum((w.sum() * 0.0 for w in block.parameters()), root_BTC.new_zeros(())), root_BTC, metrics
        rows = slice(None) if bool(teach_B.all()) else teach_B
        root_PTC, tokens_PT, targets_PT = root_BTC[rows], tokens_BT[rows], targets_BT[rows]
        x_PTC, products = block.embed(tokens_PT).detach(), self.run.nudged.products
        adjoint = self.adjoint(Problem(block, x_PTC, root_PTC, targets_PT, products))
        metrics["nudged_residual"] = float(adjoint.residual_B.mean())
        metrics["nudged_evaluations"] = float(adjoint.evaluations)
        metrics |= step_metrics("nudged", adjoint.facts)
        scalar = surrogate(block, root_PTC, tokens_PT, targets_PT, adjoint.a_BTC)
        return scalar if share is None else share * scalar, root_BTC, metrics

    def _share(self, teach_B: Tensor) -> float | None:
        """This process's share of admitted samples over its share of all samples; None where that is 1."""
        world = here()
        if self.run.gate is None or world.size == 1:
            return None
        teach = float(teach_B.sum())
        return teach / max(world.total(teach), 1) * self.run.training.batch / len(teach_B)

    def _free_metrics(self, loss: float, g_B: Tensor, spent: int) -> dict[str, float]:
        residual = float(g_B.mean())
        return {
            "loss": loss,
            "force_residual": residual,
            "step_residual": self.step * residual,
            "free_evaluations": float(spent),
        }


def step_metrics(phase: str, facts: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of a solve's steps and length over all samples; empty where both are fixed.

    ``<phase>_step`` is the geometric mean of the steps that the controller settled at,
    ``<phase>_floor_overshoots`` the number of overshoots with the step at its floor,
    ``<phase>_handed_off`` 1 if Anderson took over, and ``<phase>_length`` the evaluations after which the
    estimate was taken. The first three are means over samples.
    """
    metrics: dict[str, float] = {}
    if "typical_step" in facts:
        steps, overshoots = (
            torch.tensor(facts[name], dtype=torch.float64) for name in ("typical_step", "floor_overshoots")
        )
        metrics[f"{phase}_step"] = steps.log().mean().exp().item()
        metrics[f"{phase}_floor_overshoots"] = overshoots.mean().item()
        metrics[f"{phase}_handed_off"] = float(facts["handed_off"])
    if "length_B" in facts:
        metrics[f"{phase}_length"] = torch.tensor(facts["length_B"]).double().mean().item()
    return metrics

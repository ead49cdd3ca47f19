"""What is measured of a block along its training: losses, residuals, alignment of the gradient, the spectrum.

Two losses are told apart throughout: ``loss`` with the solver and budget of training, which is what the run
sees, and ``loss_converged`` at the root that the audit's solver finds, which is what the weights are worth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.audit import audit_block, find_root
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.estimators import Problem
from specseq.equilibrium.gradients import Implicit, bptt_loss, cosine, operator_gradient, surrogate
from specseq.equilibrium.regularisers import Equilibrium, JacobianNorm
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError


@dataclass(frozen=True)
class Evaluation:
    """Fingerprint of a block.

    Attributes:
        trainer: whose solver, budget and estimator are measured.
        windows: held-out windows for both losses.
        aligned: how many of them for the alignment of gradients.
        samples: how many of them are audited.
        budget: evaluations to find a root with.
        tolerance: force residual that counts as a root; in single precision none below 3e-6 is asked for.
        unrolled: Euler steps of the BPTT gradient that the run's gradient is compared with; 0 compares not.
    """

    trainer: Trainer
    windows: int = 32
    aligned: int = 8
    samples: int = 4
    budget: int = 1000
    tolerance: float = 1e-6
    unrolled: int = 60

    @classmethod
    def read(cls, params: Mapping[str, Any], trainer: Trainer) -> "Evaluation":
        """From a run's ``evaluation`` section."""
        known = set(cls.__dataclass_fields__) - {"trainer"}
        for name in params:
            if name not in known:
                raise InputError(
                    f"evaluation.{name}", "no such setting", f"known: {', '.join(sorted(known))}"
                )
        made = cls(trainer, **params)
        if not 0 < max(made.samples, made.aligned) <= made.windows:
            raise InputError("evaluation.windows", f"{made.windows} is less than what is audited or aligned")
        return made

    def __call__(self, block: EquilibriumBlock, valid: Mapping[str, Tensor]) -> dict[str, float]:
        """All metrics on the held-out windows given, NaN where nothing could be measured."""
        device = next(block.parameters()).device
        tokens, targets = valid["tokens"].to(device), valid["targets"].to(device)
        with torch.no_grad():
            root, residual, _ = self.trainer.relax(block, tokens)
            loss = float(block.cost(root, targets)) / targets.numel()
        metrics = {"loss": loss, "force_residual": float(residual.mean())}
        metrics["force_residual_worst"] = float(residual.max())
        with torch.enable_grad():
            metrics |= self._converged(block, tokens, targets)
        audit = audit_block(block, tokens[: self.samples], self.trainer.step, self.budget, self.tolerance)
        return metrics | audit.summary()

    def _converged(self, block: EquilibriumBlock, tokens: Tensor, targets: Tensor) -> dict[str, float]:
        x = block.embed(tokens).detach()
        # Single precision does not settle much below 1e-6.
        tolerance = max(self.tolerance, 3e-6)
        root, residual, _ = find_root(block, x, self.budget, tolerance)
        settled = residual < tolerance
        metrics = {"converged": float(settled.double().mean())}
        loss = float(block.cost(root, targets).detach()) / targets.numel()
        metrics["loss_converged"] = loss if bool(settled.all()) else float("nan")
        at = Equilibrium(block, x, root, torch.Generator().manual_seed(0))
        metrics["jacobian_norm"] = math.sqrt(float(JacobianNorm().penalty(at).detach()))
        few = slice(self.aligned)
        return metrics | self._alignment(
            block, tokens[few], targets[few], root[few], bool(settled[few].all())
        )

    def _alignment(
        self, block: EquilibriumBlock, tokens: Tensor, targets: Tensor, root: Tensor, settled: bool
    ) -> dict[str, float]:
        """Cosines of the run's own gradient with the exact one at the root and with that of an unrolling."""
        own = self._own_gradient(block, tokens, targets)
        metrics = {"cos_exact": float("nan")}
        if settled:
            problem = Problem(block, block.embed(tokens).detach(), root, targets)
            exact = Implicit(100).estimate(problem, self.trainer.solver, 100, 1e-5)
            reference = operator_gradient(block, surrogate(block, root, tokens, targets, exact.a_BTC))
            metrics["cos_exact"] = cosine(own, reference)
        if self.unrolled:
            unrolled, _ = bptt_loss(block, tokens, targets, self.trainer.step, self.unrolled)
            metrics["cos_bptt"] = cosine(own, operator_gradient(block, unrolled))
        return metrics

    def _own_gradient(self, block: EquilibriumBlock, tokens: Tensor, targets: Tensor) -> Tensor:
        trainer = self.trainer
        if trainer.rule == "bptt":
            loss, _ = bptt_loss(block, tokens, targets, trainer.step, trainer.free.evaluations)
            return operator_gradient(block, loss)
        root, _, _ = trainer.relax(block, tokens)
        problem = Problem(block, block.embed(tokens).detach(), root, targets)
        nudged = trainer.nudged
        solver = trainer.nudged_solver
        a = trainer.estimator.estimate(problem, solver, nudged.evaluations, nudged.tolerance).a_BTC
        return operator_gradient(block, surrogate(block, root, tokens, targets, a))

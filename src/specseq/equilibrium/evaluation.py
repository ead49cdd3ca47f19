"""What is measured of a block along its training: losses, residuals, alignment of the gradient, the spectrum.

There are two losses throughout: ``loss``, with the solver and budget of training, is what the run sees;
``loss_converged``, at the root that the audit's solver finds, measures the weights themselves.
"""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from specseq.equilibrium.audit import audit_block, find_root
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import Evaluation
from specseq.equilibrium.estimators import Problem, implicit_adjoint
from specseq.equilibrium.gradients import (
    bptt_loss,
    cosine,
    operator_gradient,
    surrogate,
    transformer_loss,
)
from specseq.equilibrium.penalty_config import JacobianNorm
from specseq.equilibrium.regularisers import Equilibrium, penalty
from specseq.equilibrium.trainer import Trainer, step_metrics
from specseq.tables.kept import NOTHING_KEPT, Kept


def evaluate(
    settings: Evaluation,
    trainer: Trainer,
    block: EquilibriumBlock,
    valid: Mapping[str, Tensor],
    kept: Kept = NOTHING_KEPT,
) -> dict[str, float]:
    """All metrics on held-out windows; NaN where a metric could not be measured.

    Args:
        trainer: whose solver, budgets and estimator are measured.
        block: its weights carry gradients.
        valid: ``tokens`` and ``targets`` of the windows.
        kept: what a call that was killed has measured.

    Shapes:
        valid: ``[B, T]`` each.
    """
    device = next(block.parameters()).device
    tokens, targets = valid["tokens"].to(device), valid["targets"].to(device)
    if trainer.run.rule == "transformer":
        with torch.no_grad():
            return {"loss": float(transformer_loss(block, tokens, targets))}
    metrics = kept.numbers("free", partial(_free, trainer, block, tokens, targets))
    converged = partial(_converged, settings, trainer, block, tokens, targets, kept)
    metrics |= kept.numbers("converged", converged)
    audited = tokens[: settings.samples]
    audit = audit_block(block, audited, trainer.step, settings.budget, settings.tolerance, kept, "evaluated")
    return metrics | audit.summary()


@torch.no_grad()
def _free(trainer: Trainer, block: EquilibriumBlock, tokens: Tensor, targets: Tensor) -> dict[str, float]:
    free = trainer.relax(block, tokens)
    loss = float(block.cost(free.state, targets)) / targets.numel()
    metrics = {"loss": loss, "force_residual": float(free.residual_B.mean())}
    metrics["force_residual_worst"] = float(free.residual_B.max())
    return metrics | step_metrics("free", free.facts)


@torch.enable_grad()
def _converged(
    settings: Evaluation,
    trainer: Trainer,
    block: EquilibriumBlock,
    tokens: Tensor,
    targets: Tensor,
    kept: Kept,
) -> dict[str, float]:
    x = block.embed(tokens).detach()
    # In single precision the residual does not fall much below 1e-6.
    tolerance = max(settings.tolerance, 3e-6)
    root, residual, _ = find_root(block, x, settings.budget, tolerance, kept, "converged")
    settled = residual <= tolerance
    metrics = {"converged": float(settled.double().mean())}
    loss = float(block.cost(root, targets).detach()) / targets.numel()
    metrics["loss_converged"] = loss if bool(settled.all()) else float("nan")
    at = Equilibrium(block, x, root, torch.Generator().manual_seed(0))
    metrics["jacobian_norm"] = math.sqrt(float(penalty(JacobianNorm(weight=1), at).detach()))
    few = slice(settings.aligned)
    settled_few = bool(settled[few].all())
    return metrics | _alignment(
        settings, trainer, block, tokens[few], targets[few], root[few] if settled_few else None
    )


def _alignment(
    settings: Evaluation,
    trainer: Trainer,
    block: EquilibriumBlock,
    tokens: Tensor,
    targets: Tensor,
    root: Tensor | None,
) -> dict[str, float]:
    """Cosines of the run's own gradient with the exact one at the root and with the unrolled one."""
    own = _own_gradient(trainer, block, tokens, targets)
    metrics = {"cos_exact": float("nan")}
    if root is not None:
        problem = Problem(block, block.embed(tokens).detach(), root, targets)
        exact = implicit_adjoint(problem, 1e-5, 100)
        reference = operator_gradient(block, surrogate(block, root, tokens, targets, exact.a_BTC))
        metrics["cos_exact"] = cosine(own, reference)
    if settings.unrolled:
        unrolled, _ = bptt_loss(block, tokens, targets, trainer.step, settings.unrolled)
        metrics["cos_bptt"] = cosine(own, operator_gradient(block, unrolled))
    return metrics


def _own_gradient(trainer: Trainer, block: EquilibriumBlock, tokens: Tensor, targets: Tensor) -> Tensor:
    """The gradient that training by the run's rule would use."""
    if trainer.run.rule == "bptt":
        loss, _ = bptt_loss(block, tokens, targets, trainer.step, trainer.run.free.evaluations)
        return operator_gradient(block, loss)
    root = trainer.relax(block, tokens).state
    x, products = block.embed(tokens).detach(), trainer.run.nudged.products
    a_BTC = trainer.adjoint(Problem(block, x, root, targets, products)).a_BTC
    return operator_gradient(block, surrogate(block, root, tokens, targets, a_BTC))

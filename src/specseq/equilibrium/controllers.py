"""Controls of training besides the penalties: norm caps, the gate and the adaptive penalty weight."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.penalty_config import Penalty


class NormCaps:
    """Caps the norm of each matrix at a multiple of its initial norm, after every optimiser step.

    With normalised queries, keys and inputs this bounds every gain in J_nc, hence |Im μ|, from above.
    """

    def __init__(self, block: EquilibriumBlock, factor: float) -> None:
        """
        Args:
            factor: largest norm allowed, in units of the initial one.
        """
        self.factor = factor
        names = (*block.operator_names(), "readout")
        self.first = {name: getattr(block, name).detach().norm().item() for name in names}

    @torch.no_grad()
    def apply(self, block: EquilibriumBlock) -> int:
        """Apply the caps; returns how many matrices were at theirs."""
        capped = 0
        weights: list[Tensor] = [getattr(block, name) for name in self.first]
        # One transfer for all of them: each one stalls an accelerator.
        norms = torch.stack([weight.norm() for weight in weights]).tolist()
        for weight, norm, first in zip(weights, norms, self.first.values(), strict=True):
            ratio = norm / (self.factor * first)
            if ratio > 1:
                weight /= ratio
                capped += 1
        return capped

    def after_step(self, block: nn.Module, step: int) -> dict[str, float]:
        """Apply the caps, as the training loop calls it."""
        return {"capped": float(self.apply(block))}  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """The initial norms."""
        return {"first": dict(self.first)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the norms of the resumed run."""
        self.first = dict(state["first"])


class AdaptiveWeight:
    """A penalty's weight; with a target it grows while the free phase settles badly and shrinks otherwise."""

    def __init__(self, settings: Penalty) -> None:
        self.weight, self.settings = settings.weight, settings

    def update(self, residual: float) -> None:
        """Adjust the weight after a step whose free phase ended with this force residual."""
        bounds = self.settings
        if bounds.target is None:
            return
        # A residual of NaN counts as above the target.
        factor = bounds.rate if not residual <= bounds.target else 1 / bounds.rate
        self.weight = min(max(self.weight * factor, bounds.floor), bounds.ceiling)


def gate(residual_B: Tensor, largest: float | None) -> Tensor:
    """Which samples may enter the gradient: those with a residual up to ``largest``; None admits all."""
    return torch.ones_like(residual_B, dtype=torch.bool) if largest is None else residual_B <= largest

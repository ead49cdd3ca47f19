"""What keeps training in bounds besides penalties: weight caps, the gate and the adaptive weight."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import Penalty


class NormCaps:
    """Projects each matrix back to a multiple of the norm it began with, after every optimiser step.

    With normalised queries, keys and inputs this bounds every gain in J_nc, hence |Im μ|, from above.
    """

    def __init__(self, block: EquilibriumBlock, factor: float) -> None:
        """
        Args:
            block: as initialised.
            factor: largest norm allowed, in units of the initial one.
        """
        self.factor = factor
        names = (*block.operator_names(), "readout")
        self.first = {name: getattr(block, name).detach().norm().item() for name in names}

    @torch.no_grad()
    def apply(self, block: EquilibriumBlock) -> int:
        """Project; returns how many matrices were at their cap."""
        capped = 0
        weights: list[Tensor] = [getattr(block, name) for name in self.first]
        # One answer for all of them: each question stalls an accelerator.
        norms = torch.stack([weight.norm() for weight in weights]).tolist()
        for weight, norm, first in zip(weights, norms, self.first.values(), strict=True):
            ratio = norm / (self.factor * first)
            if ratio > 1:
                weight /= ratio
                capped += 1
        return capped

    def state_dict(self) -> dict[str, Any]:
        """The initial norms."""
        return {"first": dict(self.first)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the norms of the run that is resumed."""
        self.first = dict(state["first"])


class AdaptiveWeight:
    """A penalty's weight; with a target it grows while the free phase settles badly and shrinks while well.

    Attributes:
        weight: the weight in force.
        settings: target, rate and bounds.
    """

    def __init__(self, settings: Penalty) -> None:
        self.weight, self.settings = settings.weight, settings

    def update(self, residual: float) -> None:
        """Move after a step whose free phase left this force residual."""
        bounds = self.settings
        if bounds.target is None:
            return
        # A residual that is not a number is as bad as can be.
        factor = bounds.rate if not residual <= bounds.target else 1 / bounds.rate
        self.weight = min(max(self.weight * factor, bounds.floor), bounds.ceiling)

    def state_dict(self) -> dict[str, Any]:
        """The weight."""
        return {"weight": self.weight}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the weight of the run that is resumed."""
        self.weight = float(state["weight"])


class RandomDirections:
    """The generator of random directions, kept by the checkpoint."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the resumed run was."""
        self.generator.set_state(state["generator"])


def gate(residual_B: Tensor, largest: float | None) -> Tensor:
    """Which samples of a batch may teach: those whose force residual is at most ``largest``; None is all."""
    return torch.ones_like(residual_B, dtype=torch.bool) if largest is None else residual_B <= largest

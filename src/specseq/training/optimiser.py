"""AdamW with weight decay where it belongs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from specseq.training.schedule import factor
from specseq.training.spec import TrainingSpec
from specseq.training.task import Task


def default_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups: matrices, which decay, and norms, biases, embeddings and other vectors, which do not."""
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        vector = parameter.ndim < 2 or name.endswith("bias") or id(parameter) in embeddings
        (kept if vector else decayed).append(parameter)
    return [{"params": decayed}, {"params": kept, "weight_decay": 0.0}]


class Optimiser:
    """AdamW, its learning-rate schedule and the clipping of gradients."""

    def __init__(self, task: Task, spec: TrainingSpec) -> None:
        groups = (task.parameter_groups or default_groups)(task.model)
        self.spec = spec
        self.groups = _with_scales(groups)
        self.parameters = [parameter for group in self.groups for parameter in group["params"]]
        self.adamw = torch.optim.AdamW(
            self.groups,
            lr=spec.lr,
            betas=spec.betas,
            eps=spec.eps,
            weight_decay=spec.weight_decay,
            fused=True,
        )

    def clip(self) -> float:
        """Scale gradients down to the clipping norm; returns their norm before."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.spec.clip > 0:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.spec.clip, norm)
        return float(norm)

    def step(self, step: int) -> float:
        """Take optimiser step ``step`` (0 for the first); returns its learning rate."""
        rate = self.spec.lr * factor(step, self.spec)
        for group in self.adamw.param_groups:
            group["lr"] = rate * group["lr_scale"]
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Moments and step counts."""
        return self.adamw.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.adamw.load_state_dict(state)


def _with_scales(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    filled = []
    for group in groups:
        parameters = [p for p in group["params"] if p.requires_grad]
        if parameters:
            filled.append({"lr_scale": 1.0, **group, "params": parameters})
    return filled

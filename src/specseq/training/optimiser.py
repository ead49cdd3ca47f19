"""AdamW and Muon with weight decay on matrices, the learning-rate schedule and gradient clipping."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task

MOMENTUM = 0.95
"""Decay rate of Muon's momentum, as published."""
# Coefficients of the published quintic iteration: steepest at 0, without convergence to exactly 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


def default_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two parameter groups: matrices with weight decay; norms, biases, embeddings, vectors without."""
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


class AdamW:
    """torch's fused AdamW without its ``Optimizer`` class, whose constructor imports the compiler.

    That import takes longer than training a small run. Updates and the layout of the state are torch's.
    Groups with ``orthogonal: True`` hold matrices updated by Muon, the orthogonalised Nesterov momentum
    (Jordan et al. 2024), at the rates of AdamW (Liu et al., arXiv:2502.16982).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **defaults: Any) -> None:
        """
        Args:
            groups: mappings with ``params`` and the settings that differ from the defaults.
        """
        self.param_groups = [{**defaults, **group} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if not parameters:
                continue
            (self._turn if group.get("orthogonal") else self._update)(group, parameters, gradients)

    def _update(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        states = [self._state_of(parameter) for parameter in parameters]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _turn(self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """A step of Muon, scaled to the root mean square of AdamW's steps (.2)."""
        states = [self.state.setdefault(p, {}) for p in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
        momenta = [state["momentum"] for state in states]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        directions = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        for parameter, pair in zip(parameters, _orthogonal_pairs(directions), strict=True):
            rate = 0.2 * max(parameter.shape) ** 0.5 * group["lr"]
            parameter.addmm_(*pair, beta=1 - group["lr"] * group["weight_decay"], alpha=-rate)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Moments by parameter number, and the groups with numbers for parameters."""
        number = {parameter: place for place, parameter in enumerate(self._parameters())}
        groups = [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {number[p]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; moments move to their parameters' devices."""
        parameters = self._parameters()
        for group, given in zip(self.param_groups, state["param_groups"], strict=True):
            group.update({name: value for name, value in given.items() if name != "params"})
        self.state = {
            parameters[int(place)]: {
                name: moment.to(parameters[int(place)].device, copy=True) for name, moment in moments.items()
            }
            for place, moments in state["state"].items()
        }

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        return self.state[parameter]


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Matrices with the singular vectors of the given ones and singular values near 1.

    Singular values that are not tiny compared with the norm end between .7 and 1.2.

    Shapes:
        matrices: ``(m, n)`` each, like the result.
    """
    return [left @ right for left, right in _orthogonal_pairs(matrices)]


def _orthogonal_pairs(matrices: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The factors of the orthogonalised matrices: each matrix and a symmetric one on its smaller side.

    The Newton-Schulz iteration X <- (A + B G + C G²) X with G = X Xᵀ runs on G alone, for all matrices with
    the same smaller side at once. This halves the operations for a matrix three times as long as wide. G also
    has the norm of X, the root of its trace.
    """
    tall = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
    places = defaultdict(list)
    for place, matrix in enumerate(matrices):
        places[min(matrix.shape)].append(place)
    factors: dict[int, Tensor] = {}
    for side, alike in places.items():
        gram = matrices[alike[0]].new_empty(len(alike), side, side)
        for place, one in zip(alike, gram, strict=True):
            matrix = matrices[place]
            torch.mm(*((matrix.mT, matrix) if tall[place] else (matrix, matrix.mT)), out=one)
        norm = gram.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt_().clamp_(min=1e-7)[:, None, None]
        gram /= norm.square()
        product = gram.new_empty(0)
        for step in range(_STEPS):
            polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
            polynomial.diagonal(dim1=-2, dim2=-1).add_(_A)
            product = torch.bmm(polynomial, product) if step else polynomial
            if step < _STEPS - 1:
                gram = torch.bmm(torch.bmm(polynomial, gram), polynomial)
        factors.update(zip(alike, product.div_(norm), strict=True))
    return [
        (matrix, factors[place]) if tall[place] else (factors[place], matrix)
        for place, matrix in enumerate(matrices)
    ]


class Optimiser:
    """AdamW or Muon with its learning-rate schedule and gradient clipping."""

    def __init__(self, task: Task, settings: TrainingSettings) -> None:
        groups = (task.parameter_groups or default_groups)(task.model)
        self.settings = settings
        self.groups = _with_scales(groups)
        if settings.optimiser == "muon":
            self.groups = _with_matrices_apart(self.groups, task.model)
        self.parameters = [parameter for group in self.groups for parameter in group["params"]]
        self.adamw = AdamW(
            self.groups,
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
        )

    def clip(self) -> float:
        """Scale gradients down to the clipping norm; returns their norm before scaling."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not gradients:
            return 0.0
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self.settings.clip > 0:
            torch._foreach_mul_(gradients, (self.settings.clip / (norm + 1e-6)).clamp_(max=1))
        return float(norm)

    def step(self, step: int) -> float:
        """Take optimiser step ``step`` (0 for the first); returns its learning rate."""
        rate = self.settings.lr * factor(step, self.settings)
        for group in self.adamw.param_groups:
            group["lr"] = rate * group["lr_scale"]
        self.adamw.step()
        self.adamw.zero_grad()
        return rate


def factor(step: int, settings: TrainingSettings) -> float:
    """Learning rate as a fraction of its peak at optimiser step ``step`` (0 is the first).

    Warm-up is linear, ``step / warmup``, so the first step of a run with warm-up has rate 0, as in the
    published runs (MOIRAI uses the scheduler of transformers).
    """
    if settings.schedule == "constant":
        return 1.0
    warmup = settings.warmup_steps
    if step < warmup:
        return step / warmup
    if settings.schedule == "warmup":
        return 1.0
    progress = (step - warmup) / max(1, settings.steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if progress >= 1:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * ((progress * settings.cycles) % 1)))


def _with_scales(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    trained = [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    return [{"lr_scale": 1.0, **group} for group in trained if group["params"]]


def _with_matrices_apart(groups: Iterable[dict[str, Any]], model: nn.Module) -> list[dict[str, Any]]:
    """Move the weights of linear layers to separate groups, marked ``orthogonal``."""
    linear = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    if not linear:
        fault = "muon turns weights of linear layers, and there are none"
        raise InputError("training.optimiser", fault, "use adamw")
    parts = [
        {
            **group,
            "orthogonal": matrices,
            "params": [p for p in group["params"] if (id(p) in linear) == matrices],
        }
        for group in groups
        for matrices in (True, False)
    ]
    return [part for part in parts if part["params"]]

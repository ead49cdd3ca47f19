"""What the zeta study trains: a spacing model on windows of spacings, by the likelihood of its mixture.

Run parameters read here: ``seed``, ``model``, ``loss`` and ``data`` (classes of
:mod:`specseq.spacings.config`), and ``training.batch``. Input: ``spacings``, the manifest of the sets.

Shapes: B window, L spacing.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.seeding import generator, stream_seed
from specseq.settings import plain, read
from specseq.spacings.config import SpacingData, SpacingLoss, SpacingModelConfig
from specseq.spacings.imports import import_spacings
from specseq.spacings.law import training_law
from specseq.spacings.mixture import Mixture
from specseq.spacings.model import SpacingModel, cap_norms, memory_similarity
from specseq.spacings.own_rollouts import own_rollout_nll
from specseq.spacings.sets import SpacingSet, load_spacing_set
from specseq.training.initial import check_same, start_of
from specseq.training.task import Task


class WindowStream:
    """Endless batches of windows drawn uniformly from a spacing set, each inside one segment.

    A batch is ``{"spacings": (B, L) float32, "height": (B,) float32}``.
    """

    def __init__(
        self, spacings: SpacingSet, length: int, batch: int, seed: int, limit: int | None = None
    ) -> None:
        """Draw windows of ``length`` spacings.

        Args:
            limit: use only this many of the last spacings (whole segments where the set has several).
        """
        self.set, self.length, self.batch = spacings, length, batch
        self.segments = len(spacings) // spacings.segment
        self.first = 0
        if limit is not None and limit < len(spacings):
            if limit < length:
                raise InputError("data.limit", f"{limit} is less than a window of {length}", "raise it")
            if self.segments > 1:
                self.first = (self.segments - max(1, limit // spacings.segment)) * spacings.segment
            else:
                self.first = len(spacings) - limit
        self.rng = generator(seed, "windows")

    def __next__(self) -> dict[str, Tensor]:
        room = self.set.segment - self.length
        if self.segments == 1:
            starts = self.rng.integers(self.first, room + 1, self.batch)
        else:
            segment = self.rng.integers(self.first // self.set.segment, self.segments, self.batch)
            starts = segment * self.set.segment + self.rng.integers(0, room + 1, self.batch)
        return as_batch(self.set, starts, self.length)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


def as_batch(spacings: SpacingSet, starts: np.ndarray, length: int) -> dict[str, Tensor]:
    """Windows from the given starts as tensors."""
    return {
        "spacings": torch.from_numpy(spacings.windows(starts, length)),
        "height": torch.from_numpy(spacings.height(starts).astype(np.float32)),
    }


def predictions(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Mixture, Tensor]:
    """The mixtures of each spacing after the first, batch shape (B, L-1), and those spacings."""
    return model(batch["spacings"], batch["height"])[:, :-1], batch["spacings"][:, 1:]


def total_loss(
    model: nn.Module, batch: Mapping[str, Tensor], terms: SpacingLoss
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch with bonus and penalty, and its parts; ``weight`` is the number of spacings."""
    mixture, truth = predictions(model, batch)
    nll, entropy = -mixture.log_prob(truth).mean(), mixture.weight_entropy().mean()
    total = nll - terms.entropy_weight * entropy
    metrics = {"nll": float(nll.detach()), "weight_entropy": float(entropy.detach())}
    metrics["weight"] = float(truth.numel())
    if terms.diversity_weight:
        similarity = memory_similarity(model.get_parameter("memory"))
        total = total + terms.diversity_weight * similarity
        metrics["memory_similarity"] = float(similarity.detach())
    if terms.rollout_horizon:
        s_BL, height_B = batch["spacings"], batch["height"]
        own = own_rollout_nll(model, s_BL, height_B, terms.rollout_horizon, terms.rollout_feedback)
        total = total + terms.rollout_weight * own
        metrics["rollout_nll"] = float(own.detach())
    return total, metrics


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """Model, windows and loss of a run.

    Raises:
        InputError: a parameter is unknown or doesn't fit the spacing sets.
    """
    config = read(SpacingModelConfig, params["model"], "model")
    terms = read(SpacingLoss, params.get("loss", {}), "loss")
    data = read(SpacingData, params.get("data", {}), "data")
    terms.check(config)
    name, seed = data.set, int(params["seed"])
    train = load_spacing_set(inputs["spacings"], name, "train")
    selection = load_spacing_set(inputs["spacings"], name, "selection")
    for part in (train, selection):
        if part.segment < config.length:
            fault = f"{config.length} is more than {part.name} has in a row, {part.segment} spacings"
            raise InputError("model.length", fault, "shorten it, or use more zeros or larger matrices")
    stream = WindowStream(train, config.length, int(params["training"]["batch"]), seed, data.limit)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "model"))
        model = SpacingModel(config)
    if config.gate and model.gate:
        model.gate.fit(training_law(train, config.gate.spacings, "model.gate"))
    start = start_of(params, inputs, lambda source: import_spacings(Path(source)))
    if start is not None and start.diverged is None:
        theirs = read(SpacingModelConfig, start.params.get("model"), f"{start.where}: model")
        check_same(
            start, plain(theirs), plain(config), ("dropout", "slot_dropout", "slot_norm", "spread_means")
        )
        model.load_state_dict(dict(start.tensors))
    held_out = as_batch(selection, selection.starts(config.length, data.selection), config.length)

    def loss(model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        return total_loss(model, batch, terms)

    @torch.no_grad()
    def evaluate(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        scores: list[Tensor] = []
        for rows in torch.arange(len(held_out["spacings"])).split(64):
            mixture, truth = predictions(
                model, {key: part[rows].to(device) for key, part in held_out.items()}
            )
            error = (mixture.expectation() - truth).abs()
            scores.append(torch.stack([-mixture.log_prob(truth), error, mixture.weight_entropy()], -1).cpu())
        nll, mae, entropy = torch.cat(scores).double().mean((0, 1)).tolist()
        return {"nll": nll, "mae": mae, "weight_entropy": entropy}

    def after_step(model: nn.Module, step: int) -> dict[str, float]:
        cap_norms(model.get_parameter("memory"), config.slot_norm)
        return {}

    def groups(model: nn.Module) -> Iterable[dict[str, Any]]:
        named = [(name, p) for name, p in model.named_parameters() if name != "memory"]
        yield {"params": [p for _, p in named if p.dim() > 1]}
        yield {"params": [p for _, p in named if p.dim() <= 1], "weight_decay": 0.0}
        if config.slots:
            yield {
                "params": [model.get_parameter("memory")],
                "weight_decay": 0.0,
                "lr_scale": terms.memory_lr_scale,
            }

    return Task(
        model,
        stream,
        loss,
        evaluate=evaluate,
        parameter_groups=groups,
        after_step=after_step if config.slots else None,
        diverged=start.diverged if start else None,
    )

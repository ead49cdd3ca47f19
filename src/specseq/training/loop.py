"""The one training loop: optimiser, schedule, checkpoints, resume, logging; the same for every model.

A run that was killed and started again ends bit for bit (on a CPU, with the same number of threads) where an
undisturbed one ends: weights, moments, generators, position in the data, recorded metrics.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from specseq.errors import Diverged, InputError
from specseq.progress import Progress
from specseq.series.prefetch import Prefetched
from specseq.settings import read
from specseq.training import randomness
from specseq.training.batches import Parts
from specseq.training.checkpoint import Checkpoints
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.optimiser import Optimiser
from specseq.training.parallel import World
from specseq.training.record import Record
from specseq.training.scalars import Scalars
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        record: metrics, step by step.
        step: optimiser steps taken.
        diverged: why the run was ended early; None where it was not.
        resumed_from: the step of the checkpoint it went on from; 0 where it began anew.
        device: what it ran on.
        seconds: wall time of this process' part.
    """

    record: Record
    step: int = 0
    diverged: str | None = None
    resumed_from: int = 0
    device: str = "cpu"
    seconds: float = 0.0


def train(
    task: Task,
    params: Mapping[str, Any],
    folder: Path,
    digest: str,
    *,
    world: World | None = None,
    device: torch.device | None = None,
    requests: Requests | None = None,
) -> Outcome:
    """Train a task to its last step, going on from the newest checkpoint in ``folder`` if there is one.

    ``task.loss`` may return a metric called ``weight``: the number of terms of which its scalar is the mean.
    Parts of a batch (micro-batches, processes) are then combined so that the whole batch's mean is minimised.

    Args:
        task: model, batches and loss; the model is trained in place.
        params: the run's parameters; ``seed`` and ``training`` are read.
        folder: where checkpoints and TensorBoard scalars go.
        digest: of everything that decides the run; a checkpoint of another digest is not used.
        world: the processes of a data-parallel run.
        device: where to compute; by default the accelerator of this process, or the CPU.
        requests: heeded at the end of each step.

    Raises:
        InputError: the training section of the parameters is wrong.
        Interrupted: ``requests.leave`` was set; the state is saved.
    """
    spec = read(TrainingSettings, params.get("training"), "training")
    if task.gradients is not None and spec.micro_batches > 1:
        raise InputError(
            "training.micro_batches", "more than 1 for a rule that sets gradients itself", "use 1"
        )
    world = world or World()
    if spec.micro_batches * world.size > spec.batch:
        raise InputError(
            "training.micro_batches",
            f"{spec.micro_batches} on each of {world.size} processes are more than the batch of {spec.batch}",
            "use fewer",
        )
    device = device or world.device
    return _Training(
        task, spec, int(params.get("seed", 0)), folder, digest, world, device, requests or Requests()
    ).run()


@dataclass
class _Training:
    task: Task
    spec: TrainingSettings
    seed: int
    folder: Path
    digest: str
    world: World
    device: torch.device
    requests: Requests
    record: Record = field(default_factory=Record)
    step: int = 0
    diverged: str | None = None

    def __post_init__(self) -> None:
        randomness.seed_all(self.seed, "training")
        self.model = self.task.model.to(self.device).train()
        self.compiled: nn.Module = self.model
        if self.spec.compile:
            self.compiled = cast(nn.Module, torch.compile(self.model))
        self.optimiser = Optimiser(self.task, self.spec)
        self.checkpoints = Checkpoints(self.folder, self.digest)
        pieces = self.spec.micro_batches
        mine = range(self.world.rank * pieces, (self.world.rank + 1) * pieces)
        self.batches: Parts | Prefetched = Parts(
            self.task.batches, mine, self.world.size * pieces, self.device
        )
        ahead = self.spec.prefetch if self.spec.prefetch is not None else 2 * (self.device.type == "cuda")
        if ahead:
            self.batches = Prefetched(self.batches, ahead)
        self.saved_at = time.monotonic()
        reduced = self.spec.precision == "bfloat16" or (
            self.spec.precision == "auto" and self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        self.autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=reduced)

    def run(self) -> Outcome:
        try:
            return self._run()
        finally:
            if isinstance(self.batches, Prefetched):
                self.batches.close()

    def _run(self) -> Outcome:
        began, name = time.monotonic(), str(self.device)
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        resumed_from = self._resume()
        self.diverged = self.diverged or self.task.diverged
        progress = Progress(self.spec.steps, done=self.step)
        with Scalars(
            self.folder / "tensorboard", self.step, self.spec.tensorboard and self.world.leads
        ) as log:
            self.requests.heeded = True
            while self.step < self.spec.steps and self.diverged is None:
                metrics = self._advance()
                if self.diverged is not None:
                    break
                if self.step % self.spec.log_every == 0 or self.step == self.spec.steps:
                    self.record.add(self.step, metrics)
                    log.add(self.step, metrics)
                if self._due(self.spec.evaluate_every) or self.step == self.spec.steps:
                    log.add(self.step, self._evaluate())
                if self.world.leads:
                    progress.update(self.step, loss=metrics["loss"])
                self._heed_requests()
            self.requests.heeded = False
            if self.diverged is not None and self.world.leads:
                print(f"diverged: {self.diverged}", flush=True)
        if self.step > resumed_from or self.diverged is not None:
            self._save()
        return Outcome(self.record, self.step, self.diverged, resumed_from, name, time.monotonic() - began)

    def _advance(self) -> dict[str, float]:
        """One optimiser step; a loss or gradient that is not finite leaves the weights as they were."""
        try:
            metrics = self._gradients()
            if not math.isfinite(metrics["loss"]):
                raise Diverged(f"the loss is {metrics['loss']} at step {self.step + 1}")
            metrics["grad_norm"] = self.optimiser.clip()
            if not math.isfinite(metrics["grad_norm"]):
                raise Diverged(f"the gradient's norm is {metrics['grad_norm']} at step {self.step + 1}")
            metrics["lr"] = self.optimiser.step(self.step)
            self.step += 1
            if self.task.after_step is not None:
                metrics |= self.task.after_step(self.model, self.step)
        except Diverged as error:
            self.diverged = str(error)
            return {}
        return metrics

    def _gradients(self) -> dict[str, float]:
        """Fill ``.grad`` from the next batch; metrics of the whole batch, ``loss`` first."""
        pieces = self.spec.micro_batches
        parts = self.world.size * pieces
        weight, sums = 0.0, dict[str, float]()
        failed: Diverged | None = None
        try:
            for part in next(self.batches):
                metrics, of_part = self._gradients_of(part, scale=pieces > 1)
                weight += of_part
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + value * of_part
        except Diverged as error:
            failed = error
        self._agree(failed)
        if parts == 1:
            return metrics
        # A part may hold nothing that the loss wants.
        mean = 1 / weight if weight else 0.0
        if pieces > 1:
            for parameter in self.optimiser.parameters:
                if parameter.grad is not None:
                    parameter.grad *= mean
        total = self.world.total(weight)
        share = weight / total if total else 1 / self.world.size
        self.world.combine_gradients(self.optimiser.parameters, share)
        return self.world.combine_metrics({name: value * mean for name, value in sums.items()}, share)

    def _agree(self, failed: Diverged | None) -> None:
        """End every process' step if that of one has failed: none may wait for it in vain."""
        if self.world.any(failed is not None):
            raise failed or Diverged(f"another process diverged at step {self.step + 1}")

    def _gradients_of(self, batch: Any, scale: bool) -> tuple[dict[str, float], float]:
        if self.task.gradients is not None:
            with self.autocast:
                metrics = dict(self.task.gradients(self.compiled, batch))
            return metrics, metrics.pop("weight", 1.0)
        assert self.task.loss is not None
        with self.autocast:
            loss, given = self.task.loss(self.compiled, batch)
        metrics = {"loss": float(loss.detach()), **given}
        weight = metrics.pop("weight", 1.0)
        (loss * weight if scale else loss).backward()
        return metrics, weight

    def _evaluate(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        failed: Diverged | None = None
        if self.world.leads:
            self.model.eval()
            try:
                with randomness.untouched(), torch.no_grad():
                    found = self.task.evaluate(self.model)
                metrics = {f"valid/{name}": value for name, value in found.items()}
                self.record.add(self.step, metrics)
            except Diverged as error:
                failed = error
            self.model.train()
        try:
            self._agree(failed)
        except Diverged as error:
            self.diverged = str(error)
        return metrics

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _heed_requests(self) -> None:
        leave = self.world.any(self.requests.leave)
        overdue = 0 < self.spec.checkpoint_minutes * 60 <= time.monotonic() - self.saved_at
        asked = leave or self.world.any(self.requests.save or overdue)
        if (asked or self._due(self.spec.checkpoint_every)) and self.step < self.spec.steps:
            self.requests.save = False
            self._save()
        if leave and self.step < self.spec.steps:
            raise Interrupted(f"left at step {self.step} of {self.spec.steps}")

    def _save(self) -> None:
        """Write a checkpoint; a disk that cannot take it costs the checkpoint, not the run."""
        self.saved_at = time.monotonic()
        generators = self.world.gathered(randomness.capture())
        if not self.world.leads:
            return
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "randomness": generators,
            "batches": self.batches.state_dict(),
            "others": {name: other.state_dict() for name, other in self.task.state.items()},
            "record": self.record.state_dict(),
            "diverged": self.diverged,
        }
        try:
            self.checkpoints.save(self.step, state)
        except OSError as error:
            print(f"no checkpoint written at step {self.step}: {error}", flush=True)

    def _resume(self) -> int:
        found = self.checkpoints.load()
        if found is None:
            return 0
        self.step, state = found
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.batches.load_state_dict(state["batches"])
        for name, other in self.task.state.items():
            other.load_state_dict(state["others"][name])
        self.record.load_state_dict(state["record"])
        self.diverged = state["diverged"]
        generators = state["randomness"]
        # Where there are more processes than before, some start from another's state.
        randomness.restore(generators[self.world.rank % len(generators)])
        if self.world.leads:
            print(f"resumed at step {self.step} of {self.spec.steps}", flush=True)
        return self.step

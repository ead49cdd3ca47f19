"""The training loop of every model: optimiser, schedule, checkpoints, resume, logging.

A run that was killed and started again ends bit for bit (on a CPU, with the same number of threads) where an
uninterrupted one ends: weights, moments, random generators, position in the data, recorded metrics.
"""

import math
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from specseq.errors import Diverged, InputError
from specseq.progress import Progress
from specseq.settings import read
from specseq.training import randomness
from specseq.training.ahead import Loaders, Prefetched
from specseq.training.batches import Parts, Placed
from specseq.training.checkpoint import Checkpoints
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.memory import keep_freed_memory
from specseq.training.optimiser import Optimiser
from specseq.training.parallel import World
from specseq.training.record import Record, tensorboard
from specseq.training.settings import TrainingSettings
from specseq.training.task import BatchStream, Task
from specseq.training.timing import StepTimes


@dataclass
class Outcome:
    """Result of a training run.

    Attributes:
        diverged: why the run was ended early; None if it was not.
        resumed_from: step of the checkpoint it resumed from; 0 without one.
        seconds: wall time since it was started or resumed.
        costs: seconds per step without evaluations, the share of them spent waiting for batches, seconds per
            evaluation, and peak memory in MB.
    """

    record: Record
    step: int = 0
    diverged: str | None = None
    resumed_from: int = 0
    device: str = "cpu"
    seconds: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)


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
    """Train a task to its last step, from the newest checkpoint in ``folder`` if there is one.

    ``task.loss`` may return a metric ``weight``: the number of terms that its scalar is the mean of. Parts of
    a batch (micro-batches, processes) are then combined so that the mean over the whole batch is minimised.

    Args:
        task: model, batches and loss; the model is trained in place.
        params: the run's parameters; ``seed`` and ``training`` are read.
        folder: where checkpoints and TensorBoard scalars go.
        digest: digest of everything that decides the run; checkpoints of another digest are not used.
        world: the processes of a data-parallel run.
        device: where to compute; by default the accelerator of this process, else the CPU.
        requests: external requests, acted on at the end of each step.

    Raises:
        InputError: the training section of the parameters is invalid, or a step does not fit into the GPU.
        Interrupted: ``requests.leave`` was set; the state is saved.
    """
    settings = read(TrainingSettings, params.get("training"), "training")
    if task.gradients is not None and settings.micro_batches > 1:
        fault = "more than 1 for a rule that sets gradients itself"
        raise InputError("training.micro_batches", fault, "use 1")
    world = world or World()
    if settings.micro_batches * world.size > settings.batch:
        parts = f"{settings.micro_batches} on each of {world.size} processes"
        fault = f"{parts} are more than the batch of {settings.batch}"
        raise InputError("training.micro_batches", fault, "use fewer")
    device = device or world.device
    return _Training(
        task, settings, int(params.get("seed", 0)), folder, digest, world, device, requests or Requests()
    ).run()


@dataclass
class _Training:
    task: Task
    settings: TrainingSettings
    seed: int
    folder: Path
    digest: str
    world: World
    device: torch.device
    requests: Requests
    record: Record = field(default_factory=Record)
    step: int = 0
    diverged: str | None = None
    resumed_from: int = 0
    times: StepTimes = field(default_factory=StepTimes)
    due: bool = False  # whether the evaluation of this step is still outstanding

    def __post_init__(self) -> None:
        keep_freed_memory()
        randomness.seed_all(self.seed, "training")
        self.model = self.task.model.to(self.device).train()
        self.compiled: nn.Module = self.model
        if self.settings.compile:
            self.compiled = cast(nn.Module, torch.compile(self.model))
        self.optimiser = Optimiser(self.task, self.settings)
        self.checkpoints = Checkpoints(self.folder, self.digest)
        pieces = self.settings.micro_batches
        mine = range(self.world.rank * pieces, (self.world.rank + 1) * pieces)
        parts: BatchStream = Parts(self.task.batches, mine, self.world.size * pieces, self.device)
        self.loaders = Loaders(parts, self.settings.loaders) if self.settings.loaders else None
        self.batches: Placed | Prefetched = Placed(self.loaders or parts, self.device)
        ahead = self.settings.prefetch
        if ahead is None:
            ahead = 2 if self.device.type == "cuda" else 0
        if ahead:
            self.batches = Prefetched(self.batches, ahead)
        self.saved_at = time.monotonic()
        reduced = self.settings.precision == "bfloat16" or (
            self.settings.precision == "auto"
            and self.device.type == "cuda"
            and torch.cuda.is_bf16_supported()
        )
        if self.device.type == "cuda":
            rounded = self.settings.precision == "tf32"
            torch.backends.cuda.matmul.fp32_precision = "tf32" if rounded else "ieee"
        self.autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=reduced)

    def run(self) -> Outcome:
        try:
            return self._run()
        except torch.OutOfMemoryError as error:
            raise self._too_large(error) from None
        finally:
            if isinstance(self.batches, Prefetched):
                self.batches.close()
            if self.loaders is not None:
                self.loaders.close()

    def _run(self) -> Outcome:
        began, name = time.monotonic(), str(self.device)
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        self.resumed_from = self._resume()
        self.diverged = self.diverged or self.task.diverged
        progress = Progress(self.settings.steps, done=self.step)
        watched = self.settings.tensorboard and self.world.leads
        with tensorboard(self.folder / "tensorboard", self.step, watched) as log:
            self.requests.watched = True
            if self.due:
                log(self.step, self._evaluate())
            while self.step < self.settings.steps and self.diverged is None:
                with self.times.step():
                    metrics = self._advance()
                if self.diverged is not None:
                    break
                if self.step % self.settings.log_every == 0 or self.step == self.settings.steps:
                    self.record.add(self.step, metrics)
                    log(self.step, metrics)
                if self._due(self.settings.evaluate_every) or self.step == self.settings.steps:
                    log(self.step, self._evaluate())
                if self.world.leads:
                    progress.update(self.step, loss=metrics["loss"])
                self._handle_requests()
            self.requests.watched = False
            if self.diverged is not None and self.world.leads:
                print(f"diverged: {self.diverged}", flush=True)
        if self.step > self.resumed_from or self.diverged is not None:
            self._save()
        host_peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        costs = {**self.times.costs(), "host_peak_mb": host_peak_mb}
        if self.device.type == "cuda":
            costs["device_peak_mb"] = torch.cuda.max_memory_allocated(self.device) / 2**20
            costs["device_mb"] = torch.cuda.get_device_properties(self.device).total_memory / 2**20
        seconds = time.monotonic() - began
        return Outcome(self.record, self.step, self.diverged, self.resumed_from, name, seconds, costs)

    def _too_large(self, error: torch.OutOfMemoryError) -> InputError:
        """What to do if the device does not hold a step; another attempt would end the same way."""
        pieces, batch = self.settings.micro_batches, self.settings.batch
        fault = f"{pieces} do not make a batch of {batch} fit into the GPU ({str(error).split('. ')[0]})"
        remedy = "use more" if self.task.gradients is None else "lower training.batch"
        remedy += ", or a GPU with more memory"
        return InputError("training.micro_batches", fault, remedy)

    def _advance(self) -> dict[str, float]:
        """One optimiser step; a loss or gradient that is not finite leaves the weights unchanged."""
        try:
            metrics = self._gradients()
            if self.task.observe is not None:
                self.task.observe(metrics)
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
        """Fill ``.grad`` from the next batch; returns metrics of the whole batch, ``loss`` first."""
        pieces = self.settings.micro_batches
        parts = self.world.size * pieces
        weight, sums = 0.0, dict[str, float]()
        failed: Diverged | None = None
        try:
            with self.times.waiting():
                drawn = next(self.batches)
            for part in drawn:
                metrics, of_part = self._gradients_of(part, scale=pieces > 1)
                weight += of_part
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + value * of_part
        except Diverged as error:
            failed = error
        self._agree(failed)
        if parts == 1:
            return metrics
        # A part may contain no term of the loss.
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
        """Fail in every process if the step failed in one, so that none waits for it forever."""
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
        """Metrics on held-out data; a request to leave aborts the evaluation, to be redone after the resume.

        Raises:
            Interrupted: as requested; the state is saved.
        """
        metrics: dict[str, float] = {}
        failed: Diverged | None = None
        self.due = False
        if self.world.leads:
            self.model.eval()
            try:
                with (
                    self.times.evaluation(),
                    self.requests.stopping(),
                    randomness.untouched(),
                    torch.no_grad(),
                ):
                    self._check_weights()
                    found = self.task.evaluate(self.model)
                metrics = {f"valid/{name}": value for name, value in found.items()}
                self.record.add(self.step, metrics)
            except Diverged as error:
                failed = error
            except Interrupted:
                self.due = True
            self.model.train()
        if self.world.any(self.due):
            self._save()
            raise Interrupted(f"left before the evaluation at step {self.step} of {self.settings.steps}")
        try:
            self._agree(failed)
        except Diverged as error:
            self.diverged = str(error)
        return metrics

    def _check_weights(self) -> None:
        """After the last step no loss shows any more that the step itself overflowed."""
        for name, weight in self.model.named_parameters():
            if not bool(torch.isfinite(weight).all()):
                raise Diverged(f"weights {name} are not finite after step {self.step}")

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _handle_requests(self) -> None:
        if self.step == self.settings.leave_at and self.resumed_from < self.step:
            self.requests.leave = True
        leave = self.world.any(self.requests.leave)
        overdue = 0 < self.settings.checkpoint_minutes * 60 <= time.monotonic() - self.saved_at
        asked = leave or self.world.any(self.requests.save or overdue)
        if (asked or self._due(self.settings.checkpoint_every)) and self.step < self.settings.steps:
            self.requests.save = False
            self._save()
        if leave and self.step < self.settings.steps:
            raise Interrupted(f"left at step {self.step} of {self.settings.steps}")

    def _save(self) -> None:
        """Write a checkpoint; if the disk refuses it, the run continues without one."""
        self.saved_at = time.monotonic()
        generators = self.world.gathered(randomness.capture())
        if not self.world.leads:
            return
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.adamw.state_dict(),
            "randomness": generators,
            "batches": self.batches.state_dict(),
            "others": {name: other.state_dict() for name, other in self.task.state.items()},
            "record": self.record.state_dict(),
            "diverged": self.diverged,
            "due": self.due,
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
        self.optimiser.adamw.load_state_dict(state["optimiser"])
        self.batches.load_state_dict(state["batches"])
        for name, other in self.task.state.items():
            other.load_state_dict(state["others"][name])
        self.record.load_state_dict(state["record"])
        self.diverged, self.due = state["diverged"], state["due"]
        generators = state["randomness"]
        # With more processes than before, some share a state.
        randomness.restore(generators[self.world.rank % len(generators)])
        if self.world.leads:
            print(f"resumed at step {self.step} of {self.settings.steps}", flush=True)
        return self.step

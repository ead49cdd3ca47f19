"""The cost of a run: time, memory and disk from what its steps and stages take and what a device can do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, nan
from typing import Any

from specseq.settings import read
from specseq.studies import studies
from specseq.studies.cost.cache import UsageCache
from specseq.studies.cost.devices import DEVICES, Device
from specseq.studies.cost.step import StageUsage, StepUsage, corpus_lengths
from specseq.studies.interface import Study
from specseq.studies.planning import Planning
from specseq.sweeps import Plan
from specseq.training.metering import Usage
from specseq.training.settings import TrainingSettings

# Bytes per parameter on a device: weights, gradients and both moments, in float32.
STATE_BYTES = 16
# Seconds until a process trains or evaluates: imports, data, model.
START = 3.0
# Share of a batch's host time that each process of ``training.loaders`` spends on the batches of the others.
FOLLOWING = 0.1


@dataclass(frozen=True)
class Cost:
    """Cost of a run; hours are of one device or one core.

    A run that evaluates a forecaster and trains nothing has hours of evaluations alone.

    Attributes:
        run, study, sweep: which run.
        kind: number of its kind within the study: runs of a kind take the same per step.
        steps: optimiser steps.
        step_flops: FLOPs of products per step.
        step_bytes: device memory at the peak of a step.
        step_seconds: wall time per step.
        bound: what most of a step goes to: products, memory, overhead or host.
        training_hours: of the device, including evaluations during training.
        host_hours: of cores that make batches.
        segments: jobs of the time limit that training needs.
        disk_bytes: weights, checkpoints and tables.
        evaluation_gpu_hours, evaluation_cpu_hours: of the stages after training, by whether their resources
            name a GPU; NaN where a forecaster from elsewhere is evaluated.
        measured: whether seconds and memory come from a rehearsal.
    """

    run: str
    study: str
    sweep: str
    kind: int = 0
    steps: int = 0
    step_flops: float = 0.0
    step_bytes: float = 0.0
    step_seconds: float = 0.0
    bound: str = ""
    training_hours: float = 0.0
    host_hours: float = 0.0
    segments: int = 0
    disk_bytes: float = 0.0
    evaluation_gpu_hours: float = 0.0
    evaluation_cpu_hours: float = 0.0
    measured: bool = False


def seconds(usage: Usage, device: Device) -> tuple[float, str]:
    """Time on a device and what most of it goes to: an operator takes what its slowest resource takes."""
    spent = {"products": 0.0, "memory": 0.0, "overhead": usage.views * device.view}
    for (precision, flops, moved), count in usage.operators.items():
        products = flops / device.rate(precision)
        memory = moved / (1e9 * device.bandwidth * device.streaming)
        longest = max(products, memory, device.kernel)
        which = "products" if longest == products else "memory" if longest == memory else "overhead"
        spent[which] += longest * count
    return sum(spent.values()), max(spent, key=lambda name: spent[name])


@dataclass(frozen=True)
class StageTime:
    """Time that a stage takes once it has started.

    Attributes:
        rule: that launches it.
        gpu: whether its resources name a GPU.
        seconds: of the GPU, or else of a core.
    """

    rule: str
    gpu: bool
    seconds: float


class Estimator:
    """Estimates runs of a plan at one scale; a kind of step and a kind of stage are metered once."""

    def __init__(
        self,
        plan: Plan,
        scale: str,
        device: Device,
        limit: Callable[[str], int],
        cache: UsageCache | None = None,
    ) -> None:
        """Estimate runs that are trained on a device.

        ``limit`` gives the time limit of a run's training job in minutes, ``cache`` what was metered before.
        """
        self.plan, self.scale, self.device, self.limit = plan, scale, device, limit
        self.planning, self.cache = Planning(plan), cache
        self._usages: dict[str, StepUsage] = {}
        self._stages: dict[str, StageUsage] = {}

    def cost(self, run: str) -> Cost | None:
        """The cost of a run; None where its study describes none."""
        params = self.plan.run(self.scale, run)
        study = studies()[params["study"]]
        if not study.cost:
            return None
        cost = Cost(run, study.name, run.split("/")[1])
        if "training" in params:
            cost = self._with_training(cost, study, params)
        stages = self.evaluations(run)
        hours = {True: nan, False: nan} if stages is None else {True: 0.0, False: 0.0}
        for stage in stages or ():
            hours[stage.gpu] += (START + stage.seconds) / 3600
        return replace(cost, evaluation_gpu_hours=hours[True], evaluation_cpu_hours=hours[False])

    def evaluations(self, run: str) -> list[StageTime] | None:
        """The stages that evaluate a run after its training; None for a forecaster from elsewhere."""
        params = self.plan.run(self.scale, run)
        study = studies()[params["study"]]
        stages = study.load(f"{study.cost}:evaluations")(params, self.plan, self.scale)
        return None if stages is None else [self._stage(study, run, stage) for stage in stages]

    def _stage(self, study: Study, run: str, stage: Mapping[str, Any]) -> StageTime:
        key = json.dumps([study.name, stage], sort_keys=True)
        if key not in self._stages:
            usage = self.cache.get(key, StageUsage) if self.cache is not None else None
            if usage is None:
                usage = study.load(f"{study.cost}:evaluation")(stage)
                if self.cache is not None:
                    self.cache.put(key, usage)
            self._stages[key] = usage
        gpu = self.planning.resources(self.scale, stage["rule"], run).gpus > 0
        usage, device = self._stages[key], self.device if gpu else DEVICES["cpu"]
        return StageTime(stage["rule"], gpu, seconds(usage.device, device)[0] + usage.host_seconds)

    def _with_training(self, cost: Cost, study: Study, params: Mapping[str, Any]) -> Cost:
        training = read(TrainingSettings, params["training"], f"run {cost.run}: training")
        kind, usage = self._usage(study, params, training)
        device_s, bound = seconds(usage.device, self.device)
        optimiser_s = 7 * 4 * usage.parameters / (1e9 * self.device.bandwidth * self.device.streaming)
        device_s += optimiser_s + 20 * self.device.kernel
        loaders = max(training.loaders, 1)
        host_work = usage.host_seconds * (1 + FOLLOWING * (loaders - 1))
        host_s = host_work / loaders
        step_s = (device_s + host_s) if self.device.host else max(device_s, host_s)
        step_s += usage.blocking_seconds
        if host_s > device_s or usage.blocking_seconds > device_s:
            bound = "host"
        evaluations = 1 + (training.steps // training.evaluate_every if training.evaluate_every else 0)
        evaluation_s = seconds(usage.evaluation, self.device)[0] + usage.blocking_evaluation
        total_s = START + training.steps * step_s + evaluations * evaluation_s
        return replace(
            cost,
            kind=kind,
            steps=training.steps,
            step_flops=usage.device.flops,
            step_bytes=usage.device.peak_bytes + STATE_BYTES * usage.parameters,
            step_seconds=step_s,
            bound=bound,
            training_hours=total_s / 3600,
            host_hours=training.steps * (host_work + usage.blocking_seconds) / 3600,
            segments=max(1, ceil(total_s / 60 / self.limit(cost.run))),
            disk_bytes=usage.parameters * 4 * (1 + 2 * 3) + 40 * 30 * training.steps / training.log_every,
        )

    def _usage(
        self, study: Study, params: Mapping[str, Any], training: TrainingSettings
    ) -> tuple[int, StepUsage]:
        data, gpu = self.plan.data(self.scale), not self.device.host
        description, lengths = study.load(f"{study.cost}:kind")(params, data), corpus_lengths(data)
        settings = (training.batch, training.micro_batches, training.precision)
        key = json.dumps([study.name, description, settings, gpu, lengths], sort_keys=True)
        if key not in self._usages:
            usage = self.cache.get(key, StepUsage) if self.cache is not None else None
            if usage is None:
                usage = study.load(f"{study.cost}:step")(description, training, lengths, gpu)
                if self.cache is not None:
                    self.cache.put(key, usage)
            self._usages[key] = usage
        return list(self._usages).index(key), self._usages[key]

"""The cost of a run: seconds, memory and disk from what its steps take and what a device can do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from specseq.series.config import EmbeddedSizes
from specseq.settings import read
from specseq.studies import studies
from specseq.studies.config import EMBEDDED
from specseq.studies.cost.cache import UsageCache
from specseq.studies.cost.devices import Device
from specseq.studies.cost.step import StepUsage
from specseq.studies.interface import Study
from specseq.sweeps import Plan
from specseq.training.metering import Usage
from specseq.training.settings import TrainingSettings

# Bytes per parameter on a device: weights, gradients and both moments, in float32.
STATE_BYTES = 16
# Seconds until a process trains: imports, data, model.
START = 3.0
# Share of a batch's host time that each process of ``training.loaders`` spends on the batches of the others.
FOLLOWING = 0.1


@dataclass(frozen=True)
class Cost:
    """Cost of a run; hours are of one device or one core.

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
        measured: whether seconds and memory come from a rehearsal.
    """

    run: str
    study: str
    sweep: str
    kind: int
    steps: int
    step_flops: float
    step_bytes: float
    step_seconds: float
    bound: str
    training_hours: float
    host_hours: float
    segments: int
    disk_bytes: float
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


class Estimator:
    """Estimates runs of a plan at one scale; a kind of step is metered once."""

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
        self.cache = cache
        self._usages: dict[str, StepUsage] = {}

    def cost(self, run: str) -> Cost | None:
        """The cost of a run; None where its study describes no step or the run trains nothing."""
        params = self.plan.run(self.scale, run)
        study = studies()[params["study"]]
        if "training" not in params or not study.cost:
            return None
        training = read(TrainingSettings, params["training"], f"run {run}: training")
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
        return Cost(
            run,
            study.name,
            run.split("/")[1],
            kind,
            training.steps,
            usage.device.flops,
            usage.device.peak_bytes + STATE_BYTES * usage.parameters,
            step_s,
            bound,
            total_s / 3600,
            training.steps * (host_work + usage.blocking_seconds) / 3600,
            max(1, ceil(total_s / 60 / self.limit(run))),
            usage.parameters * 4 * (1 + 2 * 3) + 40 * 30 * training.steps / training.log_every,
        )

    def _usage(
        self, study: Study, params: Mapping[str, Any], training: TrainingSettings
    ) -> tuple[int, StepUsage]:
        description = study.load(f"{study.cost}:kind")(params, self.plan.data(self.scale))
        gpu = not self.device.host
        settings = (training.batch, training.micro_batches, training.precision)
        key = json.dumps([study.name, description, settings, gpu, self.lengths], sort_keys=True)
        if key not in self._usages:
            usage = self.cache.get(key) if self.cache is not None else None
            if usage is None:
                usage = study.load(f"{study.cost}:step")(description, training, self.lengths, gpu)
                if self.cache is not None:
                    self.cache.put(key, usage)
            self._usages[key] = usage
        return list(self._usages).index(key), self._usages[key]

    @property
    def lengths(self) -> tuple[int, int]:
        """Shortest and longest series of the corpus: of the embedded one, or nominal for LOTSA."""
        data = self.plan.data(self.scale)
        if data["lotsa"] != EMBEDDED:
            return 256, 1 << 16
        steps = read(EmbeddedSizes, data["embedded"], "data.embedded").steps
        return steps // 2, steps

"""Equilibrium propagation by two processes is that of one: controllers, random draws, gate and penalties."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from specseq.studies.equilibrium.training import build
from specseq.training.loop import train
from specseq.training.parallel import World, joined
from tests.launch.worlds import free_address

# Phases end by their budget: by the tolerance each process would end its own samples' phase.
PARAMS: dict[str, Any] = {
    "study": "equilibrium",
    "seed": 0,
    "model": {"width": 8, "heads": 2, "length": 5, "residual_gain": 0.5},
    "free": {"evaluations": 12, "tolerance": 1e-30},
    "nudged": {"evaluations": 12, "tolerance": 1e-30},
    "estimator": {"name": "two_sided", "radius": 0.1},
    "training": {"steps": 4, "batch": 5, "lr": 0.01, "precision": "float32", "tensorboard": False},
    "evaluation": {"windows": 3, "aligned": 2, "samples": 1, "budget": 200, "unrolled": 0},
}
RUNS: dict[str, dict[str, Any]] = {
    "adaptive_penalties": {
        "regularisers": {
            "jacobian": {"weight": 0.5, "target": 0.05, "rate": 1.5},
            "residual": {"weight": 0.5},
            "eigenvalue": {"weight": 0.5, "margin": 0.5, "positions": 2, "samples": 2},
        },
        "caps": 1.01,
    },
    "gate_and_published_penalties": {
        "gate": 0.165,
        "regularisers": {
            "abscissa": {"weight": 0.5, "margin": -5, "samples": 3},
            "eigenvalue": {"weight": 0.5, "margin": 0.1, "form": "published", "samples": 3},
        },
    },
    "unrolled": {
        "rule": "bptt",
        "estimator": {"name": "two_sided"},
        "regularisers": {"jacobian": {"weight": 0.5, "target": 0.05}},
    },
}
WORKER = """
import json, sys
from pathlib import Path
from specseq.studies.equilibrium.training import build
from specseq.training.loop import train
from specseq.training.parallel import World, joined
params, world = json.loads(sys.argv[1]), World(1, 2, 1, sys.argv[4])
with joined(world):
    train(build(params, {"text": Path(sys.argv[2])}), params, Path(sys.argv[3]), "d", world=world)
"""


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(name: str, text: Path, tmp_path: Path) -> None:
    params = PARAMS | RUNS[name]
    one = build(params, {"text": text})
    alone = train(one, params, tmp_path / "one", "d")
    address = free_address()
    command = [sys.executable, "-c", WORKER, json.dumps(params), str(text), str(tmp_path / "two"), address]
    other = subprocess.Popen(command, env=os.environ)
    two, world = build(params, {"text": text}), World(0, 2, 0, address)
    try:
        with joined(world):
            together = train(two, params, tmp_path / "two", "d", world=world)
        assert other.wait(timeout=60) == 0
    finally:
        other.kill()
    for mine, theirs in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=1e-5)
    assert alone.diverged is None
    values = {(step, metric): value for step, metric, value in together.record}
    for step, metric, value in alone.record:
        if metric == "nudged_residual" and "gate" in params:
            continue  # each process has the mean over its samples that teach
        assert math.isclose(values[step, metric], value, rel_tol=2e-3, abs_tol=1e-5) or (
            math.isnan(value) and math.isnan(values[step, metric])
        ), (step, metric)
    if "gate" in params:
        gated = [value for _, metric, value in alone.record if metric == "gated"]
        assert 0 < sum(gated) < len(gated), "some samples teach and some do not"
    else:
        weights = [value for _, metric, value in alone.record if metric == "penalty/jacobian_weight"]
        assert len(set(weights)) > 1, "the weight follows the residual"


def test_metrics_are_means_over_the_processes_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(0, 2)
    held = [({"loss": 1.0, "nudged_residual": 3.0}, 0.25), ({"loss": 5.0}, 0.75)]
    monkeypatch.setattr(World, "gathered", lambda self, value: held)
    assert world.combine_metrics(*held[0]) == {"loss": 4.0, "nudged_residual": 3.0}
    held[:] = [({"loss": 1.0}, 0.0), ({"loss": 5.0}, 0.0)]
    assert world.combine_metrics(*held[0]) == {"loss": 3.0}

"""A run in two processes: the same numbers as in one, each process on its own accelerator."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from specseq.training.loop import Outcome, train
from specseq.training.parallel import World, joined
from tests.launch.worlds import free_address
from tests.training.test_loop import params, rows

WORKER = """
import json, sys
from pathlib import Path
import toy_study
from specseq.training.loop import train
from specseq.training.parallel import World, joined
given, world = json.loads(sys.argv[1]), World(1, 2, 1, sys.argv[3])
with joined(world):
    train(toy_study.build(given, {}), given, Path(sys.argv[2]), "d", world=world)
"""


def in_two_processes(toy: ModuleType, given: dict[str, Any], folder: Path) -> Outcome:
    """Train with a second process beside this one."""
    address = free_address()
    paths = os.pathsep.join([str(Path(toy.__file__ or "").parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", WORKER, json.dumps(given), str(folder), address]
    other = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})
    world = World(0, 2, 0, address)
    try:
        with joined(world):
            outcome = train(toy.build(given, {}), given, folder, "d", world=world)
        assert other.wait(timeout=60) == 0
    finally:
        other.kill()
    return outcome


@pytest.mark.parametrize(("visible", "number"), [(4, 3), (1, 0)])
def test_each_process_has_its_own_accelerator(
    monkeypatch: pytest.MonkeyPatch, visible: int, number: int
) -> None:
    """Whether the node shows it all accelerators or, bound by SLURM, one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert World(rank=7, size=8, local_rank=3).device == torch.device("cuda", number)


def test_two_processes_train_as_one(toy: ModuleType, tmp_path: Path) -> None:
    given = params(steps=6, batch=7) | {"data": {"dropout": 0.0}}
    one = train(toy.build(given, {}), given, tmp_path / "one", "d")
    two = in_two_processes(toy, given, tmp_path / "two")
    assert len(one.record) == len(two.record)
    for (step, name, mine), (their_step, their_name, theirs) in zip(one.record, two.record, strict=True):
        assert (step, name) == (their_step, their_name)
        assert math.isclose(mine, theirs, rel_tol=1e-4, abs_tol=1e-7), name


def test_two_processes_with_unequal_parts_resume_each_with_its_own_draws(
    toy: ModuleType, tmp_path: Path
) -> None:
    given = params(steps=6, batch=7, checkpoint_every=3) | {"data": {"dropout": 0.5}}
    whole = in_two_processes(toy, given, tmp_path)
    newest = max(tmp_path.glob("checkpoint_*.safetensors"))
    newest.unlink()
    again = in_two_processes(toy, given, tmp_path)
    assert again.resumed_from == 3
    assert rows(again) == rows(whole)

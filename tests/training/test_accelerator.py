"""Runs of every setting of the paper scale on an accelerator that refuses what a GPU refuses, at tiny sizes.

A run takes a step, leaves and goes on from its checkpoint; the first of each study is evaluated. What makes
the host wait for the device within a step is counted and held to an allowance: on a GPU each wait leaves it
idle.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from specseq.studies import studies
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.loop import Outcome, train
from specseq.training.task import Task
from tests.training.paper_kinds import RUNS, SMALL, kinds, write_inputs
from tests.training.simulated import DEVICE, Accelerator

# Waits per step that runs of a study may take: values that are recorded, tensors that are made of numbers.
# The published transforms of STU ask for each length; of equilibrium propagation each evaluation asks once,
# solvers that adapt once more, and a penalty on eigenvalues for what it diagonalises.
ALLOWED = {"preconditioning": 7, "stu": 14, "zeta": 7, "equilibrium": 60}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data of all studies."""
    return write_inputs(tmp_path_factory.mktemp("data"))


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Accelerator]:
    def autocast(kind: str, *arguments: Any, **named: Any) -> Any:
        return nullcontext() if kind == DEVICE.type else before(kind, *arguments, **named)

    before = torch.autocast
    monkeypatch.setattr(torch, "autocast", autocast)
    # A parameter's values lie in another tensor, which an assignment to `data` would not reach.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with Accelerator() as device:
        yield device
    torch.__future__.set_overwrite_module_params_on_conversion(False)


def task(study: str, params: dict[str, Any], inputs: dict[str, Path], device: Accelerator) -> Task:
    """The task of a run, whose waits are counted within gradients and loss."""
    made: Task = studies()[study].load(studies()[study].build)(params, inputs)

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with device.counting():
                return work(*arguments)

        return call

    for part in ("loss", "gradients", "after_step"):
        if work := getattr(made, part):
            setattr(made, part, counted(work))
    return made


def trained(
    study: str, run: str, inputs: dict[str, Path], folder: Path, device: Accelerator, leave: bool = True
) -> tuple[Outcome, Task]:
    params = kinds(study)[run]
    if leave:
        requests = Requests()
        requests.leave = True
        with pytest.raises(Interrupted, match="step 1 of 2"):
            train(task(study, params, inputs, device), params, folder, "d", device=DEVICE, requests=requests)
    made = task(study, params, inputs, device)
    if run != next(iter(kinds(study))):  # it takes most of the time, and one will do
        made.evaluate = lambda model: {}
    return train(made, params, folder, "d", device=DEVICE), made


# PyTorch takes the simulated device for one without values.
@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@pytest.mark.parametrize(("study", "run"), RUNS)
def test_a_run_trains_there_and_goes_on_from_its_checkpoint(
    study: str, run: str, inputs: dict[str, Path], tmp_path: Path, accelerator: Accelerator
) -> None:
    outcome, _ = trained(study, run, inputs, tmp_path, accelerator)
    assert (outcome.step, outcome.resumed_from, outcome.diverged) == (2, 1, None)
    assert math.isfinite(outcome.record.last("loss") or math.nan)
    waits = Counter({name: count / 2 for name, count in accelerator.waits.items()})
    assert sum(waits.values()) <= ALLOWED[study], dict(waits)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@pytest.mark.parametrize("study", SMALL)
def test_a_run_that_left_ends_where_one_that_was_left_in_peace_does(
    study: str, inputs: dict[str, Path], tmp_path: Path, accelerator: Accelerator
) -> None:
    run = next(iter(kinds(study)))
    _, cut = trained(study, run, inputs, tmp_path / "cut", accelerator)
    _, whole = trained(study, run, inputs, tmp_path / "whole", accelerator, leave=False)
    for one, other in zip(cut.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one.detach().cpu(), other.detach().cpu())


def test_the_device_refuses_what_a_gpu_refuses_and_counts_what_it_waits_for() -> None:
    with Accelerator() as device:
        there, here = torch.ones(3, device=DEVICE), torch.arange(3.0)
        assert there.device == DEVICE
        assert (2 * there + torch.tensor(1.0)).cpu().tolist() == [3, 3, 3]
        with pytest.raises(RuntimeError, match="on the CPU and on the simulated device"):
            there + here
        with pytest.raises(RuntimeError, match="on the CPU and on the simulated device"):
            torch.cat([here, there])
        with device.counting():
            moved = here.to(DEVICE)
            moved[moved > 0] = 5
            assert float(moved.sum()) == 10
            assert moved.cpu().tolist() == [0, 5, 5]
        assert device.waits == {
            "copy from the host": 1, "boolean index": 1, "_local_scalar_dense": 1, "copy to the host": 1
        }  # fmt: skip
        weight = torch.nn.Parameter(torch.ones(3, device=DEVICE))
        (weight * there.cumsum(0)).sum().backward()
        assert weight.grad is not None
        assert weight.grad.cpu().tolist() == [1, 2, 3]

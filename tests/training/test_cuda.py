"""Runs of every setting of the paper scale on a CUDA device, at tiny sizes, beside the same on the CPU."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.frozen import FrozenForce
from specseq.equilibrium.precision import tf32
from specseq.equilibrium.solver_config import Anderson
from specseq.equilibrium.solvers import solve
from specseq.studies import studies
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.loop import train
from tests.training.paper_kinds import RUNS, kinds, write_inputs

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = torch.device("cuda")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data of all studies."""
    return write_inputs(tmp_path_factory.mktemp("data"))


def losses(study: str, params: dict[str, Any], inputs: dict[str, Path], folder: Path, device: str) -> float:
    """The last loss of a run that left after its first step and went on from its checkpoint."""
    build, requests = studies()[study].load(studies()[study].build), Requests()
    requests.leave = True
    where = torch.device(device)
    with pytest.raises(Interrupted, match="step 1 of 2"):
        train(build(params, inputs), params, folder, "d", device=where, requests=requests)
    task = build(params, inputs)
    task.evaluate = lambda model: {}
    outcome = train(task, params, folder, "d", device=where)
    assert (outcome.step, outcome.resumed_from, outcome.diverged) == (2, 1, None)
    return outcome.record.last("loss") or math.nan


@pytest.mark.parametrize(("study", "run"), RUNS)
def test_a_run_has_the_losses_that_it_has_on_the_cpu(
    study: str, run: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    params = kinds(study)[run]
    there, here = (losses(study, params, inputs, tmp_path / name, name) for name in ("cuda", "cpu"))
    # Two devices add in another order; an equilibrium that is not reached makes more of it.
    assert there == pytest.approx(here, rel=0.02 if study == "equilibrium" else 2e-3, abs=2e-3)


def published(samples: int = 2) -> tuple[EquilibriumBlock, torch.Tensor]:
    """A block of the published size and an input."""
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(512, 16, 256, residual_gain=0.5), 4096, draw)
    tokens = torch.randint(4096, (samples, 256), generator=draw)
    return block.to(DEVICE), block.embed(tokens.to(DEVICE)).detach()


def test_tf32_rounds_differences_only() -> None:
    if torch.cuda.get_device_capability()[0] < 8:
        pytest.skip("the card has no TF32")
    block, x = published()
    draw = torch.Generator(DEVICE).manual_seed(1)
    base, away = (torch.randn(x.shape, generator=draw, device=DEVICE) for _ in range(2))
    z = base + 1e-3 * away
    found = {"near": FrozenForce(block, x, "tf32", base)(z), "float32": FrozenForce(block, x)(z)}
    with tf32(True):
        found["rounded"] = FrozenForce(block, x)(z)
    with torch.no_grad():
        exact = block.double().force(z.double(), x.double())
    off = {name: float((force - exact).norm() / exact.norm()) for name, force in found.items()}
    assert off["near"] < 3 * off["float32"] + 1e-6
    assert off["rounded"] > 20 * off["near"]


def test_a_phase_of_the_published_size_settles_with_products_in_tf32() -> None:
    block, x = published()
    exact, near = (
        solve(Anderson(), FreePhase(block, x, products), x, 160, 1e-5) for products in ("float32", "tf32")
    )
    assert exact.converged_B.all()
    assert near.converged_B.all()
    assert near.evaluations <= exact.evaluations + 5


def test_fused_attention_is_the_plain_one() -> None:
    block, x = published()
    with torch.no_grad():
        fused = block.force(x, x)
    torch.testing.assert_close(fused, block.force(x, x).detach(), rtol=1e-4, atol=1e-4)

"""Training MOIRAI through the loop: it learns, and does so the same whole or in parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from specseq.errors import InputError
from specseq.launch.training import TrainingRun
from specseq.models.kinds import load_trained
from specseq.models.moirai.training import build, loss
from specseq.models.protocol import Query
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.tables import read_parquet, read_provenance
from specseq.training.checkpoint import save_weights
from specseq.training.interrupt import Interrupted, Requests
from specseq.training.loop import train
from tests.launch.worlds import in_processes

MODEL = {
    "kind": "moirai",
    "d_model": 16,
    "layers": 2,
    "heads": 2,
    "patch_sizes": [8, 16, 32],
    "max_length": 32,
}


def params(stu: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
    steps = {"steps": 4, "batch": 4, "lr": 1e-3, "schedule": "constant", "tensorboard": False}
    model = {**MODEL, "stu": {"filters": 4, **(stu or {})}}
    return {"seed": 0, "model": model, "training": {**steps, **training}, "data": {"pool": 16}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    hours = np.arange(400)
    items = [
        Item(
            f"item{number}",
            np.datetime64("2020-01-01T00:00:00"),
            freq,
            (np.sin(2 * np.pi * hours / 24 + number) + 0.1 * rng.normal(size=400)).astype(np.float32),
        )
        for number in range(8)
        for freq in ("H", "D", "M")
    ]
    # 40 hours hold no two patches of 32.
    items.append(Item("short", items[0].start, "H", items[0].target[:40]))
    write_folder(folder / "corpus" / "waves", items, licence="CC0", source="tests")
    prepare_store(folder / "corpus", folder / "store")
    return folder / "store"


@pytest.mark.parametrize("stu", [{}, {"pattern": "alternating"}, {"pattern": "parallel"}])
def test_a_few_steps_lower_the_loss(stu: dict[str, Any], store: Path, tmp_path: Path) -> None:
    settings = params(stu, steps=30, lr=5e-3)
    task = build(settings, {"store": store})
    outcome = train(task, settings, tmp_path, "digest")
    values = {
        name: [value for _, metric, value in outcome.record if metric == name]
        for name in ("loss", "standardised_nll")
    }
    assert outcome.diverged is None
    for name, series in values.items():
        assert len(series) == 30
        assert np.mean(series[-8:]) < np.mean(series[:8]) - 0.2, name


def test_parts_of_a_batch_give_the_gradient_of_the_whole(store: Path) -> None:
    task = build(params(), {"store": store})
    drawn, cpu = next(task.batches), torch.device("cpu")
    whole, metrics = loss(task.model, drawn.to(cpu))
    whole.backward()
    # Univariate samples leave the variate bias without a gradient.
    expected = {n: p.grad.clone() for n, p in task.model.named_parameters() if p.grad is not None}
    task.model.zero_grad()
    parts = [loss(task.model, drawn.shard(number, 2).to(cpu)) for number in range(2)]
    assert sum(part["weight"] for _, part in parts) == metrics["weight"]
    for value, part in parts:
        (value * part["weight"] / metrics["weight"]).backward()
    assert len(expected) > 20
    for name, grad in expected.items():
        found = task.model.get_parameter(name).grad
        torch.testing.assert_close(found, grad, rtol=1e-3, atol=1e-3 * float(grad.abs().max()))


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone(store: Path) -> None:
    state = torch.random.get_rng_state()
    first, again = (build(params(), {"store": store}).model for _ in range(2))
    other = build({**params(), "seed": 1}, {"store": store}).model
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.heads.weight, other.heads.weight)


def test_a_resumed_stream_goes_on_where_it_was(store: Path) -> None:
    stream = build(params(), {"store": store}).batches
    next(stream)
    state, expected = stream.state_dict(), next(stream).packed
    resumed = build(params(), {"store": store}).batches
    resumed.load_state_dict(state)
    assert torch.equal(next(resumed).packed.target, expected.target)


def test_a_model_is_given_no_patch_size_but_its_own(store: Path) -> None:
    settings = params()
    settings["model"]["patch_sizes"] = [16, 32]
    task = build(settings, {"store": store})
    drawn = [next(task.batches) for _ in range(4)]
    found = torch.cat([batch.packed.patch_size.unique() for batch in drawn]).unique()
    assert found.tolist() == [0, 16, 32]
    for batch in drawn:
        loss(task.model, batch.to(torch.device("cpu")))


@pytest.mark.parametrize("stu", [{}, {"pattern": "alternating"}])
def test_an_interrupted_run_ends_bit_for_bit_as_an_undisturbed_one(
    stu: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    settings = params(stu, steps=7, schedule="cosine", warmup=2)
    whole = build(settings, {"store": store})
    expected = train(whole, settings, tmp_path / "whole", "d")
    first, requests = build(settings, {"store": store}), Requests()

    def leave_at_four(model: Any, step: int) -> dict[str, float]:
        requests.leave = step == 4
        return {}

    first.after_step = leave_at_four
    with pytest.raises(Interrupted):
        train(first, settings, tmp_path / "cut", "d", requests=requests)
    second = build(settings, {"store": store})
    outcome = train(second, settings, tmp_path / "cut", "d")
    assert outcome.resumed_from == 4
    assert list(outcome.record) == list(expected.record)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name
    assert torch.equal(next(second.batches).packed.target, next(whole.batches).packed.target)


def test_two_processes_train_a_hybrid_as_one(store: Path, tmp_path: Path) -> None:
    settings = params({"pattern": "parallel"}, steps=3, batch=5)
    tables = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        build = "specseq.models.moirai.training:build"
        out = folder / "run"
        job = TrainingRun(build, "stu", "stu/a", settings, {"store": store}, out, folder / "checkpoints")
        in_processes(job, folder / "job", processes)
        tables.append(read_parquet(job.outputs[1]))
        facts = read_provenance(job.outputs[1])
        assert (facts["series"], facts["series_too_short"]) == (25, 1)
    assert set(tables[0]["metric"]) == {"loss", "standardised_nll", "grad_norm", "lr"}
    # The Normal's scale of 1e-3 makes float32 gradients good to some 1e-3 in any order of summation, and each
    # step multiplies the difference.
    for norm, bound in ((False, 1e-5), (True, 2e-2)):
        one, two = (table[(table["metric"] == "grad_norm") == norm] for table in tables)
        pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=bound, atol=1e-7)


def test_a_saved_hybrid_forecasts_as_before(store: Path, tmp_path: Path) -> None:
    settings = params({"pattern": "alternating"})
    task = build(settings, {"store": store})
    with torch.no_grad():
        for buffer in task.model.buffers():
            buffer *= 2  # filters are data of the checkpoint, not recomputed
    save_weights(tmp_path / "run" / "weights.safetensors", task.model, settings)
    forecaster = load_trained(tmp_path / "run" / "weights.safetensors")
    assert forecaster.name == "run"
    for name, value in task.model.state_dict().items():
        assert torch.equal(forecaster.model.state_dict()[name], value), name
    query = Query(5, (0.1, 0.5, 0.9), freq="H")
    assert forecaster.forecast([np.arange(40, dtype=np.float32)], query).shape == (1, 3, 5)


@pytest.mark.parametrize(
    ("change", "inputs", "named"),
    [
        ({}, {}, "store"),
        ({"data": {"rows": 3}}, {"store": Path("store")}, r"data\.rows: unknown key"),
        ({"model": {"kind": "moirai", "stu": {"pattern": "x"}}}, {"store": Path("store")}, r"stu\.pattern"),
    ],
)
def test_bad_parameters_are_named(change: dict, inputs: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        build({**params(), **change}, inputs)


def test_weights_of_another_shape_or_not_finite_are_refused(store: Path, tmp_path: Path) -> None:
    settings = params()
    model = build(settings, {"store": store}).model
    path = tmp_path / "weights.safetensors"
    save_weights(path, model, {**settings, "model": {**settings["model"], "d_model": 32}})
    with pytest.raises(InputError, match="do not fit"):
        load_trained(path)
    with torch.no_grad():
        model.input.weight[0, 0, 0] = torch.nan
    save_weights(path, model, settings)
    with pytest.raises(InputError, match="not finite"):
        load_trained(path)

"""The study's task under the shared training loop, and the evaluation of what it trains."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings.config import SpacingEvaluation, SpacingModelConfig
from specseq.spacings.evaluation import evaluate_model
from specseq.spacings.model import rebuild
from specseq.spacings.sets import load_spacing_set
from specseq.studies.zeta.training import WindowStream, build
from specseq.tables import LONG_COLUMNS, read_parquet, read_provenance
from specseq.training.checkpoint import save_weights
from specseq.training.loop import train
from tests.stage_call import run


def run_params(**sections: dict[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = {
        "study": "zeta",
        "seed": 0,
        "model": {"length": 16, "width": 16, "blocks": 2, "heads": 2, "components": 3, "dropout": 0.0},
        "loss": {"entropy_weight": 0.005},
        "training": {"steps": 4, "batch": 8, "lr": 3e-3, "tensorboard": False},
        "data": {"set": "real", "selection": 32},
        "evaluation": {
            "windows": 40,
            "contexts": [4, 8, 16],
            "rollout_contexts": [4, 8],
            "horizons": [1, 10, 30],
            "draws": 20,
        },
    }
    return {
        name: {**value, **sections.get(name, {})} if isinstance(value, dict) else value
        for name, value in params.items()
    }


def test_training_lowers_the_loss(manifest: Path, tmp_path: Path) -> None:
    params = run_params(training={"steps": 60, "lr": 1e-2})
    task = build(params, {"spacings": manifest})
    outcome = train(task, params, tmp_path, "digest")
    assert outcome.diverged is None
    losses = [value for _, name, value in outcome.record if name == "nll"]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.2
    assert outcome.record.last("valid/nll") < 0.65


@pytest.mark.parametrize("mask", ["causal", "published"])
def test_gradients_reach_every_parameter(manifest: Path, mask: str) -> None:
    model = {
        "slots": 3,
        "attention_mask": mask,
        "windows": [8],
        "lines": 5,
        "highest": [0.5],
        "taps": 3,
        "hidden": [8],
    }
    task = build(run_params(model=model, loss={"diversity_weight": 0.01}), {"spacings": manifest})
    assert task.loss is not None
    loss, metrics = task.loss(task.model, next(task.batches))
    loss.backward()
    assert {"nll", "weight_entropy", "memory_similarity"} <= set(metrics)
    for name, parameter in task.model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_loss_is_likelihood_less_weighted_entropy(manifest: Path) -> None:
    values = {}
    for weight in (0.0, 0.5):
        task = build(run_params(loss={"entropy_weight": weight}), {"spacings": manifest})
        assert task.loss is not None
        loss, metrics = task.loss(task.model, next(task.batches))
        values[weight] = float(loss.detach())
        assert values[weight] == pytest.approx(metrics["nll"] - weight * metrics["weight_entropy"], abs=1e-6)
    assert values[0.5] < values[0.0]


def test_parts_of_unlike_size_give_the_loss_of_the_whole_batch(manifest: Path, tmp_path: Path) -> None:
    recorded, trained = [], []
    for parts in (1, 3):
        params = run_params(training={"micro_batches": parts})
        task = build(params, {"spacings": manifest})
        recorded.append(list(train(task, params, tmp_path / str(parts), "digest").record))
        trained.append(torch.cat([p.detach().flatten() for p in task.model.parameters()]))
    assert {name for _, name, _ in recorded[0]} == {name for _, name, _ in recorded[1]}
    assert "weight" not in {name for _, name, _ in recorded[0]}
    first = [{name: value for step, name, value in own if step == 1} for own in recorded]
    assert first[1] == pytest.approx(first[0], rel=1e-5)
    torch.testing.assert_close(trained[1], trained[0], rtol=1e-4, atol=1e-5)


def test_memory_learns_slower_and_its_norms_are_capped(manifest: Path) -> None:
    params = run_params(model={"slots": 3}, loss={"memory_lr_scale": 0.1})
    task = build(params, {"spacings": manifest})
    assert task.parameter_groups is not None
    groups = list(task.parameter_groups(task.model))
    assert [group.get("lr_scale", 1.0) for group in groups] == [1.0, 1.0, 0.1]
    assert sum(len(group["params"]) for group in groups) == len(list(task.model.parameters()))
    assert task.after_step is not None
    with torch.no_grad():
        task.model.get_parameter("memory").fill_(9.0)
    task.after_step(task.model, 1)
    assert task.model.get_parameter("memory").norm(dim=-1).max() <= 2.0 + 1e-5


def test_the_same_seed_gives_the_same_task_and_another_another(manifest: Path) -> None:
    tasks = [build({**run_params(), "seed": seed}, {"spacings": manifest}) for seed in (0, 0, 1)]
    weights = [torch.cat([p.flatten() for p in task.model.parameters()]) for task in tasks]
    batches = [next(task.batches)["spacings"] for task in tasks]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(batches[0], batches[2])


def test_the_stream_goes_on_where_it_was(manifest: Path) -> None:
    gue = load_spacing_set(manifest, "gue", "train")
    stream = WindowStream(gue, 16, 8, seed=0)
    next(stream)
    state = json.loads(json.dumps(stream.state_dict()))
    ahead = [next(stream)["spacings"] for _ in range(3)]
    other = WindowStream(gue, 16, 8, seed=5)
    other.load_state_dict(state)
    assert all(torch.equal(a, next(other)["spacings"]) for a in ahead)


@pytest.mark.parametrize("name", ["real", "gue"])
def test_limited_data_come_from_the_end_of_the_band(manifest: Path, name: str) -> None:
    spacings = load_spacing_set(manifest, name, "train")
    stream = WindowStream(spacings, 16, 200, seed=0, limit=800)
    tail = torch.from_numpy(np.array(spacings.spacings[-800:]))
    windows = tail.unfold(0, 16, 1)
    for row in next(stream)["spacings"][:20]:
        assert (windows == row).all(1).any()


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("loss", {"entropy": 1}, "did you mean entropy_weight"),
        ("data", {"set": "imaginary"}, "data.set.*imaginary"),
        ("data", {"limit": 3}, "data.limit"),
        ("model", {"length": 20_000}, "model.length"),
    ],
)
def test_bad_runs_are_refused(manifest: Path, section: str, value: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(run_params(**{section: value}), {"spacings": manifest})


def evaluated(manifest: Path, **model: Any) -> dict[tuple[str, int, int], float]:
    params = run_params(model=model)
    task = build(params, {"spacings": manifest})
    trained = rebuild(params, task.model.state_dict())
    torch.manual_seed(0)
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    test = load_spacing_set(manifest, "real", "test")
    rows = evaluate_model(trained, test, read(SpacingEvaluation, params["evaluation"], "evaluation"), seed=0)
    return {(row["metric"], row.get("step", -1), row.get("context", -1)): row["value"] for row in rows}


def test_what_leaks_is_the_difference_of_two_scores(manifest: Path) -> None:
    causal = evaluated(manifest, slots=3)
    published = evaluated(manifest, slots=3, attention_mask="published")
    assert causal["causality_violation", -1, -1] == 0.0
    assert published["causality_violation", -1, -1] > 1e-4
    # These two are scored in float32, from windows of different length: equal up to its rounding.
    for context in (4, 8):
        assert causal["nll_at", -1, context] == pytest.approx(causal["nll_truncated", -1, context], abs=1e-5)
        assert abs(published["nll_at", -1, context] - published["nll_truncated", -1, context]) > 1e-4
    assert ("nll_at", -1, 16) not in causal
    assert ("nll_without_slot", 2, 16) in causal
    assert 0 < causal["memory_ln_primes_p", -1, -1] <= 1


def test_evaluation_rows(manifest: Path) -> None:
    rows = evaluated(manifest)
    assert all(math.isfinite(value) for value in rows.values())
    assert sum(rows["pit_share", bin_, -1] for bin_ in range(10)) == pytest.approx(1)
    for context in (4, 8):
        for h in (1, 10, 30):
            for metric in ("err_mean", "err_sampled"):
                low, value, high = (rows[metric + end, h, context] for end in ("_low", "", "_high"))
                assert low <= value <= high
    # The first step of a mean rollout is the prediction at that context.
    assert rows["err_mean", 1, 8] == pytest.approx(rows["mae_truncated", -1, 8], abs=1e-6)
    assert rows["windows", -1, -1] == 40
    assert "memory_ln_primes_p" not in {metric for metric, _, _ in rows}


def test_rollouts_longer_than_the_model_are_refused() -> None:
    with pytest.raises(InputError, match="rollout_contexts: 128 is longer than the model's window of 16"):
        SpacingEvaluation(contexts=(10,)).check(SpacingModelConfig(length=16))
    with pytest.raises(InputError, match="did you mean horizons"):
        read(SpacingEvaluation, {"horizon": 3}, "evaluation")
    with pytest.raises(InputError, match=r"evaluation\.horizons"):
        read(SpacingEvaluation, {"horizons": []}, "evaluation")
    with pytest.raises(InputError, match=r"evaluation\.contexts.*increasing order"):
        read(SpacingEvaluation, {"contexts": [10, 5]}, "evaluation")


def test_stages_from_zeros_to_rollout(tmp_path: Path) -> None:
    zeros, sets = tmp_path / "zeros.parquet", tmp_path / "sets"
    run("zeros", zeros={"height": 1e5, "count": 6000}, out=zeros)
    plan = {"shares": [0.4, 0.1, 0.5], "gap": 100, "controls": 400, "matrix_size": 500}
    run("spacings", zeros=zeros, spacings=plan, manifest=sets / "manifest.parquet")
    assert set(read_parquet(sets / "manifest.parquet")["set"]) == {"real", "shuffled", "gue", "poisson"}

    manifest, weights, out = (
        sets / "manifest.parquet",
        tmp_path / "weights.safetensors",
        tmp_path / "out.parquet",
    )
    params = run_params()
    save_weights(weights, build(params, {"spacings": manifest}).model, params)
    inputs = {"weights": weights, "spacings": manifest, "run": "zeta/mask/a", "out": out}
    run("rollout", **inputs, params={**params, "rollout": {"drift": True}})
    table = read_parquet(out)
    assert {"drift_distance_true", "drift_bias_mean"} <= set(table["metric"])
    assert list(table.columns) == [*LONG_COLUMNS[:6], "context", *LONG_COLUMNS[6:]]
    assert set(table["run"]) == {"zeta/mask/a"}
    assert read_provenance(out)["stage"] == "rollout"

    # Training that diverges leaves the last finite weights, or, at its very last step, others.
    lost = run_params(training={"lr": 1e30})
    task = build(lost, {"spacings": manifest})
    ended = train(task, lost, tmp_path / "lost", "digest").diverged
    assert ended is not None
    assert all(torch.isfinite(parameter).all() for parameter in task.model.parameters())
    save_weights(weights, task.model, lost, diverged=ended)
    run("rollout", **inputs, params=lost)
    assert read_parquet(out)["metric"].tolist() == ["diverged"]
    assert read_provenance(out)["diverged"] == ended
    with torch.no_grad():
        task.model.get_parameter("head.bias").fill_(float("nan"))
    save_weights(weights, task.model, params)
    run("rollout", **inputs, params=params)
    assert read_parquet(out)["metric"].tolist() == ["diverged"]
    assert read_provenance(out)["diverged"] == "weights are not finite"

    references = {
        "orders": [1, 8],
        "sets": ["real"],
        "evaluation": {"windows": 20, "draws": 10, "horizons": [5], "rollout_contexts": [16]},
    }
    run("references", spacings=manifest, out=out, references=references)
    assert {"zeta/references/ar8", "zeta/references/wigner"} <= set(read_parquet(out)["run"])

"""The training task: its rules agree, it resumes exactly, and it says what is wrong with a run."""

import copy
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from specseq.cli import main as specseq
from specseq.equilibrium import audit as audit_module
from specseq.equilibrium import evaluation
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.config import ESTIMATORS
from specseq.equilibrium.solver_config import SOLVERS
from specseq.equilibrium.text.config import Grammar, TextSettings
from specseq.equilibrium.text.store import prepare_text
from specseq.errors import InputError
from specseq.studies.equilibrium.training import build
from specseq.tables import read_parquet, read_provenance
from specseq.training.checkpoint import save_weights
from specseq.training.loop import train
from specseq.training.task import Task
from tests import stage_call

PARAMS: dict[str, Any] = {
    "study": "equilibrium",
    "seed": 0,
    "model": {"width": 8, "heads": 2, "length": 5},
    "rule": "ep",
    "solver": {"name": "euler", "step": 0.1},
    "estimator": {"name": "two_sided", "radius": 0.01},
    "free": {"evaluations": 120, "tolerance": 1e-7},
    "nudged": {"evaluations": 120, "tolerance": 1e-6},
    "training": {"steps": 4, "batch": 3, "lr": 0.01, "precision": "float32", "tensorboard": False},
    "evaluation": {"windows": 3, "aligned": 2, "samples": 1, "budget": 200, "unrolled": 100},
}


def change(**values: Any) -> dict[str, Any]:
    params = copy.deepcopy(PARAMS)
    if values.get("rule", "ep") != "ep":
        params["estimator"] = {"name": "two_sided"}
    for path, value in values.items():
        *outer, last = path.split("__")
        inner = params
        for name in outer:
            inner = inner[name]
        inner[last] = value
    return params


def flat(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Innermost keys and values."""
    pairs = []
    for key, value in values.items():
        pairs += flat(value) if isinstance(value, dict) else [(key, value)]
    return pairs


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    prepare_text(folder, TextSettings(source=Grammar(characters=4000, states=3, symbols=6)))
    return folder


def task(text: Path, **values: Any) -> Task:
    return build(change(**values), {"text": text})


def first_gradient(made: Task) -> torch.Tensor:
    made.model.zero_grad()
    if made.loss is not None:
        made.loss(made.model, next(made.batches))[0].backward()
    else:
        assert made.gradients is not None
        made.gradients(made.model, next(made.batches))
    return torch.cat([weight.grad.flatten() for weight in made.model.parameters()])


def test_all_rules_have_the_same_gradient_where_phases_converge(text) -> None:
    reference = first_gradient(task(text, rule="implicit"))
    for values in (
        {"rule": "bptt"},
        {"estimator": {"name": "adjoint"}},
        {"estimator": {"name": "two_sided", "radius": 0.05}},
        {"solver": {"name": "anderson"}},
    ):
        found = first_gradient(task(text, **values))
        # Two-sided states are divided by a small radius: single precision shows.
        torch.testing.assert_close(found, reference, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize(
    "values",
    [
        *({"solver": {"name": name}} for name in SOLVERS),
        *({"estimator": {"name": name}} for name in ESTIMATORS if name != "lock_in"),
        {"estimator": {"name": "lock_in", "period": 60, "cycles": 1}},
        {"estimator": {"name": "two_sided", "drift_cancelled": True, "corrected": False}},
        {"estimator": {"name": "holomorphic", "points": 8, "radius": 0.05}},
        {"regularisers": {"jacobian": {"weight": 0.5, "target": 1e-9}}},
        {"regularisers": {"residual": {"weight": 1e6}}},
        {"regularisers": {"eigenvalue": {"weight": 0.5, "margin": 0.1}}},
        {"regularisers": {"abscissa": {"weight": 0.5, "margin": -5}}},
        {"regularisers": {"eigenvalue": {"weight": 0.5, "form": "published", "margin": 0.1}}},
        {"regularisers": {"eigenvalue": {"weight": 0.5, "positions": 2, "margin": 0.1}}},
        {"gate": 1e-3},
        {"caps": 1.5},
    ],
    ids=lambda values: "-".join(f"{k}_{v}" for k, v in flat(values)),
)
def test_whatever_a_run_may_name_teaches(text, values: dict[str, Any]) -> None:
    """Every solver, estimator, penalty and controller, by its value in config.yaml."""
    found = first_gradient(task(text, **values))
    assert torch.isfinite(found).all()
    assert found.abs().max() > 0
    if "regularisers" in values:
        assert (found - first_gradient(task(text))).abs().max() > 1e-4


def test_a_resumed_run_ends_where_an_undisturbed_one_ends(text, tmp_path) -> None:
    values = {
        "regularisers": {
            "jacobian": {"weight": 0.1, "target": 1e-3},
            "eigenvalue": {"weight": 0.1, "margin": 0.5},
        },
        "caps": 1.01,
        "free__evaluations": 10,
        "nudged__evaluations": 10,
        "training__evaluate_every": 2,
        "training__checkpoint_every": 1,
        "training__schedule": "constant",
    }
    whole = task(text, **values)
    done = train(whole, change(**values), tmp_path / "whole", "d")
    half = change(**values, training__steps=2)
    train(build(half, {"text": text}), half, tmp_path / "parts", "d")
    rest = task(text, **values)
    resumed = train(rest, change(**values), tmp_path / "parts", "d")
    assert resumed.resumed_from == 2
    for a, b in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
        assert torch.equal(a, b)
    last = {metric: value for step, metric, value in done.record if step == 4}
    again = {metric: value for step, metric, value in resumed.record if step == 4}
    assert last.keys() == again.keys()
    assert last["penalty/jacobian_weight"] == again["penalty/jacobian_weight"] != 0.1
    expected = {
        "loss",
        "loss_converged",
        "alpha",
        "rotation",
        "eps_crit",
        "omega",
        "jacobian_norm",
        "rho",
        "cos_bptt",
        "cos_exact",
    }
    assert {f"valid/{name}" for name in expected} <= last.keys()
    assert sum(value for name, value in last.items() if name.startswith("valid/verdict")) == 1


def test_the_loss_falls(text, tmp_path) -> None:
    values = {"rule": "implicit", "solver": {"name": "anderson"}, "training__steps": 25, "training__lr": 0.05}
    record = train(task(text, **values), change(**values), tmp_path, "d").record
    losses = [value for _, metric, value in record if metric == "loss"]
    assert sum(losses[-5:]) < sum(losses[:5]) - 1


def test_backpropagation_through_the_relaxation_may_take_a_batch_in_parts(text, tmp_path) -> None:
    """Two parts of unlike size give the weights that the whole batch gives; a penalty's batch stays whole."""
    trained = {}
    for parts in (1, 2):
        values = {"rule": "bptt", "free__evaluations": 10, "training__micro_batches": parts}
        made = task(text, **values)
        train(made, change(**values), tmp_path / str(parts), "d")
        trained[parts] = torch.cat([weight.detach().flatten() for weight in made.model.parameters()])
    torch.testing.assert_close(trained[2], trained[1], rtol=1e-4, atol=1e-5)
    penalised = change(
        rule="bptt", regularisers={"jacobian": {"weight": 0.1, "target": 1e-3}}, training__micro_batches=2
    )
    with pytest.raises(InputError, match="micro_batches"):
        train(build(penalised, {"text": text}), penalised, tmp_path / "penalised", "d")


@pytest.mark.parametrize(
    ("tolerance", "residual", "converged"),
    [(1e-5, 9e-6, 1), (1e-5, 1.1e-5, 0), (1e-8, 2.9e-6, 1), (1e-8, 3.1e-6, 0)],
)
def test_what_counts_as_a_root_is_what_the_tolerance_says(
    text, monkeypatch: pytest.MonkeyPatch, tolerance: float, residual: float, converged: int
) -> None:
    """In single precision nothing below 3e-6 is asked for."""

    def found(block: Any, x: torch.Tensor, *given: float) -> tuple[torch.Tensor, torch.Tensor, int]:
        return x, torch.full((len(x),), residual), 1

    monkeypatch.setattr(evaluation, "find_root", found)
    made = task(text, evaluation__tolerance=tolerance)
    metrics = made.evaluate(made.model)
    assert metrics["converged"] == converged
    for name in ("loss_converged", "cos_exact"):
        assert math.isnan(metrics[name]) == (not converged)


def test_a_nudged_phase_that_does_not_settle_spoils_the_gradient(text) -> None:
    """Anderson finds the root with a step that Euler cannot use; the nudged phase needs it as much."""
    values: dict[str, Any] = {"solver": {"name": "anderson"}}
    exact = first_gradient(task(text, rule="implicit", **values))
    values["estimator__radius"] = 0.05
    cosines = [
        torch.cosine_similarity(exact, first_gradient(task(text, **values, **nudged)), 0).item()
        for nudged in ({}, {"nudged_solver": {"name": "euler", "step": 1.2}, "nudged__evaluations": 20})
    ]
    assert cosines[0] > 0.999
    assert not cosines[1] > 0.9


def test_no_sample_teaches_behind_a_closed_gate(text) -> None:
    closed = task(text, gate=1e-12, free__evaluations=3)
    assert closed.gradients is not None
    assert not first_gradient(closed).any()
    assert closed.gradients(closed.model, next(closed.batches))["gated"] == 1


def test_caps_hold_during_training(text) -> None:
    made = task(text, caps=0.5)
    assert made.after_step is not None
    assert made.after_step(made.model, 1) == {"capped": 7}
    assert made.after_step(made.model, 2) == {"capped": 0}


def test_a_run_that_diverges_says_so(text, tmp_path) -> None:
    values = {"solver": {"name": "euler", "step": 40.0}, "free__evaluations": 200}
    outcome = train(task(text, **values), change(**values), tmp_path, "d")
    assert outcome.diverged == "the free phase of 3 of 3 samples overflowed"
    assert outcome.step == 0


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"rule": "backprop"}, "rule"),
        ({"rule": "bptt", "solver": {"name": "anderson"}}, "solver.name"),
        ({"model__widht": 3}, "model"),
        ({"free__evaluations": 0}, "free"),
        ({"nudged__budget": 3}, "nudged.budget"),
        ({"evaluation__windos": 3}, "evaluation.windos"),
        ({"evaluation__samples": 30}, "evaluation.samples"),
        ({"model__length": 5000}, "text"),
        ({"model__heads": 3}, "model.heads: 3 does not divide the width 8"),
        ({"model__residual_gain": 0, "caps": 1.5}, "caps: no multiple of a norm that begins at 0"),
        ({"rule": "bptt", "gate": 1e-3}, "gate: is not used by the rule bptt"),
        (
            {"rule": "implicit", "estimator": {"name": "adjoint"}},
            "estimator: is not used by the rule implicit",
        ),
        ({"rule": "bptt", "nudged_solver": {"name": "euler"}}, "nudged_solver: is not used by the rule bptt"),
        ({"solver": {"name": "anderson", "memory": 0}}, "solver.memory: 0"),
        ({"solver": {"name": "newton", "krylov": 0}}, "solver.krylov: 0"),
        ({"solver": {"name": "anderson", "damping": "x"}}, "solver.damping: 'x' is not a number"),
        ({"estimator": {"name": "two_sided", "radius": 0}}, "estimator.radius: 0"),
        ({"estimator": {"name": "lock_in"}}, "estimator.period: needs 1600 evaluations of 120"),
        (
            {"audit": {"evaluation": {"samples": 40}}},
            "audit.evaluation.samples: 40 is more than",
        ),
        ({"gate": float("nan")}, "gate: nan is not"),
    ],
)
def test_bad_runs_are_refused(text, values: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        task(text, **values)


def test_a_run_without_text_is_refused() -> None:
    with pytest.raises(InputError, match="text"):
        build(PARAMS, {})


@pytest.fixture
def weights(text, tmp_path) -> Path:
    made = task(text)
    save_weights(tmp_path / "weights.safetensors", made.model, PARAMS)
    return tmp_path / "weights.safetensors"


def test_the_command_prints_a_verdict_for_every_sample(weights, text, capsys) -> None:
    assert specseq(["audit", str(weights), "--text", str(text), "--samples", "3", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in record["samples"]] == ["STABLE"] * 3
    assert record["verdicts"] == {"STABLE": 15}
    assert record["step"] == 0.1
    assert record["summary"]["alpha"] == max(row["alpha"] for row in record["samples"])
    assert specseq(["audit", str(weights), "--step", "2"]) == 0
    shown = capsys.readouterr().out
    assert "EULER-WALL" in shown
    assert "random symbols" in shown


def test_the_command_sweeps_the_step(weights, capsys) -> None:
    assert specseq(["audit", str(weights), "--samples", "2", "--steps", "0.1", "0.01", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["steps"]
    assert [row["step"] for row in rows] == [0.1, 0.01]
    for row in rows:
        assert row["step_residual"] == pytest.approx(row["step"] * row["force_residual"])
    assert specseq(["audit", str(weights), "--samples", "1", "--steps", "0.1"]) == 0
    assert "sweep: step 0.1, step_residual" in capsys.readouterr().out
    assert specseq(["audit", str(weights), "--steps", "-1"]) == 2
    assert "steps" in capsys.readouterr().err


def test_the_command_tells_checkpoints_apart_and_keeps_what_it_found(weights, text, tmp_path, capsys) -> None:
    words = ["audit", str(weights), "--text", str(text), "--samples", "2", "--out", str(tmp_path / "kept")]
    assert specseq([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["fingerprint"]) == {"loss", "loss_converged", "force_residual", "cos_exact", "cos_bptt"}
    assert found["fingerprint"]["cos_bptt"] > 0.99
    table, modes, summary = (
        read_parquet(tmp_path / "kept" / f"{name}.parquet") for name in ("audit", "spectrum", "fingerprint")
    )
    assert table["verdict"].value_counts().to_dict() == found["verdicts"]
    assert set(table["checkpoint"]) == {str(weights)}
    assert len(modes) == 2 * 5 * 8
    assert summary.set_index("metric")["value"]["alpha"] == found["summary"]["alpha"]
    assert read_provenance(tmp_path / "kept" / "audit.parquet")["parameters"]["samples"] == 2
    for suffix in ("svg", "png", "pdf"):
        assert (tmp_path / "kept" / f"spectrum.{suffix}").stat().st_size > 5000
    assert specseq(words) == 0
    assert "fingerprint: loss " in capsys.readouterr().out
    (tmp_path / "file").touch()
    assert specseq(["audit", str(weights), "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_a_budget_that_ends_early_gives_no_stable_verdict(weights, capsys) -> None:
    for budget in ("1", "4"):
        assert specseq(["audit", str(weights), "--budget", budget, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert set(record["verdicts"]) <= {"NO-ROOT", "TRANSIENT"}
    assert specseq(["audit", str(weights), "--budget", "4", "--step", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["verdicts"]) == {"NO-ROOT"}
    assert record["summary"]["alpha"] is None
    assert record["samples"][0]["rho"] is None


def test_bad_checkpoints_are_named(weights, text, tmp_path, capsys) -> None:
    block, _ = load_block(weights)
    with torch.no_grad():
        block.key[0, 0] = math.nan
    save_weights(tmp_path / "nan.safetensors", block, PARAMS)
    save_weights(tmp_path / "shape.safetensors", block, change(model__width=16))
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(2, 2), {"study": "zeta"})
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    (tmp_path / "folder.safetensors").mkdir()
    for name, fault in (
        ("nan", "not finite"),
        ("shape", "its parameters say"),
        ("other", "no equilibrium block"),
        ("broken", "not a readable"),
        ("missing", "no such file"),
        ("folder", "no such file"),
    ):
        assert specseq(["audit", str(tmp_path / f"{name}.safetensors")]) == 2
        printed = capsys.readouterr().err
        assert fault in printed
        assert printed.count("\n") == 1
    tensors = {name: tensor.detach() for name, tensor in load_block(weights)[0].named_parameters()}
    metadata = {"params": json.dumps(PARAMS)}
    for name, changed, facts, fault in (
        ("flat", {"token": torch.zeros(3)}, metadata, "no equilibrium block"),
        ("scalar", {"token": torch.tensor(3.0)}, metadata, "no equilibrium block"),
        ("whole", {"key": torch.ones(8, 8, dtype=torch.int64)}, metadata, "key holds torch.int64"),
        ("more", {"bias": torch.zeros(3)}, metadata, "unknown weights bias"),
        ("huge", {}, {"params": json.dumps(change(model__width=1 << 40))}, "its parameters say"),
        ("odd", {}, {"params": json.dumps(change(model__width="x"))}, "run.model.width: 'x' is not"),
        ("list", {}, {"params": "[3]"}, "no equilibrium block"),
        ("text", {}, {"params": "{"}, "are no JSON"),
        ("none", {}, {}, "not the parameters of their run"),
    ):
        save_file({**tensors, **changed}, tmp_path / f"{name}.safetensors", facts)
        assert specseq(["audit", str(tmp_path / f"{name}.safetensors")]) == 2
        printed = capsys.readouterr().err
        assert fault in printed, printed
        assert printed.count("\n") == 1
    for words, fault in (
        (["--samples", "0"], "--samples: 0 is not"),
        (["--step", "inf"], "--step: inf is not a finite number"),
        (["--budget", "0"], "--budget: 0 is not"),
        (["--tolerance", "nan"], "--tolerance: nan is not a finite number"),
        (["--tolerance", "1"], "--tolerance: 1.0 is not"),
        (["--text", str(tmp_path / "nowhere")], "nowhere: no such folder"),
        (["--text", str(tmp_path)], "no prepared text"),
    ):
        assert specseq(["audit", str(weights), *words]) == 2
        assert fault in capsys.readouterr().err
    prepare_text(tmp_path, TextSettings(source=Grammar(characters=2000, symbols=9)))
    with pytest.raises(InputError, match="symbols, the block 6"):
        audit_texts(load_block(weights)[0], 2, tmp_path)


def test_the_audit_stage_writes_its_tables(weights, text, tmp_path) -> None:
    out, spectrum, fingerprint = (
        tmp_path / f"{name}.parquet" for name in ("audit", "spectrum", "fingerprint")
    )
    files = {"verdicts": out, "spectrum": spectrum, "fingerprint": fingerprint}
    stage_call.run(
        "audit", checkpoint=weights, text=text, run="equilibrium/a/b", audit={"samples": 2}, **files
    )
    table, modes, summary = pd.read_parquet(out), pd.read_parquet(spectrum), pd.read_parquet(fingerprint)
    assert len(table) == 2 * 5
    assert len(modes) == 2 * 5 * 8
    assert {"checkpoint", "sample", "position", "alpha", "rho", "eps_crit", "omega", "kappa"} < set(table)
    rightmost = modes.groupby(["sample", "position"])["re"].max().to_numpy()
    assert rightmost == pytest.approx(table["alpha"].to_numpy())
    values = summary.set_index("metric")["value"]
    assert values["alpha"] == table["alpha"].max()
    assert values["cos_exact"] > 0.999
    assert values["residual_identity"] == pytest.approx(1)
    assert values["converged_unstable_roots"] == 0
    assert values["power_iteration_error"] > 0
    assert values["subspace_error"] > 0


def test_the_text_stage_says_what_it_made(tmp_path, capsys) -> None:
    source = {"kind": "grammar", "characters": 3000, "symbols": 4}
    stage_call.run("text", manifest=tmp_path / "t" / "manifest.json", text={"source": source})
    assert "3000 tokens of 4 symbols" in capsys.readouterr().out
    assert (tmp_path / "t" / "manifest.json").exists()


def test_an_interrupted_audit_keeps_the_samples_it_has(weights, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("specseq.equilibrium.audit.PART", 2)
    monkeypatch.setattr("specseq.commands.audit.Progress.interval", 0, raising=False)
    original, calls = audit_module.audit_block, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(audit_module, "audit_block", interrupted)
    words = ["audit", str(weights), "--samples", "8", "--out", str(tmp_path / "kept"), "--json"]
    assert specseq(words) == 143
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["samples"]) == 4
    assert "samples 2/8 eta" in printed.err
    assert "terminated" in printed.err
    table = read_parquet(tmp_path / "kept" / "audit.parquet")
    assert table["sample"].nunique() == 4
    assert read_provenance(tmp_path / "kept" / "audit.parquet")["samples"] == 4
    calls[:] = [None, None]
    assert specseq(words[:-3]) == 143  # nothing is done yet, nothing is kept

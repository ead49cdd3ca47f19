"""The audit as command and stage: a verdict for every sample, and which checkpoints it refuses."""

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
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.text.config import Grammar, TextSettings
from specseq.equilibrium.text.store import prepare_text
from specseq.errors import InputError
from specseq.tables import read_parquet, read_provenance
from specseq.training.checkpoint import save_weights
from tests import stage_call
from tests.equilibrium.test_pretraining import PARAMS, change, task


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
        ("text", {}, {"params": "{"}, "are not JSON"),
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


def test_an_interrupted_audit_keeps_the_samples_it_has(weights, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("specseq.equilibrium.audit.PART", 2)
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

"""The stage: a tiny Moirai2 from a store on disk to weights that forecast, interrupted and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.models.protocol import Query
from specseq.models.registry import load_forecaster
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.stages.request import save
from specseq.tables import LONG_COLUMNS, read_parquet, read_provenance

PARAMS: dict[str, Any] = {
    "study": "preconditioning",
    "seed": 2,
    "model": {
        "kind": "moirai2",
        "d_model": 16,
        "layers": 1,
        "heads": 1,
        "d_ff": 24,
        "patch": 8,
        "tokens": 32,
    },
    "filter": {"family": "lyapunov", "degree": 2, "lam": 1},
    "preconditioning": {"learnable": True, "fir": {"weight": 0.1, "length": 8}},
    "training": {
        "steps": 80,
        "batch": 2,
        "lr": 0.01,
        "warmup": 0.1,
        "checkpoint_every": 10,
        "tensorboard": False,
    },
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    start = np.datetime64("2020-01-01T00:00:00")
    items = [
        Item(
            f"item{n}",
            start,
            "H",
            (10 + np.sin(np.arange(200) / 4) + 0.1 * draw.standard_normal(200)).astype(np.float32),
        )
        for n in range(6)
    ]
    write_folder(tmp_path / "corpus" / "sines", items, licence="CC0", source="tests")
    prepare_store(tmp_path / "corpus", tmp_path / "store", min_length=16)
    return tmp_path / "store"


def command(tmp_path: Path, store: Path, where: str, params: dict[str, Any], **fields: str) -> list[str]:
    folder = tmp_path / where
    request = {
        "run": "preconditioning/test/a_seed2",
        "params": params,
        "inputs": {"store": store},
        "weights": folder / "out" / "weights.safetensors",
        "metrics": folder / "out" / "pretrain.parquet",
        "checkpoints": folder / "checkpoints",
        "jobs": folder / "job",
        **fields,
    }
    file = save(tmp_path / "requests", request)
    return [sys.executable, "-m", "specseq.stages.pretrain", "--request", str(file)]


def test_killed_and_started_again_ends_the_same(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    stage = subprocess.Popen(command(tmp_path, store, "cut", PARAMS))
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "cut" / "checkpoints").glob("checkpoint_*")):
            assert stage.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        stage.kill()
        assert stage.wait(timeout=60) == -signal.SIGKILL
    finally:
        stage.kill()
    for where in ("cut", "whole"):
        subprocess.run(command(tmp_path, store, where, PARAMS), check=True)
    tables = {
        where: read_parquet(tmp_path / where / "out" / "pretrain.parquet") for where in ("cut", "whole")
    }
    pd.testing.assert_frame_equal(tables["cut"], tables["whole"], check_exact=True)
    weights = [tmp_path / where / "out" / "weights.safetensors" for where in ("cut", "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    facts = read_provenance(tmp_path / "cut" / "out" / "pretrain.parquet")
    assert facts["resumed_from"] >= 10
    assert facts["stage"] == "pretrain"

    table = tables["whole"]
    assert list(table.columns) == list(LONG_COLUMNS)
    losses = table[table.metric == "loss"].value.to_numpy()
    assert len(losses) == 80
    assert losses[-20:].mean() < 0.9 * losses[:20].mean()
    taps = table[table.metric == "tap_2"].value.to_numpy()
    assert len(np.unique(taps)) > 60
    context = (10 + np.sin(np.arange(100) / 4)).astype(np.float32)
    forecast = load_forecaster(weights[0]).forecast([context], Query(12, (0.1, 0.5, 0.9)))
    assert forecast.shape == (1, 3, 12)
    assert np.isfinite(forecast).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"kind": "moirai3"}}, "model.kind: 'moirai3'"),
        ({"data": {"pond": 3}}, "data.pond: unknown key"),
    ],
    ids=json.dumps,
)
def test_bad_parameters_end_in_one_line(
    tmp_path: Path, store: Path, change: dict[str, Any], message: str
) -> None:
    arguments = command(tmp_path, store, "bad", PARAMS | change)
    done = subprocess.run(
        arguments, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr.splitlines()[-1]
    assert not (tmp_path / "bad" / "out").exists()


def test_missing_store_is_named(tmp_path: Path) -> None:
    arguments = command(tmp_path, tmp_path / "nowhere", "bad", PARAMS)
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 2
    missing = tmp_path / "nowhere"
    assert done.stderr == f"error: {missing}: no such input; make it with: snakemake --cores all {missing}\n"


def test_run_of_no_study_is_named(tmp_path: Path) -> None:
    arguments = command(tmp_path, tmp_path, "bad", PARAMS, run="nothing/test/a")
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: request.run: 'nothing/test/a' is of no study; known: ")
    assert done.stderr.count("\n") == 1


def test_what_begins_from_a_diverged_run_is_a_diverged_run(tmp_path: Path, store: Path) -> None:
    from specseq.models.moirai2.training import build, model_of
    from specseq.training.checkpoint import save_weights

    initial = tmp_path / "initial.safetensors"
    save_weights(initial, model_of(PARAMS), PARAMS, diverged="the loss is nan at step 5")
    task = build(PARAMS, {"store": store, "initial": initial})
    assert task.diverged == "the run that it begins from did: the loss is nan at step 5"
    save_weights(initial, model_of(PARAMS), PARAMS)
    assert build(PARAMS, {"store": store, "initial": initial}).diverged is None

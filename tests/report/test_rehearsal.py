"""A rehearsal says of each run what its full training takes, and what would stop it."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from specseq.report.rehearsal import Rehearsed, rehearsal_table
from specseq.tables import Provenance, write_parquet

COSTS = {"seconds_per_step": 3.6, "waiting_share": 0.5, "host_peak_mb": 900.0}


def row(folder: Path, facts: dict[str, Any] | None, batch: int = 8, gpus: int = 0) -> dict[str, Any]:
    result = folder / "pretrain.parquet"
    if facts is not None:
        provenance = Provenance("pretrain")
        provenance.facts |= facts
        write_parquet(result, pd.DataFrame({"value": [1.0]}), provenance)
    run = Rehearsed(
        run="a/b/c",
        result=result,
        steps=2000,
        batch=batch,
        published_batch=8,
        minutes=60,
        mem_mb=1000,
        gpus=gpus,
        signal_delay_s=120,
    )
    return dict(rehearsal_table([run]).iloc[0])


def test_hours_and_jobs_of_the_full_training(tmp_path: Path) -> None:
    made = row(tmp_path, {"costs": COSTS})
    assert (made["hours"], made["jobs"], made["verdict"]) == (2.0, 2, "fits")


def test_small_batches_tell_nothing_of_the_hours(tmp_path: Path) -> None:
    made = row(tmp_path, {"costs": COSTS, "resumed_from": 1}, batch=2)
    assert math.isnan(made["hours"])
    assert math.isnan(made["jobs"])
    assert (made["resumed_from"], made["verdict"]) == (1, "runs, with 2 of 8 rows")


def test_what_ran_without_its_gpu_does_not_fit(tmp_path: Path) -> None:
    assert row(tmp_path, {"costs": COSTS}, gpus=1)["verdict"].startswith("was rehearsed on the CPU")
    costs = {**COSTS, "device_peak_mb": 9.0, "device_mb": 100.0}
    assert row(tmp_path, {"costs": costs}, gpus=1)["verdict"] == "fits"


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (None, "failed"),
        ({"costs": COSTS, "diverged": "the loss is nan"}, "diverged: the loss is nan"),
        ({"costs": {**COSTS, "seconds_per_step": 130.0}}, "a step is longer than signal_delay_s"),
        ({"costs": {**COSTS, "host_peak_mb": 1001.0}}, "needs more memory than mem_mb"),
        ({"costs": {**COSTS, "device_peak_mb": 99.0, "device_mb": 100.0}}, "fills the card"),
    ],
)
def test_what_would_stop_it(tmp_path: Path, facts: dict[str, Any] | None, verdict: str) -> None:
    assert row(tmp_path, facts)["verdict"].startswith(verdict)

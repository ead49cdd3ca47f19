"""What a rehearsal measured of each run, against what its full training asks for.

Columns: ``run``; ``batch`` of the rehearsal and ``published_batch``; ``steps`` of the full training;
``resumed_from``, the step at which the rehearsal resumed after it was stopped; ``seconds_per_step``;
``waiting_share``, the share of this time spent waiting for batches; ``evaluation_seconds``, the time of an
evaluation during training; ``host_peak_mb`` and ``device_peak_mb``, peak memory; ``device_mb``, the memory of
the card (NaN without one); ``hours`` of the full training, without its evaluations, and the ``jobs`` that it
takes at the time limit (NaN where the batch is not the published one); ``verdict``: *fits*, or what does not.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from specseq.settings import STRICT, Field, dataclass
from specseq.tables import read_provenance

MEASURED = (
    *("seconds_per_step", "waiting_share", "evaluation_seconds"),
    *("host_peak_mb", "device_peak_mb", "device_mb"),
)


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Rehearsed:
    """A run that was rehearsed, and what its full training may take."""

    run: str = Field(description="run id")
    result: Path = Field(description="its pretrain.parquet, which is not there where the rehearsal failed")
    steps: int = Field(ge=1, description="steps of the full training")
    batch: int = Field(ge=1, description="rows of a batch in the rehearsal")
    published_batch: int = Field(ge=1, description="rows of a batch in the full training")
    minutes: int = Field(ge=1, description="time limit of a job")
    mem_mb: int = Field(ge=1, description="memory of a job")
    gpus: int = Field(default=0, ge=0, description="GPUs of a job")
    signal_delay_s: int = Field(ge=1, description="seconds between the signal to leave and the end")


def rehearsal_table(runs: Sequence[Rehearsed]) -> pd.DataFrame:
    """One row per run; see the module for the columns."""
    rows = [_row(run, read_provenance(run.result) if run.result.exists() else {}) for run in runs]
    return pd.DataFrame(rows)


def _row(run: Rehearsed, record: Mapping[str, Any]) -> dict[str, Any]:
    costs = record.get("costs", {})
    measured = {name: float(costs.get(name, math.nan)) for name in MEASURED}
    full = run.batch == run.published_batch
    hours = run.steps * measured["seconds_per_step"] / 3600 if full else math.nan
    jobs = math.nan if math.isnan(hours) else math.ceil(60 * hours / run.minutes)
    return {
        "run": run.run,
        "batch": run.batch,
        "published_batch": run.published_batch,
        "steps": run.steps,
        "resumed_from": int(record.get("resumed_from", 0)),
        **measured,
        "hours": hours,
        "jobs": jobs,
        "verdict": _verdict(run, record, measured),
    }


def _verdict(run: Rehearsed, record: Mapping[str, Any], measured: Mapping[str, float]) -> str:
    if not record:
        return "failed: see its log"
    if record.get("diverged"):
        return f"diverged: {record['diverged']}"
    if measured["seconds_per_step"] > run.signal_delay_s:
        return f"a step is longer than signal_delay_s, {run.signal_delay_s} s: raise it"
    if measured["host_peak_mb"] > run.mem_mb:
        return f"needs more memory than mem_mb, {run.mem_mb}: raise it"
    if measured["device_peak_mb"] > 0.95 * measured["device_mb"]:
        return "fills the card: raise training.micro_batches"
    if run.batch != run.published_batch:
        return f"runs, with {run.batch} of {run.published_batch} rows"
    if run.gpus and math.isnan(measured["device_mb"]):
        return "was rehearsed on the CPU: torch found no GPU"
    return "fits"

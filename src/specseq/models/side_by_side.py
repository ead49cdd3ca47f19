"""Trained MOIRAI models and hybrids measured side by side on the same fixed batches.

Runs with the same seed are timed in turns; everything runs on one CPU thread.

The result has the long shape with benchmark ``measurement`` and the key column ``threads``:

- ``parameters``; ``diverged``, 1 for a run that ended early, for which nothing else is measured;
- ``loss``, ``standardised_nll``: on the fixed batches, drawn from the training corpus like the runs' training
  batches, but by a separate stream;
- ``step_seconds``, ``mixing_seconds``, ``steps_per_second``: CPU time of a training step on the first batch,
  and of its token mixing alone;
- ``packing_error``, ``alone_error``, ``causality_error``, ``causality_error_circular``: see
  :mod:`specseq.models.measurement`;
- ``gain``: gain of the first channels of each spectral unit (task ``layer<n>/channel<m>``, counting only
  spectral layers) at ``step``/64 of half a cycle per token;
- ``lag_attention``, ``lag_even``, ``lag_unit``: share of lag ``step`` in what layer n reads (task
  ``layer<n>``, counting all layers) on the first batch; with the suffix ``_ahead``, the share of later tokens
  (:mod:`specseq.models.lags`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from specseq.errors import InputError
from specseq.models.config import Measurement
from specseq.models.kinds import load_model
from specseq.models.lags import lag_profiles
from specseq.models.measurement import (
    alone_error,
    causality_errors,
    gains,
    mean_losses,
    packing_error,
    spectral_units,
    time_interleaved,
)
from specseq.models.moirai.config import MoiraiConfig, MoiraiData
from specseq.models.moirai.model import Moirai
from specseq.models.moirai.training import packed_stream
from specseq.models.registry import read_params
from specseq.seeding import stream_seed
from specseq.series.batch import PackedBatch
from specseq.settings import STRICT, Field, dataclass, plain, read
from specseq.tables import Provenance, long_table, write_parquet
from specseq.training.checkpoint import diverged

CHANNELS = 4


@dataclass(frozen=True, config=STRICT, kw_only=True)
class MeasureRequest:
    """Trained models to measure side by side."""

    weights: tuple[Path, ...] = Field(min_length=1, description="weights.safetensors of the runs")
    store: Path = Field(description="manifest of the prepared training corpus")
    out: Path = Field(description="Parquet file to write")
    sizes: Measurement = Measurement()


def measure(request: MeasureRequest) -> None:
    """Measure models and write the table.

    Raises:
        InputError: a file holds no weights of a MOIRAI run, or the models need different batches.
    """
    torch.set_num_threads(1)
    provenance = Provenance("measure", plain(request.sizes))
    params = {path: _params(path) for path in request.weights}
    by_seed: dict[int, dict[str, Path]] = {}
    for path, of_run in params.items():
        seed = int(of_run.get("seed", 0))
        by_seed.setdefault(seed, {})["/".join(path.resolve().parent.parts[-3:])] = path
    batches = _batches(params, request.store.parent, request.sizes)
    rows = [
        {"study": "stu", "seed": seed, "benchmark": "measurement", "threads": 1, **row}
        for seed, runs in by_seed.items()
        for row in _measure(runs, batches, request.sizes.repeats)
    ]
    provenance.facts["runs"] = len(request.weights)
    write_parquet(request.out, long_table(rows, ("threads",)), provenance)


def _params(weights: Path) -> dict[str, Any]:
    params = read_params(weights)
    if params is None or params.get("model", {}).get("kind") != "moirai":
        raise InputError(weights, "not the weights of a MOIRAI run", "give a file of 'pretrain'")
    return params


def _measure(runs: Mapping[str, Path], batches: list[PackedBatch], repeats: int) -> Iterator[dict[str, Any]]:
    """Rows of the runs with one seed."""
    models: dict[str, Moirai] = {}
    for run, path in runs.items():
        lost = diverged(path) is not None
        yield {"run": run, "task": "training", "metric": "diverged", "value": float(lost)}
        if not lost:
            model = load_model(path)
            assert isinstance(model, Moirai)
            models[run] = model.eval()
    if not models:
        return
    timings = time_interleaved(models, batches[0], repeats)
    for run, model in models.items():
        step, mixing = timings[run]
        found = {
            "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
            **mean_losses(model, batches),
            "packing_error": packing_error(model, batches[0]),
            "alone_error": alone_error(model, batches[0]),
            **causality_errors(model, batches[0]),
            "step_seconds": step,
            "mixing_seconds": mixing,
            "steps_per_second": 1 / step,
        }
        for metric, value in found.items():
            yield {"run": run, "task": "fixed batches", "metric": metric, "value": value}
        yield from ({"run": run, **row} for row in _responses(model))
        yield from ({"run": run, **row} for row in _lags(model, batches[0]))


def _batches(params: Mapping[Path, Mapping[str, Any]], store: Path, sizes: Measurement) -> list[PackedBatch]:
    """Batches that no run was trained on, drawn in the same way from the same series."""
    configs = [read(MoiraiConfig, of_run["model"], "model") for of_run in params.values()]
    shapes = {(config.max_length, config.patch_sizes) for config in configs}
    if len(shapes) > 1:
        fault = f"the models take batches of different shapes {sorted(shapes)}"
        raise InputError("weights", fault, "measure them apart")
    drawn = {path: of_run.get("data") or {} for path, of_run in params.items()}
    first, data = next(iter(drawn.items()))
    for path, others in drawn.items():
        if others != data:
            fault = f"its 'data' are {others}, those of {first} are {data}"
            raise InputError(path, fault, "measure them apart")
    seed = stream_seed(0, "fixed batches")
    stream = packed_stream(configs[0], read(MoiraiData, data, "data"), store, sizes.rows, seed)
    return [next(stream) for _ in range(sizes.batches)]


def _lags(model: Moirai, batch: PackedBatch) -> Iterator[dict[str, Any]]:
    for profile in lag_profiles(model, batch):
        row, metric = {"task": f"layer{profile.layer}"}, f"lag_{profile.mixer}"
        for lag, share in enumerate(profile.share_L):
            yield {**row, "step": lag, "metric": metric, "value": float(share)}
        if profile.mixer != "unit":
            yield {**row, "step": 0, "metric": f"{metric}_ahead", "value": profile.ahead}


def _responses(model: Moirai) -> Iterator[dict[str, Any]]:
    for number, unit in enumerate(spectral_units(model)):
        if unit.mode == "full":
            continue
        for channel, gains_F in enumerate(gains(unit).T[:CHANNELS]):
            for step, gain in enumerate(gains_F):
                task = f"layer{number}/channel{channel}"
                yield {"task": task, "step": step, "metric": "gain", "value": float(gain)}

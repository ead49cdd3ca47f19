"""Measure trained MOIRAI models and hybrids side by side on fixed batches, the same for all of them.

Parameters (``--params``): ``rows`` of a batch, ``batches`` over which the loss is the mean, ``repeats`` of
the timing. Runs of one seed are timed in turns; everything runs on one thread of the CPU.

The result has the long shape, benchmark ``measurement``, with the key column ``threads``:

- ``parameters``; ``diverged``, 1 for a run that was ended early, of which nothing else is measured;
- ``loss``, ``standardised_nll``: on the fixed batches, which are drawn from the training corpus as the runs'
  training batches are, by a stream of their own;
- ``step_seconds``, ``mixing_seconds``, ``steps_per_second``: CPU time of a training step on the first batch,
  and of its token mixing alone;
- ``packing_error``, ``alone_error``, ``causality_error``, ``causality_error_circular``: see
  :mod:`specseq.models.measurement`;
- ``gain``: of the first channels of each spectral unit (task ``layer<n>/channel<m>``, layers counted among
  the spectral ones), at ``step`` 64ths of half a cycle a token.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specseq.errors import InputError
from specseq.stages import arguments

if TYPE_CHECKING:
    from specseq.models.moirai.model import Moirai
    from specseq.series.batch import PackedBatch

SIZES = {"rows": 4, "batches": 8, "repeats": 5}
CHANNELS = 4


def main() -> None:
    """Parse, measure, write."""
    parser = arguments.parser(__doc__.splitlines()[0])
    arguments.add_inputs(parser)
    parser.add_argument("--store", type=Path, required=True, help="prepared training corpus")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    sizes = _sizes(options.params)
    weights = arguments.inputs(options).get("weights", [])
    if not weights:
        raise InputError("--input", "no weights among them", "give weights=FILE [FILE ...]")

    import torch

    from specseq.tables import Provenance, long_table, write_parquet

    torch.set_num_threads(1)
    provenance = Provenance("measure", sizes)
    params = {path: _params(path) for path in weights}
    by_seed: dict[int, dict[str, Path]] = {}
    for path, of_run in params.items():
        seed = int(of_run.get("seed", 0))
        by_seed.setdefault(seed, {})["/".join(path.resolve().parent.parts[-3:])] = path
    batches = _batches(params, options.store, sizes)
    rows: list[dict[str, Any]] = []
    for seed, runs in by_seed.items():
        for row in _measure(runs, batches, sizes["repeats"]):
            rows.append({"study": "stu", "seed": seed, "benchmark": "measurement", "threads": 1, **row})
    provenance.facts["runs"] = len(weights)
    write_parquet(options.out, long_table(rows, ("threads",)), provenance)


def _sizes(params: Mapping[str, Any]) -> dict[str, int]:
    arguments.check_keys(dict(params), set(SIZES))
    sizes = {**SIZES, **params}
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise InputError(f"params.{name}", f"{value!r} is not a positive whole number")
    return sizes


def _params(weights: Path) -> dict[str, Any]:
    from specseq.models.registry import read_params

    params = read_params(weights)
    if params is None or params.get("model", {}).get("kind") != "moirai":
        raise InputError(weights, "not the weights of a MOIRAI run", "give a file of 'pretrain'")
    return params


def _measure(
    runs: Mapping[str, Path], batches: "list[PackedBatch]", repeats: int
) -> Iterator[dict[str, Any]]:
    """Rows of the runs of one seed."""
    from specseq.models.measurement import mean_losses, time_interleaved
    from specseq.training.checkpoint import diverged

    models: dict[str, Moirai] = {}
    for run, path in runs.items():
        lost = diverged(path) is not None
        yield {"run": run, "task": "training", "metric": "diverged", "value": float(lost)}
        if not lost:
            models[run] = _load(path)
    if not models:
        return
    timings = time_interleaved(models, batches[0], repeats)
    for run, model in models.items():
        timing = timings[run]
        found = {
            "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
            **mean_losses(model, batches),
            **_leaks(model, batches[0]),
            "step_seconds": timing.step,
            "mixing_seconds": timing.mixing,
            "steps_per_second": 1 / timing.step,
        }
        for metric, value in found.items():
            yield {"run": run, "task": "fixed batches", "metric": metric, "value": value}
        yield from ({"run": run, **row} for row in _responses(model))


def _load(weights: Path) -> "Moirai":
    from specseq.models.kinds import load_model
    from specseq.models.moirai.model import Moirai

    model = load_model(weights)
    assert isinstance(model, Moirai)
    return model.eval()


def _batches(
    params: Mapping[Path, Mapping[str, Any]], store: Path, sizes: Mapping[str, int]
) -> "list[PackedBatch]":
    """Batches that no run was trained on, though of the same series and drawn alike."""
    from specseq.models.moirai.config import MoiraiConfig, MoiraiData
    from specseq.models.moirai.training import packed_stream
    from specseq.seeding import stream_seed
    from specseq.settings import read

    configs = [read(MoiraiConfig, of_run["model"], "model") for of_run in params.values()]
    shapes = {(config.max_length, config.patch_sizes) for config in configs}
    if len(shapes) > 1:
        raise InputError(
            "--input", f"the models take batches of different shapes {sorted(shapes)}", "measure them apart"
        )
    drawn = {path: of_run.get("data") or {} for path, of_run in params.items()}
    first, data = next(iter(drawn.items()))
    for path, others in drawn.items():
        if others != data:
            raise InputError(
                path, f"its 'data' are {others}, those of {first} are {data}", "measure them apart"
            )
    seed = stream_seed(0, "fixed batches")
    stream = packed_stream(configs[0], read(MoiraiData, data, "data"), store, sizes["rows"], seed)
    return [next(stream) for _ in range(sizes["batches"])]


def _leaks(model: "Moirai", batch: "PackedBatch") -> dict[str, float]:
    from specseq.models.measurement import alone_error, causality_errors, packing_error

    return {
        "packing_error": packing_error(model, batch),
        "alone_error": alone_error(model, batch),
        **causality_errors(model, batch),
    }


def _responses(model: "Moirai") -> Iterator[dict[str, Any]]:
    from specseq.models.measurement import gains, spectral_units

    for number, unit in enumerate(spectral_units(model)):
        if unit.mode == "full":
            continue
        for channel, gains_F in enumerate(gains(unit).T[:CHANNELS]):
            for step, gain in enumerate(gains_F):
                task = f"layer{number}/channel{channel}"
                yield {"task": task, "step": step, "metric": "gain", "value": float(gain)}


if __name__ == "__main__":
    arguments.run(main)

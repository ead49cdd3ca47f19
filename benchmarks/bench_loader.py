"""Loader speed: samples and tokens per CPU-second, side by side with uni2ts on the same corpus.

Both sides run the ten transforms of MOIRAI and first-fit-decreasing packing into rows of 512 tokens, in this
process, without workers, in alternating rounds. uni2ts is not a dependency: ``--peer DIR`` names the
site-packages that hold it; ``tests/referee/install.py`` makes them. Without it only this package is measured.
Series too short for uni2ts, which ends with an error on them, are left out for both, and neither stacks
series of a sub-dataset.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus
from specseq.series.moirai import MoiraiCrops
from specseq.series.prepare import prepare_store
from specseq.series.store import Store, open_store
from specseq.series.stream import moirai2_stream, moirai_stream

ROWS, TOKENS, POOL = 128, 512, 256
Counts = tuple[int, int]


def count(sample_id: Any) -> Counts:
    """Samples and tokens of a batch."""
    return int(sample_id.max(dim=1).values.sum()), int((sample_id > 0).sum())


def ours(stream: Any) -> Iterator[Counts]:
    while True:
        yield count(next(stream).sample_id)


def peer(folder: Path, store: Store) -> Iterator[Counts]:
    """uni2ts' own data set, transforms, collate and loader on the same series, uniformly by series."""
    sys.path.insert(0, str(folder))
    from datasets import disable_progress_bars, load_from_disk
    from torch.utils.data import ConcatDataset
    from uni2ts import transform as t
    from uni2ts.data.dataset import TimeSeriesDataset
    from uni2ts.data.indexer import HuggingFaceDatasetIndexer
    from uni2ts.data.loader import DataLoader, PackCollate

    disable_progress_bars()
    # Newer pandas and gluonts spell these differently from what uni2ts looks up.
    ranges = t.DefaultPatchSizeConstraints.DEFAULT_RANGES
    ranges |= {"h": ranges["H"], "min": ranges["T"], "ME": ranges["M"], "QE": ranges["Q"], "YE": ranges["Y"]}
    target, extra = ("target",), ("past_feat_dynamic_real",)
    chain = (
        t.SampleDimension(max_dim=128, fields=target, optional_fields=extra)
        + t.GetPatchSize(min_time_patches=2, patch_sizes=(8, 16, 32, 64, 128))
        + t.PatchCrop(min_time_patches=2, max_patches=TOKENS, will_flatten=True, fields=target)
        + t.PackFields(output_field="target", fields=target)
        + t.AddObservedMask(fields=target, optional_fields=extra, collection_type=dict)
        + t.ImputeTimeSeries(fields=target, optional_fields=extra)
        + t.Patchify(max_patch_size=128, fields=("target", "observed_mask"))
        + t.AddVariateIndex(fields=target, expected_ndim=3, max_dim=128, randomize=True, collection_type=dict)
        + t.AddTimeIndex(fields=target, expected_ndim=3, collection_type=dict)
        + t.MaskedPrediction(min_mask_ratio=0.15, max_mask_ratio=0.5, expected_ndim=3)
        + t.ExtendMask(fields=(), optional_fields=extra, mask_field="prediction_mask", expected_ndim=3)
        + t.FlatPackCollection(field="variate_id")
        + t.FlatPackCollection(field="time_id")
        + t.FlatPackCollection(field="prediction_mask")
        + t.FlatPackCollection(field="observed_mask", feat=True)
        + t.FlatPackFields(output_field="target", fields=target, feat=True)
        + t.SequencifyField(field="patch_size")
        + t.SelectFields(
            fields=["target", "observed_mask", "time_id", "variate_id", "prediction_mask", "patch_size"]
        )
    )
    source = Path(store.manifest["source"])
    parts = []
    for number, name in enumerate(store.datasets):
        rows = store.row[store.dataset == number].tolist()
        if rows:
            table = load_from_disk(str(source / name)).select(rows)
            parts.append(TimeSeriesDataset(HuggingFaceDatasetIndexer(table), chain))
    fields = ("target", "observed_mask", "time_id", "variate_id", "prediction_mask", "patch_size")
    loader = DataLoader(
        ConcatDataset(parts),
        batch_size=ROWS,
        batch_size_factor=POOL / ROWS,
        cycle=True,
        shuffle=True,
        collate_fn=PackCollate(max_length=TOKENS, seq_fields=fields),
    )
    for batch in loader:
        yield count(batch["sample_id"])


def measure(sides: dict[str, Iterator[Counts]], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Median over rounds of samples and tokens per CPU-second; the sides take turns."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for side in sides.values():
        next(side)
    for _ in range(rounds):
        for name, side in sides.items():
            samples = tokens = 0
            started = time.process_time()
            while (spent := time.process_time() - started) < seconds:
                more = next(side)
                samples, tokens = samples + more[0], tokens + more[1]
            rates[name].append((samples / spent, tokens / spent))
    return {
        name: {
            "samples_per_cpu_second": median(rate[0] for rate in found),
            "tokens_per_cpu_second": median(rate[1] for rate in found),
        }
        for name, found in rates.items()
    }


def corpus(folder: Path | None, scratch: Path) -> Store:
    """The store to read: of a given corpus, or of embedded series of 2,048 steps."""
    if folder is None:
        folder = scratch / "corpus"
        write_corpus(folder, embedded_sets(0, EmbeddedSizes(series=64, steps=2048, evaluated=1)))
    prepare_store(folder, scratch / "store")
    store = open_store(scratch / "store")
    return store.select(MoiraiCrops(store).eligible)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer", type=Path, help="folder that holds uni2ts")
    parser.add_argument("--corpus", type=Path, help="folder in LOTSA's layout instead of the embedded series")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU-seconds of each side in a round")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    np.random.seed(0)  # noqa: NPY002 - the peer draws from the global generator
    with tempfile.TemporaryDirectory() as scratch:
        store = corpus(options.corpus, Path(scratch))
        sides: dict[str, Iterator[Counts]] = {
            "MOIRAI transforms": ours(moirai_stream(store, ROWS, tokens=TOKENS, pool=POOL, stacked=())),
            "Moirai2 crops with the anomaly rule": ours(
                moirai2_stream(store, ROWS, tokens=TOKENS, pool=POOL)
            ),
        }
        if options.peer:
            sides["uni2ts, MOIRAI transforms"] = peer(options.peer, store)
        figures: dict[str, Any] = measure(sides, options.rounds, options.seconds)
    print(f"{'':<38}{'samples/CPU-s':>15}{'tokens/CPU-s':>15}")
    for name, found in figures.items():
        print(f"{name:<38}{found['samples_per_cpu_second']:>15,.0f}{found['tokens_per_cpu_second']:>15,.0f}")
    if options.peer:
        mine, theirs = figures["MOIRAI transforms"], figures["uni2ts, MOIRAI transforms"]
        figures["ratio"] = {key: mine[key] / theirs[key] for key in mine}
        print(
            f"{'ratio, MOIRAI transforms':<38}" + "".join(f"{r:>14.1f}×" for r in figures["ratio"].values())
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

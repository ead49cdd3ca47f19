"""What uni2ts draws, run by the interpreter of ``.cache/referee``: ``uni2ts_draws.py OUT``.

Every value of a series is its time step, so the transforms' output says which window was cut. Writes the
draws of each case, and the bins that its collate packs given lengths into.
"""

import sys
from typing import Any

import numpy as np
import pandas as pd
import torch
from uni2ts import transform as t
from uni2ts.data.loader import PackCollate

# Case -> (frequency as pandas spells it now, steps, variates); the test has the same.
CASES = {"hourly": ("h", 5000, 1), "wide": ("ME", 700, 6), "daily": ("D", 333, 1), "short": ("QE", 20, 1)}
DRAWS = 4000


def chain() -> Any:
    target = ("target",)
    return (
        t.SampleDimension(max_dim=128, fields=target)
        + t.GetPatchSize(min_time_patches=2, patch_sizes=(8, 16, 32, 64, 128))
        + t.PatchCrop(min_time_patches=2, max_patches=512, will_flatten=True, fields=target)
        + t.PackFields(output_field="target", fields=target)
        + t.Patchify(max_patch_size=128, fields=target)
        + t.MaskedPrediction(min_mask_ratio=0.15, max_mask_ratio=0.5, expected_ndim=3)
    )


def main() -> None:
    assert pd.__version__ > "2.2", "the spellings below are those of pandas 2.2"
    ranges = t.DefaultPatchSizeConstraints.DEFAULT_RANGES
    ranges |= {"h": ranges["H"], "ME": ranges["M"], "QE": ranges["Q"]}
    np.random.seed(0)  # noqa: NPY002 - uni2ts draws from the global generator
    out: dict[str, np.ndarray] = {}
    for name, (freq, steps, variates) in CASES.items():
        rows = []
        for _ in range(DRAWS):
            series = [np.arange(float(steps)) for _ in range(variates)]
            drawn = chain()({"target": series, "freq": freq})
            values, mask = drawn["target"], drawn["prediction_mask"]
            rows.append(
                (drawn["patch_size"], values.shape[1], values.shape[0], mask[0].sum(), values[0, 0, 0])
            )
        out[name] = np.array(rows, dtype=np.int64)
    lengths = np.random.default_rng(1).integers(1, 513, 300)
    samples = [{"target": torch.full((n,), number)} for number, n in enumerate(lengths)]
    bins, _ = PackCollate(max_length=512, seq_fields=("target",)).first_fit_decreasing_bin_packing(samples)
    out["lengths"] = lengths
    out["bin"] = np.array([number for number, members in enumerate(bins) for _ in members])
    out["member"] = np.array([int(sample["target"][0]) for members in bins for sample in members])
    np.savez(sys.argv[1], **out)


if __name__ == "__main__":
    main()

"""What uni2ts makes of series with past features, run by ``.cache/referee``: ``uni2ts_tokens.py IN OUT``.

IN holds hourly series, ``CASE.target`` and ``CASE.past`` as ``[V, T]``. OUT receives, from upstream's own
chain of training transforms, ``CASE.counts`` of many samples (targets, past features, tokens of a target,
how many of them are predicted, patch size), and all tokens of the first of them.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from uni2ts import transform as t
from uni2ts.distribution import StudentTOutput
from uni2ts.model.moirai import MoiraiModule, MoiraiPretrain

FIELDS = ("target", "observed_mask", "time_id", "variate_id", "prediction_mask", "patch_size")
COUNTED, WHOLE = 3000, 60


def chain() -> Callable[[dict[str, Any]], dict[str, np.ndarray]]:
    module = MoiraiModule(StudentTOutput(), 64, 1, (8, 16, 32, 64, 128), 512, 0.0, 0.0)
    settings = {"min_patches": 2, "min_mask_ratio": 0.15, "max_mask_ratio": 0.5, "max_dim": 128}
    training = {"num_training_steps": 1, "num_warmup_steps": 0}
    return MoiraiPretrain(**settings, **training, module=module).train_transform_map["any"]()


def counts(sample: dict[str, np.ndarray]) -> tuple[int, ...]:
    predicted = sample["prediction_mask"]
    targets = np.unique(sample["variate_id"][predicted])
    one = sample["variate_id"] == targets[0]
    past = len(np.unique(sample["variate_id"])) - len(targets)
    return len(targets), past, one.sum(), predicted[one].sum(), sample["patch_size"][0]


def main(source: str, destination: str) -> None:
    assert pd.__version__ > "2.2", "the spelling below is that of pandas 2.2"
    ranges = t.DefaultPatchSizeConstraints.DEFAULT_RANGES
    ranges["h"] = ranges["H"]
    transform, given, out = chain(), np.load(source), {}
    np.random.seed(0)  # noqa: NPY002 - uni2ts draws from the global generator
    for case in {name.split(".")[0] for name in given}:
        fields = {"target": given[f"{case}.target"], "past_feat_dynamic_real": given[f"{case}.past"]}
        samples = []
        for _ in range(COUNTED):
            entry = {name: list(values.copy()) for name, values in fields.items()}
            samples.append(transform({**entry, "freq": "h"}))
        out[f"{case}.counts"] = np.array([counts(sample) for sample in samples])
        out[f"{case}.tokens"] = np.array([len(sample["time_id"]) for sample in samples[:WHOLE]])
        for field in FIELDS:
            out[f"{case}.{field}"] = np.concatenate([sample[field] for sample in samples[:WHOLE]])
    np.savez(destination, **out)


if __name__ == "__main__":
    main(*sys.argv[1:])

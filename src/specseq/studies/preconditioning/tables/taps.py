"""Taps that were learned: one row a (group, seed, tap), with the size of the whole filter.

``first`` is the tap at the first step that was recorded, ``value`` at the last, ``designed`` where it began.
``tap_norm``, ``tap_sum``, ``noise_gain``, ``absolute_gain`` and ``spectral_radius`` are of all taps together.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from specseq.filters import Filter, design, diagnose
from specseq.report.tidy import group_of
from specseq.tables import read_parquet, read_provenance

COLUMNS = [
    *("group", "seed", "stride", "degree", "tap", "designed", "first", "value", "steps"),
    *("tap_norm", "tap_sum", "noise_gain", "absolute_gain", "spectral_radius", "files", "scale"),
]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, the training metrics of each run.
        params: ``scale``.
    """
    made = [row for path in inputs["runs"] for row in _rows(path)]
    return pd.DataFrame(made, columns=COLUMNS[:-1]).assign(scale=params["scale"])[COLUMNS]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    frame = read_parquet(path)
    learned = frame[frame["metric"].str.fullmatch(r"tap_\d+")].sort_values("step")
    if learned.empty:
        return
    curves = learned.pivot(index="step", columns="metric", values="value")
    curves = curves[sorted(curves.columns, key=lambda name: int(str(name).removeprefix("tap_")))]
    spec = read_provenance(path)["parameters"]["filter"]
    taps = tuple(float(tap) for tap in curves.iloc[-1])
    found = diagnose(Filter("learned", taps, int(spec.get("stride", 1))))
    sizes = ("tap_norm", "tap_sum", "noise_gain", "absolute_gain", "spectral_radius")
    for number, designed in enumerate(design(spec).taps):
        yield {
            "group": group_of(learned["run"].iloc[:1]).iloc[0],
            "seed": int(learned["seed"].iloc[0]),
            "stride": int(spec.get("stride", 1)),
            "degree": len(taps),
            "tap": number + 1,
            "designed": designed,
            "first": float(curves.to_numpy()[0, number]),
            "value": taps[number],
            "steps": int(curves.index[-1]),
            **{name: getattr(found, name) for name in sizes},
            "files": f"runs/{learned['run'].iloc[0]}/pretrain.parquet",
        }

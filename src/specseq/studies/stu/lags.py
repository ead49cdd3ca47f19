"""Table and figure of how far back trained layers look, attention beside spectral units."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.figure import Figure

from specseq.report.style import legend_below, plain_log, sample_sizes
from specseq.scoring.comparison import student_interval
from specseq.tables import read_parquet

ATTENTION = "stu/layout/attention"
MIXERS = ("attention", "even", "unit")
DRAWN = {
    (ATTENTION, "attention"): ("attention", "0.15", "-"),
    (ATTENTION, "even"): ("even attention", "0.6", ":"),
    ("stu/layout/alternating", "unit"): ("unit, shared filter", "C0", "-"),
    ("stu/layout/signed", "unit"): ("unit, signed filters", "C1", "-"),
}
BANDS = {"at_0": slice(0, 1), "at_1": slice(1, 2), "at_2_7": slice(2, 8), "at_8_63": slice(8, None)}
COLUMNS = ("group", "layer", "mixer", "seeds", *BANDS, "ahead", "odd", "odd_low", "odd_high", "apart")


def table(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """How far back the layers of each model look; one row per run group, layer and mixer, means over seeds.

    ``mixer`` is ``attention``, ``even`` (attention spread evenly over all tokens that it may read, for
    comparison) or ``unit``, by the mean size of its channels' impulse responses. A lag counts places in a
    sample's run of tokens. ``at_0`` is the share of the token itself, ``at_1`` of its predecessor, ``at_2_7``
    and ``at_8_63`` of those further back, ``ahead`` of later tokens; the rest lies still further back.
    ``odd`` is the share of odd lags among 1 to 63, with Student's interval over seeds, ``odd_low`` to
    ``odd_high``. ``apart`` is the total variation distance, from 0 to 1, of
    the lags 0 to 63 from those of trained attention in the same layer of ``stu/layout/attention``, each
    scaled to a sum of 1.
    """
    profiles = _profiles(inputs["long"][0])
    rows = [
        {"group": group, "layer": layer, "mixer": mixer}
        | _row(curve, profiles.get((ATTENTION, layer, MIXERS[0])))
        for (group, layer, mixer), curve in profiles.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).assign(scale=params["scale"])


def figure(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Share of each lag, one panel per layer: attention, even attention and spectral units."""
    profiles = _profiles(inputs["long"][0])
    layers = sorted({layer for _, layer, _ in profiles})
    columns = min(3, max(1, len(layers)))
    lines = -(-max(1, len(layers)) // columns)
    drawn, panels = plt.subplots(
        lines, columns, figsize=(3.6 * columns + 1, 3.2 * lines), sharey=True, squeeze=False
    )
    for panel, layer in zip(panels.flat, layers, strict=False):
        for (group, mixer), (label, colour, dashes) in DRAWN.items():
            if (curve := profiles.get((group, layer, mixer))) is not None:
                mean = curve.drop(columns="ahead").mean()
                panel.plot(mean.index + 1, mean, dashes, color=colour, lw=1.2, label=label)
        panel.set(xscale="log", title=f"layer {layer}", xlabel="lag + 1 (tokens)")
        plain_log(panel.xaxis)
    for panel in list(panels.flat)[len(layers) :]:
        panel.set_visible(False)
    panels[0, 0].set_ylabel("share")
    legend_below(drawn, panels.flat, ncols=4)
    sample_sizes(drawn, seeds=max((len(curve) for curve in profiles.values()), default=0))
    return drawn


def _profiles(long: Path) -> dict[tuple[str, int, str], pd.DataFrame]:
    """By group, layer and mixer: a row per seed, a column per lag, and ``ahead``."""
    measured = (pc.field("benchmark") == "measurement") & pc.starts_with(pc.field("metric"), "lag_")
    lags, found = read_parquet(long, where=measured), {}
    for mixer in MIXERS:
        rows, ahead = (lags[lags["metric"] == f"lag_{mixer}{ending}"] for ending in ("", "_ahead"))
        for (group, task), own in rows.groupby(["group", "task"], sort=False):
            curve = own.pivot(index="seed", columns="step", values="value")
            later = ahead[(ahead["group"] == group) & (ahead["task"] == task)].set_index("seed")["value"]
            layer = int(str(task).removeprefix("layer"))
            found[str(group), layer, mixer] = curve.assign(ahead=later).fillna({"ahead": 0.0})
    return found


def _row(curve: pd.DataFrame, attention: pd.DataFrame | None) -> dict[str, Any]:
    share = curve.drop(columns="ahead").mean().to_numpy()
    bands = {name: float(share[band].sum()) for name, band in BANDS.items()}
    apart = np.nan
    if attention is not None:
        other = attention.drop(columns="ahead").mean().to_numpy()
        lags = min(len(share), len(other))
        one, two = (values[:lags] / values[:lags].sum() for values in (share, other))
        apart = float(np.abs(one - two).sum() / 2)
    by_seed = curve.drop(columns="ahead").to_numpy()
    odd = by_seed[:, 1::2].sum(1) / by_seed[:, 1:].sum(1)
    low, high = student_interval(odd)
    return {
        "seeds": len(curve),
        **bands,
        "ahead": float(curve["ahead"].mean()),
        "odd": float(odd.mean()),
        "odd_low": low,
        "odd_high": high,
        "apart": apart,
    }

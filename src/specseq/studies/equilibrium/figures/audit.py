"""One audit in full: the spectrum with Euler's disc, and the verdict of every sample and position."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from specseq.errors import InputError
from specseq.studies.equilibrium.figures.shared import VERDICT_COLOURS, euler_disc
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """The first audited run.

    Args:
        inputs: ``spectra``, ``verdicts`` and ``fingerprints`` of the audited runs, in the same order.
        params: none.

    Raises:
        InputError: there is no audited run.
    """
    if not inputs.get("spectra"):
        raise InputError(
            "spectra", "no audited run is there", "train and audit a run that has a section 'audit'"
        )
    spectrum, verdicts, summary = (
        read_parquet(inputs[name][0]) for name in ("spectra", "verdicts", "fingerprints")
    )
    step = float(summary.loc[summary["metric"] == "step", "value"].iloc[0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
    kept = spectrum.merge(verdicts[["sample", "position", "verdict"]], on=["sample", "position"])
    for verdict, own in kept.groupby("verdict"):
        colour = VERDICT_COLOURS[str(verdict)]
        left.plot(own["re"], own["im"], ".", color=colour, ms=2, alpha=0.6)
    low, high = left.get_xlim()
    left.set_xlim(low, max(high, 0.3))
    euler_disc(left, step, color="C1", lw=1.2, label=f"|1 + {step:g} μ| = 1")
    left.set(xlabel="Re μ (1/time)", ylabel="Im μ (1/time)")
    samples = verdicts["sample"].nunique()
    left.set_title(f"{len(kept):,} eigenvalues of {samples} sample{'s' if samples > 1 else ''}")
    left.legend(loc="upper left")
    for verdict, colour in VERDICT_COLOURS.items():
        own = verdicts[verdicts["verdict"] == verdict]
        if len(own):
            rho, at = own["rho"], own["position"]
            right.plot(at, rho, "o", color=colour, ms=4, alpha=0.7, label=f"{verdict} ({len(own)})")
            unknown = at[rho.isna()]
            right.plot(
                unknown, [0.01] * len(unknown), "x", color=colour, transform=right.get_xaxis_transform()
            )
    right.axhline(1, color="C1", lw=1.2)
    right.set(xlabel="position", ylabel=f"ρ({step:g}) = max |1 + {step:g} μ| of the position's block")
    right.set_title("/".join(Path(str(verdicts["checkpoint"].iloc[0])).parts[-2:]))
    right.legend(loc="best", fontsize=7.5)
    return figure

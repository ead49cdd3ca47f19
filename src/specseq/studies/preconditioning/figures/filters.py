"""What the filters are: frequency responses and roots."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from specseq.filters import Filter, frequency_response
from specseq.tables import read_parquet

FAMILIES = {"identity": "identity", "chebyshev": "Chebyshev", "lyapunov": "Lyapunov", "literal": "as printed"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Two panels: |A(e^{iω})| over frequency, and the roots of p in the complex plane.

    Args:
        inputs: ``filters``, the table of the design stage.
        params: none.
    """
    table = read_parquet(inputs["filters"][0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4), width_ratios=(3, 2))
    for number, (family, rows) in enumerate(table.groupby("family", sort=False)):
        colour, label = f"C{number}", FAMILIES.get(str(family), str(family))
        row: Any
        for row in rows.itertuples():
            omega, response = frequency_response(Filter(row.family, tuple(row.taps), int(row.stride)))
            style = "-" if row.stable else "--"
            left.plot(omega / np.pi, np.abs(response), style, color=colour, lw=1.2, alpha=0.8, label=label)
            right.plot(
                row.roots_real, row.roots_imag, "o" if row.stable else "x", color=colour, ms=5, alpha=0.8
            )
            label = "_"
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    right.plot(circle.real, circle.imag, color="0.5", lw=1)
    right.set_aspect("equal")
    right.set(xlabel="real part", ylabel="imaginary part", title="roots of p(x)")
    left.set(
        xlabel="frequency ω / π (1 is two steps a cycle)",
        ylabel="gain |A(e$^{iω}$)|",
        title=f"{len(table)} filters; dashed and ×: the reversal 1/A is unstable",
        yscale="log",
    )
    left.legend(loc="lower center", ncols=2)
    return figure

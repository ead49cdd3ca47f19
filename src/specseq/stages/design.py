"""Stage ``design``: design the filters of a study and tabulate them with their diagnostics.

``--params`` is ``{"filters": {name: spec}, "horizons": [H, …]}`` with the specifications of
:func:`specseq.filters.design` (``horizons`` may be left out). The result has one row a filter: ``name,
family, degree, lam, stride, taps``, then the diagnostics under their names, v(H) as ``horizon_gain_<H>`` and
the roots as two lists. Infinities stay infinities.

``--residuals`` names a long table with the metric ``residual_autocovariance`` (``step`` is the lag), from
which the ``matched`` filters that give no autocovariance of their own are designed; tasks count alike. Their
``horizon`` is as many steps as all tasks have lags, unless it is given.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.errors import InputError
from specseq.filters import Filter, design, diagnose
from specseq.filters.diagnostics import HORIZONS
from specseq.stages import arguments
from specseq.tables import Provenance, read_parquet, write_parquet

METRIC = "residual_autocovariance"


def row(filter: Filter, horizons: tuple[int, ...]) -> dict[str, Any]:
    """One filter's row."""
    found = diagnose(filter, horizons)
    return {
        "name": filter.name,
        "family": filter.family,
        "degree": filter.degree,
        "lam": filter.lam,
        "stride": filter.stride,
        "taps": list(filter.taps),
        "sup_norm": found.sup_norm,
        "spectral_radius": found.spectral_radius,
        "stable": found.stable,
        "noise_gain": found.noise_gain,
        **{f"horizon_gain_{horizon}": gain for horizon, gain in found.horizon_gain.items()},
        "absolute_gain": found.absolute_gain,
        "dc_gain": found.dc_gain,
        "tap_sum": found.tap_sum,
        "tap_norm": found.tap_norm,
        "tap_max": found.tap_max,
        "roots_real": [root.real for root in found.roots],
        "roots_imag": [root.imag for root in found.roots],
    }


def autocovariance(residuals: Path) -> list[float]:
    """Mean over tasks of their normalised autocovariances γ_k/γ_0, up to the last lag that all tasks have."""
    frame = read_parquet(residuals, ["task", "step", "metric", "value"])
    rows = frame[frame["metric"] == METRIC]
    table = rows.pivot_table(index="task", columns="step", values="value").dropna(axis=1)
    if table.empty or list(table.columns) != list(range(table.shape[1])):
        raise InputError(
            residuals, f"no metric {METRIC} with lags from 0", "make it from a baseline's errors"
        )
    if not (table[0] > 0).all():
        task = table.index[~(table[0] > 0)][0]
        raise InputError(residuals, f"{METRIC} of {task} is {table[0][task]:g} at lag 0", "leave it out")
    return [float(value) for value in table.div(table[0], axis=0).mean()]


def main() -> None:
    """Read the specifications, write the table."""
    parser = arguments.parser("Design filters and tabulate their diagnostics.")
    parser.add_argument("--residuals", type=Path, help="long table with a baseline's residual_autocovariance")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    provenance = Provenance("design", options.params)
    specs = options.params.get("filters")
    if not isinstance(specs, dict) or not specs:
        raise InputError("--params", "no filters", 'give {"filters": {"name": {"family": …}}}')
    horizons = tuple(options.params.get("horizons", HORIZONS))
    if not all(isinstance(horizon, int) and horizon >= 0 for horizon in horizons):
        raise InputError("--params horizons", f"{list(horizons)}", "give whole numbers from 0")
    filters = []
    for name, spec in specs.items():
        if not isinstance(spec, dict):
            raise InputError(f"filters.{name}", f"{spec!r}", "a filter is a mapping with a family")
        if options.residuals and spec.get("family") == "matched" and "autocovariance" not in spec:
            known = autocovariance(options.residuals)
            spec = {"horizon": len(known), **spec, "autocovariance": known}
        filters.append(design(spec, f"filters.{name}", name))
    frame = pd.DataFrame([row(filter, horizons) for filter in filters])
    write_parquet(options.out, frame.astype({"lam": "float64"}), provenance)


if __name__ == "__main__":
    arguments.run(main)

"""Autocovariance of a forecaster's errors, measured before the test windows begin.

Parameters (``--params``): ``study``, ``run``, ``seed``; ``benchmark``, ``terms``, ``only`` and ``forecaster``
as the stage ``evaluate`` takes them; ``windows``, how many windows of each series (8 if left out).

The result has the long shape: ``residual_autocovariance`` of each config with the lag as ``step``, of errors
scaled as in MASE and pooled over windows; ``residual_windows``, their number. From it the stage ``design``
makes matched filters for all configs at once. The windows therefore precede the test windows of every term in
``terms``, so that the filters see no test value of a data set; one that holds the same series at another
frequency (``ett1/H``, ``ett1/D``) counts as another data set. Tasks of FEV-Bench that share a data set begin
to test at the same step; those of another ``tasks.yaml`` should. Configs whose series are too short have no
rows, nor have those that are forecast without an error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.filters.theory import residual_autocovariance
from specseq.progress import Progress
from specseq.scoring.config import ForecasterSettings
from specseq.scoring.score import open_evaluations, open_forecaster
from specseq.scoring.steps import earlier_residuals
from specseq.settings import read
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, write_parquet

WINDOWS = 8
_KNOWN = {"study", "run", "seed", "benchmark", "terms", "only", "forecaster", "windows"}


def main() -> None:
    """Read the arguments, forecast the earlier windows, write the table."""
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="weights.safetensors of a trained run")
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmark's data")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    params = options.params
    arguments.check_keys(params, _KNOWN)
    windows = params.get("windows", WINDOWS)
    if not isinstance(windows, int) or windows < 1:
        raise InputError("windows", f"{windows!r}", "give a whole number from 1")
    provenance = Provenance("residuals", params, run=params.get("run"), seed=params.get("seed"))
    benchmark, spec = params["benchmark"], dict(params.get("forecaster", {}))
    evaluations = open_evaluations(benchmark, options.data, None, params.get("terms"), params.get("only", ()))
    if options.weights:
        spec["name"] = str(options.weights)
    forecaster = open_forecaster(read(ForecasterSettings, spec, "forecaster"), benchmark)
    progress = Progress(len(evaluations), "configs")
    rows: list[dict[str, Any]] = []
    for done, evaluation in enumerate(evaluations, 1):
        keys = {
            "study": params.get("study", ""),
            "run": params.get("run", ""),
            "seed": params.get("seed", -1),
        }
        keys |= {"benchmark": params["benchmark"], "task": evaluation.name}
        rows += [{**keys, **row} for row in _rows(earlier_residuals(evaluation, forecaster, windows))]
        evaluation.close()
        progress.update(done)
    if not rows:
        fault = "no series has errors before the test windows: all are too short or forecast without any"
        raise InputError(options.data, fault, "use longer series")
    write_parquet(options.out, long_table(rows), provenance)


def _rows(residuals_NH: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Rows of one config; none where no window has a scaled error other than zero."""
    if not (np.isfinite(residuals_NH) & (residuals_NH != 0)).any():
        return
    for lag, value in enumerate(residual_autocovariance(residuals_NH, residuals_NH.shape[1])):
        yield {"step": lag, "metric": "residual_autocovariance", "value": float(value)}
    yield {"metric": "residual_windows", "value": float(len(residuals_NH))}


if __name__ == "__main__":
    arguments.run(main)

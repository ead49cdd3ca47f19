"""Autocovariance of a forecaster's errors, measured before the test windows begin.

The result has the long shape: ``residual_autocovariance`` of each config with the lag as ``step``, of errors
scaled as in MASE and pooled over windows; ``residual_windows``, their number. From it the stage ``design``
makes matched filters for all configs at once. The windows therefore precede the test windows of every term in
``terms``, so that the filters see no test value of a data set; one that holds the same series at another
frequency (``ett1/H``, ``ett1/D``) counts as another data set. Tasks of FEV-Bench that share a data set begin
to test at the same step; those of another ``tasks.yaml`` should. Configs whose series are too short have no
rows, nor do configs that are forecast without error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.filters.theory import residual_autocovariance
from specseq.progress import Progress
from specseq.scoring.config import Benchmark, ForecasterSettings, Term
from specseq.scoring.score import open_evaluations, open_forecaster
from specseq.scoring.steps import earlier_residuals
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.tables import Provenance, long_table, write_parquet


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ResidualsRequest:
    """A forecaster whose errors before the test windows are measured."""

    benchmark: Benchmark
    forecaster: ForecasterSettings
    data: Path = Field(description="folder of the benchmark's data")
    out: Path = Field(description="Parquet file to write")
    terms: tuple[Term, ...] | None = Field(
        default=None, min_length=1, description="GIFT-Eval: all where left out"
    )
    only: tuple[str, ...] = Field(default=(), description="data sets or tasks to keep; all where empty")
    windows: int = Field(default=8, ge=1, description="windows of each series")
    study: str = ""
    run: str = ""
    seed: int = -1


def measure_residuals(request: ResidualsRequest) -> None:
    """Forecast windows before the test windows and write the autocovariance of the errors.

    Raises:
        InputError: data or forecaster are at fault, or no series has errors there.
    """
    keys = {name: getattr(request, name) for name in ("study", "run", "seed", "benchmark")}
    chosen = {name: getattr(request, name) for name in ("terms", "only", "windows")}
    parameters = {**keys, **chosen, "forecaster": plain(request.forecaster)}
    provenance = Provenance("residuals", parameters, run=request.run or None, seed=request.seed)
    evaluations = open_evaluations(request.benchmark, request.data, None, request.terms, request.only)
    forecaster = open_forecaster(request.forecaster, request.benchmark)
    progress = Progress(len(evaluations), "configs")
    rows: list[dict[str, Any]] = []
    for done, evaluation in enumerate(evaluations, 1):
        residuals_NH = earlier_residuals(evaluation, forecaster, request.windows)
        rows += [{**keys, "task": evaluation.name, **row} for row in _rows(residuals_NH)]
        evaluation.close()
        progress.update(done)
    if not rows:
        fault = "no series has errors before the test windows: all are too short or forecast without any"
        raise InputError(request.data, fault, "use longer series")
    write_parquet(request.out, long_table(rows), provenance)


def _rows(residuals_NH: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Rows of one config; none where no window has a scaled error other than zero."""
    if not (np.isfinite(residuals_NH) & (residuals_NH != 0)).any():
        return
    for lag, value in enumerate(residual_autocovariance(residuals_NH, residuals_NH.shape[1])):
        yield {"step": lag, "metric": "residual_autocovariance", "value": float(value)}
    yield {"metric": "residual_windows", "value": float(len(residuals_NH))}

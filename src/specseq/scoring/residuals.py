"""Autocovariance of a forecaster's errors, measured before the test windows begin.

The result has the long shape: ``residual_autocovariance`` of each config with the lag as ``step``, of errors
scaled as in MASE and pooled over windows; ``residual_windows``, their number. From it the stage ``design``
makes matched filters for all configs at once. The windows therefore precede the test windows of every term in
``terms``, so that the filters see no test value of a data set; one that holds the same series at another
frequency (``ett1/H``, ``ett1/D``) counts as another data set. Tasks of FEV-Bench that share a data set begin
to test at the same step; those of another ``tasks.yaml`` should. Configs whose series are too short have no
rows, nor do configs that are forecast without error.

Shapes: N windows of earlier data, H horizon steps.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from specseq.errors import InputError
from specseq.filters.theory import residual_autocovariance
from specseq.models.protocol import Forecaster
from specseq.models.windows import Windows
from specseq.progress import Progress
from specseq.scoring.config import Benchmark, ForecasterSettings, Term
from specseq.scoring.evaluation import Batch, Evaluation, batches_for
from specseq.scoring.forecasting import forecast
from specseq.scoring.metrics import Values, scaled_errors
from specseq.scoring.score import forecaster_digest, open_evaluations, open_forecaster
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.sources import source_digest
from specseq.tables import Provenance, digest, long_table, write_parquet
from specseq.tables.files import stat_digest
from specseq.tables.kept import Kept


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ResidualsRequest:
    """A forecaster whose errors before the test windows are measured."""

    benchmark: Benchmark
    forecaster: ForecasterSettings
    data: Path = Field(description="folder of the benchmark's data")
    out: Path = Field(description="Parquet file to write")
    parts: Path | None = Field(default=None, description="folder for what a job that is killed leaves")
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
    decisive = {**parameters, "code": source_digest("scoring/residuals.py", "models")}
    decisive["weights"] = forecaster_digest(str(request.forecaster.name))
    kept = Kept(request.parts, decisive)
    for done, evaluation in enumerate(evaluations, 1):
        found = kept.rows(_part(evaluation), partial(_measured, evaluation, forecaster, request.windows))
        rows += [{**keys, "task": evaluation.name, **row} for row in found]
        evaluation.close()
        progress.update(done)
    if not rows:
        fault = "no series has errors before the test windows: all are too short or forecast without any"
        raise InputError(request.data, fault, "use longer series")
    write_parquet(request.out, long_table(rows), provenance)
    kept.forget()


def _part(evaluation: Evaluation) -> str:
    """The name of a config's part, another where its data or its test windows are others."""
    data = {"settings": evaluation.settings(), "ahead": evaluation.ahead}
    return digest({"name": evaluation.name, **data, "files": stat_digest(evaluation.files())})


def _measured(evaluation: Evaluation, forecaster: Forecaster, windows: int) -> Iterator[dict[str, Any]]:
    return _rows(earlier_residuals(evaluation, forecaster, windows))


def _rows(residuals_NH: Values) -> Iterator[dict[str, Any]]:
    """Rows of one config; none where no window has a scaled error other than zero."""
    if not (np.isfinite(residuals_NH) & (residuals_NH != 0)).any():
        return
    for lag, value in enumerate(residual_autocovariance(residuals_NH, residuals_NH.shape[1])):
        yield {"step": lag, "metric": "residual_autocovariance", "value": float(value)}
    yield {"metric": "residual_windows", "value": float(len(residuals_NH))}


def earlier_residuals(evaluation: Evaluation, forecaster: Forecaster, windows: int) -> Values:
    """Scaled errors of a forecaster on the windows just before the test windows, [N, H].

    Each series gives up to ``windows`` windows, one horizon apart. The last ends where the first test target
    begins, over all terms that are evaluated on the series, so that no test value of another term is seen. A
    window needs a context of a horizon; N is 0 where no series is long enough. Contexts are no longer than
    that of the series' first test window.

    Raises:
        InputError: a forecast is at fault, see :func:`specseq.scoring.forecasting.forecast`.
    """
    found = []
    for batch in _earlier(evaluation, forecaster, windows):
        quantiles = forecast(forecaster, batch.windows, evaluation.query, evaluation.name)
        found.append(scaled_errors(batch.windows.targets(), quantiles, evaluation.seasonal_errors(batch)))
    return np.concatenate(found) if found else np.zeros((0, evaluation.query.horizon))


def _earlier(evaluation: Evaluation, forecaster: Forecaster, windows: int) -> Iterator[Batch]:
    buffer, last = None, -1
    for batch in batches_for(evaluation, forecaster):
        given, begins = batch.windows, batch.begins
        first = np.ones(len(given), bool)
        first[1:] = begins[1:] != begins[:-1]
        # A block may begin in the middle of a series; its first windows were in the block before.
        first[0] = given.values is not buffer or begins[0] != last
        buffer, last = given.values, int(begins[-1])
        back = np.tile(np.arange(windows, 0, -1), int(first.sum())) * given.horizon
        cuts = np.repeat(given.cuts[first] - evaluation.ahead, windows) - back
        context = np.repeat((given.cuts - given.starts)[first], windows)
        begins = np.repeat(begins[first], windows)
        starts = np.maximum(begins, cuts - context)
        long = cuts - starts >= given.horizon
        if long.any():
            yield Batch(Windows(given.values, starts[long], cuts[long], given.horizon), begins[long])

"""Reference rows of every table: simple predictors and the statistics of the sets themselves.

Metrics as in :mod:`specseq.spacings.evaluation`, under the runs ``zeta/references/<predictor>`` (constant,
wigner, ar1 ...) and ``zeta/references/data``. One-step metrics of ``ar<p>`` have context p, wherever the test
band allows; ``ar`` gives ``nll_at`` by context c, with the predictor AR(c). Rollouts start from the same
windows as the models'. Further metrics of the data:

- ``data_std``: the spacings' standard deviation.
- ``form_factor_band``: mean K(τ) over the published band 3 < 2πτ < 5.5, on the ramp.
- ``form_factor_at_one`` (``step`` = N): K(1) over windows of N spacings.
- ``peak`` (``step`` = N), ``peak_jittered`` and ``peak_positions_jittered`` (``step`` = 1000 a): largest K
  near τ = 1, plain and with noise of ±a on spacings or on positions, N = 2000.

Each of these is a mean over windows, with its interval in ``<metric>_low`` and ``<metric>_high``.
:func:`spread` is the only statistic that pools all splits.
"""

import math
import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.seeding import generator
from specseq.spacings.config import SpacingEvaluation, SpacingReferences
from specseq.spacings.evaluation import Row, sequence_statistics, with_interval
from specseq.spacings.predictors import Autoregression, fit_autoregressions, wigner_nll
from specseq.spacings.sets import SpacingSet, load_spacing_set
from specseq.spacings.statistics import (
    PUBLISHED_BAND,
    form_factor,
    jitter,
    jitter_positions,
    mean_interval,
    peak_at_one,
)
from specseq.tables import read_rows

Array = NDArray[np.float64]

_CHUNK, _PIECE = 256, 250
_PEAK_LENGTH = 2000
_LONGEST_CONTEXT = 255
_MOST_WINDOWS = 4000
_JITTER = (1 / 64, 1 / 16, 1 / 4)


def reference_rows(manifest: os.PathLike[str], name: str, references: SpacingReferences) -> Iterator[Row]:
    """All reference rows of one spacing set: predictors on its test split, and the spread over all splits."""
    train, test = (load_spacing_set(manifest, name, split) for split in ("train", "test"))
    seed = references.seed
    common = {"study": "zeta", "seed": seed, "benchmark": "rollout", "context": -1}
    for row in evaluate_references(train, test, references.orders, references.evaluation, seed):
        yield {**common, "task": f"{name}/test", **row}
    yield {**common, "task": f"{name}/all", **spread(manifest, name)}


def evaluate_references(
    train: SpacingSet, test: SpacingSet, orders: Sequence[int], spec: SpacingEvaluation, seed: int
) -> Iterator[Row]:
    """Rows (with ``run``) of the constant, Wigner and autoregressive predictors, and of the test data.

    Raises:
        InputError: an order doesn't fit the sets.
    """
    if test.segment <= max(orders) + _CHUNK:
        fault = f"AR({max(orders)}) leaves nothing of segments of {test.segment}"
        raise InputError("orders", fault, "lower it")
    context, horizon = spec.rollout_contexts[-1], spec.horizons[-1]
    starts = test.starts(context + horizon, spec.windows)
    windows = test.windows(starts, context + horizon).astype(np.float64)
    past, truth = windows[:, :context], windows[:, context:]
    mean = float(np.mean(train.spacings, dtype=np.float64))
    chunks = test.windows(test.starts(_CHUNK), _CHUNK).astype(np.float64)

    def named(run: str, rows: Iterator[Row]) -> Iterator[Row]:
        return ({**row, "run": f"zeta/references/{run}"} for row in rows)

    def errors(predicted: Array, metric: str) -> Iterator[Row]:
        error = np.abs(np.cumsum(predicted - truth, axis=1))
        for h in spec.horizons:
            yield from with_interval(metric, error[:, h - 1], spec, seed, step=h, context=context)

    flat = np.abs(chunks - mean).mean(axis=1)
    yield from named("constant", with_interval("mae", flat, spec, seed))
    yield from named("constant", errors(np.full_like(truth, mean), "err_mean"))
    yield from named("wigner", with_interval("nll", wigner_nll(chunks).mean(axis=1), spec, seed))
    yield from named("wigner", with_interval("mae", flat, spec, seed))
    contexts = range(1, min(max(orders), _LONGEST_CONTEXT) + 1)
    fitted_by_order = {f.order: f for f in fit_autoregressions(train, sorted({*orders, *contexts}))}
    for fitted in (fitted_by_order[order] for order in orders):
        run = f"ar{fitted.order}"
        yield from named(run, _one_step(fitted, test, spec, seed))
        if fitted.order <= context:
            rng = generator(seed, "rollout", fitted.order)
            yield from named(run, errors(fitted.rollout(past, horizon), "err_mean"))
            yield from named(run, errors(fitted.rollout(past, horizon, rng), "err_sampled"))
    yield from named("ar", _by_context([fitted_by_order[c] for c in contexts], test))
    yield from named("data", _data(test, seed))


def _by_context(ascending: Sequence[Autoregression], test: SpacingSet) -> Iterator[Row]:
    """NLL of the prediction of spacing c of a window by AR(c)."""
    length = ascending[-1].order + 1
    windows = test.windows(test.starts(length, _MOST_WINDOWS), length).astype(np.float64)
    for fitted in ascending:
        c = fitted.order
        error = fitted.predict(windows[:, : c + 1])[:, 0] - windows[:, c]
        yield {"metric": "nll_at", "context": c, "value": float(fitted.nll(error).mean())}


def spread(manifest: os.PathLike[str], name: str) -> Row:
    """Standard deviation of a set's spacings over all its splits, from the moments in the manifest."""
    rows = [row for row in read_rows(manifest) if row["set"] == name]
    count, mean, std = (np.array([row[key] for row in rows], float) for key in ("count", "mean", "std"))
    middle = np.average(mean, weights=count)
    variance = np.average(std**2 + (mean - middle) ** 2, weights=count)
    return {"run": "zeta/references/data", "metric": "data_std", "value": math.sqrt(variance)}


def _one_step(fitted: Autoregression, test: SpacingSet, spec: SpacingEvaluation, seed: int) -> Iterator[Row]:
    """NLL and MAE over consecutive pieces of the band, each preceded by the order's own context."""
    length = fitted.order + _CHUNK
    room = (test.segment - fitted.order) // _CHUNK
    segments = np.arange(len(test) // test.segment) * test.segment
    starts = (segments[:, None] + np.arange(room) * _CHUNK).ravel()
    nll, error = [], []
    for some in np.array_split(starts, max(1, len(starts) // 256)):
        s = test.windows(some, length).astype(np.float64)
        wrong = fitted.predict(s) - s[:, fitted.order :]
        nll.append(fitted.nll(wrong).mean(axis=1))
        error.append(np.abs(wrong).mean(axis=1))
    yield from with_interval("nll", np.concatenate(nll), spec, seed, context=fitted.order)
    yield from with_interval("mae", np.concatenate(error), spec, seed, context=fitted.order)


def _data(test: SpacingSet, seed: int) -> Iterator[Row]:
    lengths = [n for n in (250, 500, 1000, 2000) if n <= test.segment]
    longest = lengths[-1] if lengths else test.segment

    def windows(n: int) -> Array:
        return test.windows(test.starts(n, 400), n).astype(np.float64)

    def sampled(metric: str, values: Array, step: int = -1) -> Iterator[Row]:
        low, high = mean_interval(values, generator(seed, "bootstrap", metric, step))
        ends = {metric: float(values.mean()), f"{metric}_low": low, f"{metric}_high": high}
        return ({"metric": name, "step": step, "value": value} for name, value in ends.items())

    base = windows(longest)
    yield from sequence_statistics("data", base)
    squares = (base - base.mean()) ** 2
    piece = min(_PIECE, longest)
    pieces = squares[:, : longest // piece * piece].reshape(-1, piece).mean(axis=1)
    for row in sampled("data_std", pieces):
        if row["metric"] != "data_std":
            yield {**row, "value": math.sqrt(max(row["value"], 0.0))}
    yield from sampled("form_factor_band", form_factor(base, np.linspace(*PUBLISHED_BAND, 40)).mean(axis=1))
    for n in lengths:
        yield from sampled("form_factor_at_one", form_factor(windows(n), np.array([1.0]))[:, 0], n)
        yield from sampled("peak", peak_at_one(windows(n)), n)
    if test.segment >= _PEAK_LENGTH:
        long = windows(_PEAK_LENGTH)
        noises = {"peak_jittered": ("jitter", jitter), "peak_positions_jittered": ("shift", jitter_positions)}
        for metric, (stream, noise) in noises.items():
            for amplitude in _JITTER:
                noisy = noise(long, amplitude, generator(seed, stream, amplitude))
                yield from sampled(metric, peak_at_one(noisy), math.ceil(1000 * amplitude))

"""Evaluation of a trained spacing model: every metric of the study on the test band, in the long shape.

Rows have the key column ``context`` (number of known spacings; -1 if not applicable) and these metrics;
``<metric>_low`` and ``<metric>_high`` bound a metric's 95 % block-bootstrap interval.

- ``nll``, ``mae``, ``crps``, ``pit_mean``, ``pit_std``, ``weight_entropy``, ``predictive_entropy``: one step
  ahead, teacher-forced over all positions of the windows; ``nll_long``, ``mae_long`` over positions with at
  least half a window known.
- ``nll_at``, ``mae_at`` (``context``): teacher-forced at one position. ``nll_truncated``, ``mae_truncated``
  (``context``): the same prediction by a model that is given only the context. The two agree for a causal
  model; any difference measures a leak.
- ``pit_share`` (``step`` = bin of ten): histogram of the probability integral transform.
- ``err_mean``, ``err_sampled`` (``step`` = h, ``context``): |accumulated error| of rollouts;
  ``err_mean_zeroed``, ``err_mean_faded`` etc.: the same windows and draws with memory zeroed or faded. With
  ``rollout.drift`` also the rows of :mod:`specseq.spacings.drift`.
- ``rollout_std``, ``rollout_acf`` (``step`` = lag), ``rollout_number_variance`` (``step`` = L),
  ``rollout_form_factor`` (``step`` = 1000 τ, where the window holds a whole number of periods): statistics of
  sampled rollouts; ``data_...``: the same of the true continuations.
- ``causality_violation``: exactly 0 for a causal model.
- ``nll_without_slot`` (``step`` = slot), ``nll_without_memory``: truncated NLL with slots zeroed.
- ``kernel`` (``step`` = d), ``kernel_decay``, ``kernel_fit_r2``; ``memory_ln_primes_p``.
- ``hermiticity``, ``hermiticity_null``, ``hermiticity_z``, ``hermiticity_p``: symmetry of the attention forms
  compared with its null (:mod:`specseq.spacings.hermiticity`).

Shapes: W windows, N spacings.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.errors import InputError
from specseq.seeding import generator, stream_seed
from specseq.spacings import scores
from specseq.spacings.config import SpacingEvaluation
from specseq.spacings.drift import drift
from specseq.spacings.hermiticity import hermiticity
from specseq.spacings.law import TrainingLaw
from specseq.spacings.model import SpacingModel
from specseq.spacings.rollout import accumulated_error, rollout
from specseq.spacings.rollout_config import MEMORY_KEPT, MemoryMode, RolloutSettings
from specseq.spacings.sets import SpacingSet
from specseq.spacings.statistics import autocorrelation, block_bootstrap, form_factor, number_variance
from specseq.tables.kept import NOTHING_KEPT, Kept

Array = NDArray[np.float64]
Row = dict[str, Any]

ACF_LAGS = 10
NUMBER_VARIANCE_LENGTHS = (1, 2, 5, 10, 20, 50)
FORM_FACTOR_TAU = (0.05, 0.1, 0.2, 0.3, 0.4)


def with_interval(
    metric: str, values: Array, spec: SpacingEvaluation, seed: int, **keys: Any
) -> Iterator[Row]:
    """Rows of a metric that is a mean over windows, and of its interval.

    Args:
        values: (W,) one value per window, in order of height.
    """
    rng = generator(seed, "bootstrap", metric, *sorted(keys.items()))
    low, high = block_bootstrap(values, rng, draws=spec.draws)
    yield {**keys, "metric": metric, "value": float(values.mean())}
    yield {**keys, "metric": f"{metric}_low", "value": low}
    yield {**keys, "metric": f"{metric}_high", "value": high}


def evaluate_model(
    model: SpacingModel,
    test: SpacingSet,
    spec: SpacingEvaluation,
    seed: int,
    settings: RolloutSettings = MEMORY_KEPT,
    law: TrainingLaw | None = None,
    kept: Kept = NOTHING_KEPT,
) -> list[Row]:
    """All metrics of a trained model on a test set.

    Args:
        model: in evaluation mode, on the CPU.
        seed: seed of sampled rollouts and resampling.
        law: law of the training windows, to measure drift; None measures no drift.
        kept: what a call that was killed has measured.

    Raises:
        InputError: the model is too short for a context, or the band for one window, or there is no memory
            to zero.
    """
    spec.check(model.config)
    settings.check(model.config)
    length, horizon = model.config.length, spec.horizons[-1]
    rolled = spec.rollout_contexts[-1] + horizon
    span = max(length + 1, rolled)
    if span > test.segment:
        where = "evaluation.horizons" if rolled == span else "model.length"
        fault = f"windows of {span} spacings are wanted, {test.name} has {test.segment} in a row"
        raise InputError(where, fault, "shorten it, or use more zeros")
    starts = test.starts(span, spec.windows)
    s = torch.from_numpy(test.windows(starts, span))
    height = torch.from_numpy(test.height(starts).astype(np.float32))
    rows = kept.rows("one_step", partial(_one_step, model, s, height, spec, seed))
    for context in spec.rollout_contexts:
        for mode in settings.memory:
            name = f"rollout_{context}_{mode}"
            given = (model, s, height, context, mode, spec, seed, settings, law, kept, name)
            rows += kept.rows(name, partial(_rollouts, *given))
    rows += kept.rows("probes", partial(_probes, model, s, height, spec, seed))
    rows.append({"metric": "windows", "value": len(starts)})
    return rows


def _one_step(
    model: SpacingModel, s: Tensor, height: Tensor, spec: SpacingEvaluation, seed: int
) -> Iterator[Row]:
    length = model.config.length
    forced = scores.teacher_forced(model, s[:, :length], height)
    means = {
        "nll": forced.nll,
        "mae": forced.absolute_error,
        "crps": forced.crps,
        "pit_mean": forced.pit,
        "weight_entropy": forced.weight_entropy,
        "predictive_entropy": forced.predictive_entropy[:, None],
        "nll_long": forced.nll[:, length // 2 :],
        "mae_long": forced.absolute_error[:, length // 2 :],
    }
    for metric, values in means.items():
        yield from with_interval(metric, values.mean(axis=1), spec, seed)
    yield {"metric": "pit_std", "value": float(forced.pit.std())}
    # In single precision the weights may sum to slightly more than one, and so may the PIT.
    counts = np.histogram(forced.pit.clip(0, 1), np.linspace(0, 1, 11))[0]
    for step, share in enumerate(counts / forced.pit.size):
        yield {"metric": "pit_share", "step": step, "value": float(share)}
    for context in spec.contexts:
        measured = {}
        if context < length:
            measured["nll_at"] = forced.nll[:, context - 1]
            measured["mae_at"] = forced.absolute_error[:, context - 1]
        measured["nll_truncated"], measured["mae_truncated"] = scores.truncated(model, s, height, context)
        for metric, values in measured.items():
            yield from with_interval(metric, values, spec, seed, context=context)


def _rollouts(
    model: SpacingModel,
    s: Tensor,
    height: Tensor,
    context: int,
    mode: MemoryMode,
    spec: SpacingEvaluation,
    seed: int,
    settings: RolloutSettings,
    law: TrainingLaw | None,
    kept: Kept,
    name: str,
) -> Iterator[Row]:
    horizon = spec.horizons[-1]
    truth = s[:, context : context + horizon]
    suffix, strengths = "" if mode == "kept" else f"_{mode}", settings.strengths(mode, horizon)
    draw = torch.Generator().manual_seed(stream_seed(seed, "rollout", context))
    predicted = {
        source: rollout(model, s[:, :context], height, horizon, drawn, strengths, kept, f"{name}_{source}")
        for source, drawn in {"mean": None, "sampled": draw}.items()
    }
    for source, spacings in predicted.items():
        error = accumulated_error(spacings, truth).numpy()
        for h in spec.horizons:
            keys = {"step": h, "context": context}
            yield from with_interval(f"err_{source}{suffix}", error[:, h - 1], spec, seed, **keys)
    if law is not None:
        followed = {**predicted, "true": truth}
        measured = drift(model, s[:, :context], height, followed, spec.horizons, strengths, law)
        for metric, h, values in measured:
            yield from with_interval(f"{metric}{suffix}", values, spec, seed, step=h, context=context)
    if mode == "kept" and context == spec.rollout_contexts[-1]:
        sampled = predicted["sampled"].double().numpy()
        yield from sequence_statistics("rollout", sampled, context=context)
        yield from sequence_statistics("data", truth.double().numpy(), context=context)


def sequence_statistics(prefix: str, s_WN: Array, **keys: Any) -> Iterator[Row]:
    """Autocorrelation, number variance and form factor of windows, as rows."""
    yield {**keys, "metric": f"{prefix}_std", "value": float(s_WN.std())}
    for lag, value in enumerate(autocorrelation(s_WN, min(ACF_LAGS, s_WN.shape[1] - 1)), 1):
        yield {**keys, "metric": f"{prefix}_acf", "step": lag, "value": float(value)}
    lengths = [length for length in NUMBER_VARIANCE_LENGTHS if 2 * length < s_WN.shape[1]]
    for length, value in zip(lengths, number_variance(s_WN, lengths), strict=True):
        yield {**keys, "metric": f"{prefix}_number_variance", "step": length, "value": float(value)}
    values = form_factor(s_WN, np.array(FORM_FACTOR_TAU)).mean(axis=0)
    for tau, value in zip(FORM_FACTOR_TAU, values, strict=True):
        # At other τ the mean density adds sin²(πNτ) / (N sin²(πτ)), which hides the ramp.
        periods = s_WN.shape[1] * tau
        if math.isclose(periods, round(periods)):
            step = round(1000 * tau)
            yield {**keys, "metric": f"{prefix}_form_factor", "step": step, "value": float(value)}


def _probes(
    model: SpacingModel, s: Tensor, height: Tensor, spec: SpacingEvaluation, seed: int
) -> Iterator[Row]:
    length, context = model.config.length, spec.contexts[-1]
    few = slice(0, min(64, len(s)))
    violation = scores.causality_violation(model, s[few, :length], height[few])
    yield {"metric": "causality_violation", "value": violation}
    if model.memory is not None:
        slots = model.config.slots
        for slot in range(slots):
            kept = torch.arange(slots) != slot
            nll, _ = scores.truncated(model, s, height, context, kept)
            yield from with_interval("nll_without_slot", nll, spec, seed, step=slot, context=context)
        nll, _ = scores.truncated(model, s, height, context, torch.zeros(slots, dtype=torch.bool))
        yield from with_interval("nll_without_memory", nll, spec, seed, context=context)
        p = scores.memory_primes_p_value(model.memory, generator(seed, "memory"))
        yield {"metric": "memory_ln_primes_p", "value": p}
    if len(model.blocks):
        names = ("hermiticity", "hermiticity_null", "hermiticity_z", "hermiticity_p")
        for metric, value in zip(names, hermiticity(model, generator(seed, "hermiticity")), strict=True):
            yield {"metric": metric, "value": value}
    rows = slice(0, spec.kernel_windows)
    mu = scores.kernel(model, s[rows, :context], height[rows])
    for d, value in enumerate(mu.tolist(), 1):
        yield {"metric": "kernel", "step": d, "context": context, "value": value}
    decay, r2 = scores.fit_kernel(mu)
    yield {"metric": "kernel_decay", "context": context, "value": decay}
    yield {"metric": "kernel_fit_r2", "context": context, "value": r2}

"""What a forecaster's forward passes take: batches of windows, metered without values."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cache
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from specseq.models.moirai import forecaster as moirai
from specseq.models.moirai.training import model_of as moirai_model
from specseq.models.moirai2 import forecaster as moirai2
from specseq.models.moirai2.training import model_of as moirai2_model
from specseq.models.protocol import Query
from specseq.scoring.metrics import LEVELS
from specseq.studies.cost.benchmarks import WindowSet
from specseq.studies.planning import CHRONOS2
from specseq.training.metering import Usage, metered

# Configuration of amazon/chronos-2, of 120 million parameters (Ansari et al. 2025, arXiv:2510.15821).
_CHRONOS2 = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
_CHRONOS2_CONTEXT, _CHRONOS2_PATCH, _CHRONOS2_BATCH = 8192, 16, 256


class ForwardPasses(ABC):
    """Forward passes of a model over windows.

    Attributes:
        limit: longest context.
        window_seconds, point_seconds: CPU seconds per window and per forecast point, while the device waits.
    """

    limit: int
    window_seconds = 0.0
    point_seconds = 0.0

    @abstractmethod
    def at_once(self, context: int, one: WindowSet) -> int:
        """Number of windows that are computed together."""

    @abstractmethod
    def batch(self, rows: int, context: int, one: WindowSet) -> Usage:
        """The usage of one batch."""

    def usage(self, windows: Iterable[WindowSet]) -> Usage:
        """The usage of forecasting all windows once.

        Few kinds of batches are metered: contexts and rows are rounded up to powers of two, and there are as
        many batches as hold all steps, at least one.
        """
        usage = Usage()
        for one in windows:
            context = min(one.context, self.limit)
            rounded = min(_power_of_two(context), self.limit)
            rows = min(_power_of_two(one.windows), self.at_once(rounded, one))
            usage += self.batch(rows, rounded, one) * max(one.windows * context / (rows * rounded), 1.0)
        return usage

    def seconds(self, windows: Iterable[WindowSet]) -> float:
        """CPU seconds beside the device."""
        return sum(one.windows * self.window_seconds + one.points * self.point_seconds for one in windows)


def _power_of_two(number: float) -> int:
    return 1 << (max(ceil(number), 1) - 1).bit_length()


def forward_passes(forecaster: Mapping[str, Any]) -> ForwardPasses | None:
    """Forward passes of a described forecaster, see :mod:`specseq.studies.cost.forecasts`; None if naive."""
    limit = forecaster.get("context_length")
    if model := forecaster.get("model"):
        passes = _Moirai2 if model["kind"] == "moirai2" else _Moirai
        return passes(json.dumps(model, sort_keys=True), int(forecaster["hints"]), limit)
    return _Chronos2(limit) if forecaster["name"] == CHRONOS2 else None


class _Moirai2(ForwardPasses):
    """One pass for the first tokens, then one for the next tokens of every path."""

    def __init__(self, model: str, hints: int, limit: int | None) -> None:
        self._forecaster = _moirai2(model, hints)
        self.limit = limit or self._forecaster.context_length or moirai2.CONTEXT_LENGTH

    def at_once(self, context: int, one: WindowSet) -> int:
        return max(1, moirai2.TOKENS_AT_ONCE // -(-context // self._forecaster.model.config.patch))

    def batch(self, rows: int, context: int, one: WindowSet) -> Usage:
        config = self._forecaster.model.config
        points = config.patch * config.predicted

        def of_passes(count: int) -> Usage:
            return _moirai2_passes(self._forecaster, rows, context, count * points)

        count = -(-one.horizon // points)
        return of_passes(count) if count <= 3 else of_passes(2).extrapolated(of_passes(3), count - 2)


@cache
def _moirai2(model: str, hints: int) -> moirai2.Moirai2Forecaster:
    filters = [{"family": "chebyshev", "degree": 4}] * hints
    params = {"preconditioning": {"hint": {"filters": filters}}} if hints else {}
    made = moirai2_model({"model": json.loads(model), **params, "seed": 0})
    return moirai2.Moirai2Forecaster(made.to("meta"), device="meta")


@cache
def _moirai2_passes(forecaster: moirai2.Moirai2Forecaster, rows: int, context: int, horizon: int) -> Usage:
    query = Query(horizon, LEVELS)
    return metered(lambda: forecaster.forecast_unfiltered(_contexts(rows, context), query))


class _Moirai(ForwardPasses):
    """One pass for the whole horizon, or for half of the longest sequence; quantiles are the processor's."""

    # Packing a window, and finding a quantile of a point: measured on one core.
    window_seconds, point_seconds = 4e-5, 1.7e-6 * len(LEVELS)

    def __init__(self, model: str, hints: int, limit: int | None) -> None:
        self._forecaster = _moirai(model)
        self.limit = limit or self._forecaster.context_length or moirai.CONTEXT_LENGTH

    def at_once(self, context: int, one: WindowSet) -> int:
        patch = self._patch(context, one)
        return max(1, moirai.TOKENS_AT_ONCE // (-(-context // patch) - (-one.horizon // patch)))

    def batch(self, rows: int, context: int, one: WindowSet) -> Usage:
        patch = self._patch(context, one)
        tokens, most = -(-one.horizon // patch), max(1, self._forecaster.model.config.max_length // 2)
        parts = [(done, min(most, tokens - done)) for done in range(0, tokens, most)]
        # The medians of a part extend the context of the next.
        passes = (_moirai_pass(self._forecaster, rows, context + n * patch, patch, k) for n, k in parts)
        return sum(passes, Usage())

    def _patch(self, context: int, one: WindowSet) -> int:
        return self._forecaster.patch_of(context, Query(one.horizon, LEVELS, freq=one.freq))


@cache
def _moirai(model: str) -> moirai.MoiraiForecaster:
    settings = json.loads(model)
    # Published transforms take values to lay out, and cost like ours, which are twice as long.
    settings.get("stu", {}).pop("published", None)
    made = moirai_model({"model": settings, "seed": 0})
    return moirai.MoiraiForecaster(made.to("meta"), device="meta")


@cache
def _moirai_pass(
    forecaster: moirai.MoiraiForecaster, rows: int, context: int, patch: int, tokens: int
) -> Usage:
    return metered(lambda: forecaster.predict(_contexts(rows, context), patch, tokens))


class _Chronos2(ForwardPasses):
    """One pass for the whole horizon."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit or _CHRONOS2_CONTEXT

    def at_once(self, context: int, one: WindowSet) -> int:
        return _CHRONOS2_BATCH

    def batch(self, rows: int, context: int, one: WindowSet) -> Usage:
        return _chronos2_pass(rows, context, -(-one.horizon // _CHRONOS2_PATCH))


@cache
def _chronos2() -> nn.Module:
    from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model  # imported here: it takes seconds

    patches = dict.fromkeys(("input_patch_size", "input_patch_stride", "output_patch_size"), _CHRONOS2_PATCH)
    settings = {
        "context_length": _CHRONOS2_CONTEXT,
        "max_output_patches": 64,
        "quantiles": [0.01, *(step / 20 for step in range(1, 20)), 0.99],
        "use_reg_token": True,
        "use_arcsinh": True,
    }
    config = Chronos2CoreConfig(**_CHRONOS2, dropout_rate=0.0, chronos_config={**patches, **settings})
    with torch.device("meta"):
        return Chronos2Model(config).eval()


@cache
def _chronos2_pass(rows: int, context: int, patches: int) -> Usage:
    model, groups = _chronos2(), torch.arange(rows, device="meta")
    values = torch.empty(rows, context, device="meta")
    with torch.no_grad():
        return metered(lambda: model(context=values, group_ids=groups, num_output_patches=patches))


def _contexts(rows: int, context: int) -> list[NDArray[np.float32]]:
    return [np.zeros(context, np.float32)] * rows

"""GIFT-Eval: its configs ready to be scored, with its eleven metrics.

Source: Aksu et al. 2024, arXiv:2410.10393, and GluonTS, which computes the metrics
(``evaluate_model(axis=None, mask_invalid_label=True)``). A quantile forecast has no mean of its own; as in
GluonTS the median stands in, so ``MSE[mean]`` equals ``MSE[0.5]``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.scoring import metrics
from specseq.scoring.evaluation import Batch, Evaluation, WindowKeys
from specseq.scoring.gift_eval_data import Config, DataSet, find_datasets
from specseq.scoring.metrics import LEVELS, Totals, seasonal_error
from specseq.series.evaluation import TERMS
from specseq.series.frequency import parse_frequency
from specseq.series.hub import check_finished
from specseq.settings import near

METRICS: dict[str, Callable[[Totals], Any]] = {
    "MSE[mean]": metrics.mean_squared_error,
    "MSE[0.5]": metrics.mean_squared_error,
    "MAE[0.5]": metrics.mean_absolute_error,
    "MASE[0.5]": metrics.mase,
    "MAPE[0.5]": metrics.mape,
    "sMAPE[0.5]": metrics.smape,
    "MSIS": metrics.msis,
    "RMSE[mean]": lambda totals: np.sqrt(metrics.mean_squared_error(totals)),
    "NRMSE[mean]": metrics.nrmse,
    "ND[0.5]": metrics.wape,
    "mean_weighted_sum_quantile_loss": metrics.weighted_quantile_loss,
}


@dataclass(frozen=True)
class GiftEvaluation(Evaluation):
    """A config of GIFT-Eval, ready to be scored.

    Attributes:
        ahead: steps by which another of the terms that are evaluated begins to test earlier than this one.
    """

    data: DataSet
    config: Config
    ahead: int = 0

    @property
    def name(self) -> str:
        """``key/freq/term``."""
        return self.config.name

    @property
    def points(self) -> int:
        """Series x variates x windows x horizon."""
        config = self.config
        return config.series * config.variates * config.windows * config.horizon

    @property
    def query(self) -> Query:
        freq = parse_frequency(self.config.freq).alias
        return Query(self.config.horizon, LEVELS, self.config.season_length, freq)

    def batches(self, points: int) -> Iterator[Batch]:
        """All windows, series by series."""
        first = 0
        for windows in self.data.windows(self.config):
            for block in windows.blocks(points):
                yield Batch(block, block.starts, first=first)
                first += len(block)

    def keys(self) -> WindowKeys:
        """Series and number of each window; variates go by their numbers."""
        config, blocks = self.config, self.data.blocks
        item, target, window = np.indices((self.data.items, config.variates, config.windows)).reshape(3, -1)
        lengths = np.concatenate([block.length for block in blocks])
        return WindowKeys(
            items=tuple(str(item) for block in blocks for item in block.item_id),
            targets=tuple(map(str, range(config.variates))),
            item=item,
            target=target,
            window=window,
            places=lengths[item] + (window - config.windows) * config.horizon,
            starts=np.concatenate([block.start for block in blocks]),
            freq=self.query.freq,
        )

    def metrics(self, totals: Totals) -> dict[str, float]:
        """The eleven metrics."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return {f"eval_metrics/{name}": float(metric(totals)) for name, metric in METRICS.items()}

    def seasonal_errors(self, batch: Batch) -> NDArray[np.float64]:
        """Seasonal errors of the contexts, [B]; those shorter than a season by one-step differences."""
        return seasonal_error(batch.windows, self.config.season_length, shorten=True)

    def files(self) -> list[Path]:
        """The shards."""
        return sorted({block.shard for block in self.data.blocks})

    def facts(self) -> dict[str, Any]:
        config = self.config
        return {
            "config": config.name,
            "domain": config.domain,
            "term": config.term,
            "freq": self.query.freq,
            "num_variates": config.variates,
            "series": config.series,
            "windows": config.windows,
            "prediction_length": config.horizon,
            "seasonality": config.season_length,
        }


def gift_evaluations(
    root: str | Path, terms: Sequence[str] = tuple(TERMS), only: Sequence[str] = ()
) -> list[GiftEvaluation]:
    """Every config of the data sets below ``root``, short terms first within a data set.

    Raises:
        InputError: a term is unknown, nothing is found, the download is unfinished, data differ from the
            published config, or two folders go by one name.
    """
    check_finished(root)
    for term in terms:
        if term not in TERMS:
            raise InputError("terms", f"unknown term {term!r}", near(term, TERMS))
    evaluations: dict[str, GiftEvaluation] = {}
    for data in find_datasets(root, only):
        configs = [data.config(term) for term in TERMS if term in terms and data.offers(term)]
        tested = max((config.windows * config.horizon for config in configs), default=0)
        for config in configs:
            evaluation = GiftEvaluation(data, config, tested - config.windows * config.horizon)
            if other := evaluations.get(evaluation.name):
                fault = f"folders {other.data.folder} and {data.folder} both go by {evaluation.name}"
                raise InputError(root, fault, "rename one of them")
            evaluations[evaluation.name] = evaluation
    if not evaluations:
        raise InputError(root, f"no config of the terms {', '.join(terms)}", "ask for more terms")
    return list(evaluations.values())

"""GIFT-Eval's eleven metrics, pooled over every series, window, variate and step of a config.

Source: Aksu et al. 2024, arXiv:2410.10393, as computed by GluonTS
(``evaluate_model(axis=None, mask_invalid_label=True)``).

Legend: B windows.
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from specseq.models.windows import Windows, seasonal_means
from specseq.scoring.metrics import LEVELS, WindowSums


def seasonal_scales(windows: Windows, season_length: int) -> NDArray[np.float64]:
    """Seasonal error of each context, ``[B]``: the mean of |y_t - y_{t-m}| over pairs that are known.

    A context shorter than a season is scaled by its one-step differences. NaN where no pair is known or the
    error is zero: such a window has no scaled error.
    """
    short = windows.cuts - windows.starts < season_length
    scales, _ = seasonal_means(windows, np.where(short, 1, season_length), power=1)
    scales[scales == 0.0] = np.nan
    return scales


class GiftMetrics:
    """Pools windows into the eleven metrics of the benchmark.

    A quantile forecast has no mean of its own; as in GluonTS the median stands in, so ``MSE[mean]`` equals
    ``MSE[0.5]``.
    """

    def __init__(self) -> None:
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._pinball = np.zeros(len(LEVELS))

    def add(self, sums: WindowSums, scales: NDArray[np.float64]) -> None:
        """Add windows with their seasonal errors ``[B]``."""
        scaled = np.isfinite(scales)
        inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scaled)
        for name, value in (
            ("observed", sums.observed.sum()),
            ("target", sums.absolute_target.sum()),
            ("squared", sums.squared_error.sum()),
            ("absolute", sums.absolute_error.sum()),
            ("percentage", sums.percentage_error.sum()),
            ("percentage_steps", sums.percentage_steps.sum()),
            ("symmetric", sums.symmetric_error.sum()),
            ("symmetric_steps", sums.symmetric_steps.sum()),
            ("scaled", (sums.absolute_error * inverse).sum()),
            ("interval", (sums.interval_score * inverse).sum()),
            ("scaled_steps", sums.observed[scaled].sum()),
        ):
            self._totals[name] += float(value)
        self._pinball += sums.pinball.sum(axis=0)

    def values(self) -> dict[str, float]:
        """Metrics by their published name without ``eval_metrics/``; NaN where nothing defines one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            total = defaultdict(np.float64, {name: np.float64(x) for name, x in self._totals.items()})
            squared = total["squared"] / total["observed"]
            absolute_target = total["target"] / total["observed"]
            return {
                name: float(value)
                for name, value in {
                    "MSE[mean]": squared,
                    "MSE[0.5]": squared,
                    "MAE[0.5]": total["absolute"] / total["observed"],
                    "MASE[0.5]": total["scaled"] / total["scaled_steps"],
                    "MAPE[0.5]": total["percentage"] / total["percentage_steps"],
                    "sMAPE[0.5]": total["symmetric"] / total["symmetric_steps"],
                    "MSIS": total["interval"] / total["scaled_steps"],
                    "RMSE[mean]": np.sqrt(squared),
                    "NRMSE[mean]": np.sqrt(squared) / absolute_target,
                    "ND[0.5]": total["absolute"] / total["target"],
                    "mean_weighted_sum_quantile_loss": self._pinball.mean() / total["target"],
                }.items()
            }

"""Standardisation of each variate of each sample by what the model may see of it.

Shapes: T tokens, P points a token, G variate runs.
"""

import torch
from torch import Tensor

MINIMUM_VARIANCE = 1e-5


def location_scale(x_TP: Tensor, seen_TP: Tensor, run_T: Tensor, runs: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each run over its seen points (Woo et al. 2024, PackedStdScaler).

    The variance has divisor n - 1 and gains 1e-5 before the root; a divisor of zero becomes one. Sums are in
    float64, by run: linear in the tokens where masks of pairs would be quadratic.

    Args:
        x_TP: values.
        seen_TP: True where a value was observed and its token is not to be predicted.
        run_T: variate run of each token.
        runs: G.

    Returns:
        Location and scale of each token's run, ``[T]`` each, in the dtype of ``x_TP``.
    """
    wide_TP, seen_T = x_TP.double(), seen_TP.sum(1)

    def total(value_T: Tensor) -> Tensor:
        return torch.zeros(runs, dtype=torch.float64, device=x_TP.device).index_add_(
            0, run_T, value_T.double()
        )

    count_G = total(seen_T)
    location_G = total((wide_TP * seen_TP).sum(1)) / count_G.clamp_min(1)
    deviation_TP = (wide_TP - location_G[run_T, None]) * seen_TP
    divisor_G = torch.where(count_G == 1, 1.0, count_G - 1)
    variance_G = total(torch.linalg.vecdot(deviation_TP, deviation_TP)) / divisor_G
    scale_G = (variance_G + MINIMUM_VARIANCE).sqrt()
    return location_G[run_T].to(x_TP.dtype), scale_G[run_T].to(x_TP.dtype)

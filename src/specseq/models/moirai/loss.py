"""The training loss: negative log-likelihood, each variate of each sample counting once.

Shapes: Q predicted points, G variate runs.
"""

import torch
from torch import Tensor

from specseq.models.moirai.model import Prediction
from specseq.series.batch import PackedBatch


def packed_loss(prediction: Prediction, batch: PackedBatch) -> tuple[Tensor, dict[str, float]]:
    """Mean over variate runs of the mean NLL over their observed predicted points (Woo et al. 2024, eq. 2).

    A run whose predicted points are all missing counts with zero, as published.

    Returns:
        The loss on the scale of the data, which carries each series' log scale and may be negative; and the
        metrics ``standardised_nll`` (without that term, comparable between corpora) and ``groups``, the
        number of runs it is the mean of.
    """
    plan = prediction.plan
    values_Q = plan.points(plan.layout.flatten(batch.target)).to(prediction.raw_12Q.dtype)
    observed_Q = plan.points(plan.layout.flatten(batch.observed))
    run_Q = plan.per_point(plan.run_T)
    standard_Q = (values_Q - prediction.location_Q) / prediction.scale_Q
    log_prob_Q = prediction.mixture.log_prob(standard_Q)

    count_G = torch.bincount(run_Q[observed_Q], minlength=plan.runs)
    groups = int(torch.bincount(run_Q, minlength=plan.runs).count_nonzero())
    weight_Q = observed_Q / (count_G.clamp_min(1) * max(groups, 1))[run_Q]
    weight_Q = weight_Q.to(log_prob_Q.dtype)
    standardised = -(weight_Q * log_prob_Q).sum()
    loss = standardised + (weight_Q * prediction.scale_Q.log()).sum()
    return loss, {"standardised_nll": float(standardised.detach()), "groups": float(groups)}

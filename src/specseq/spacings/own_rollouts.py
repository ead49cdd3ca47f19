"""Likelihood along a model's own rollouts, as a training loss (note 003, experiment C).

Shapes: B windows, L spacings.
"""

import torch
from torch import Tensor, nn

from specseq.spacings.config import Feedback
from specseq.spacings.mixture import Mixture


def own_rollout_nll(
    model: nn.Module,
    s_BL: Tensor,
    height_B: Tensor,
    horizon: int,
    feedback: Feedback,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean negative log-likelihood of the spacings that follow half a window, along the model's own rollout.

    The first half of the window holds true spacings. Step h is predicted from them and from the model's h - 1
    own spacings so far. Gradients pass through the latter: through the mixture's mean, or through mean and
    scale of the component drawn, but not through the choice of component.

    Args:
        horizon: number of steps, at most the unknown half of L.
        feedback: what the model reads back of its own predictions.
        generator: generator of the draws; None takes torch's own.
    """
    context = s_BL.shape[1] // 2
    history, terms = s_BL[:, :context], []
    for true_B in s_BL[:, context : context + horizon].unbind(1):
        mixture: Mixture = model(history, height_B)[:, -1]
        terms.append(-mixture.log_prob(true_B))
        # As in rollouts, negative draws become 0.
        given_B = mixture.expectation() if feedback == "mean" else mixture.sample(generator).clamp(min=0.0)
        history = torch.cat([history, given_B[:, None]], 1)
    return torch.stack(terms).mean()

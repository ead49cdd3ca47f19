"""Cross-entropies of n-gram models, which a trained model must beat on the same windows."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from specseq.equilibrium.text.tokenise import Tokens

_COUNTED = 20_000_000  # training tokens that are counted


def ngram_losses(train: Tokens, vocabulary: int, windows: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean cross-entropy of the windows' targets under models counted on the training text, nats per token.

    The unigram model adds one to each count; the bigram model adds the unigram distribution to the counts
    that follow a token (MacKay & Peto 1995).

    Args:
        train: the training text.
        vocabulary: symbols V.
        windows: ``tokens`` and ``targets`` of held-out windows.

    Shapes:
        windows: ``[B, T]`` each.
    """
    counted = np.asarray(train[:_COUNTED], np.int64)
    counts_V = np.bincount(counted, minlength=vocabulary)
    unigram_V = (counts_V + 1) / (len(counted) + vocabulary)
    pairs_VV = np.bincount(counted[:-1] * vocabulary + counted[1:], minlength=vocabulary**2).reshape(
        vocabulary, vocabulary
    )
    before, target = (windows[name].numpy().ravel() for name in ("tokens", "targets"))
    bigram = (pairs_VV[before, target] + unigram_V[target]) / (pairs_VV.sum(1)[before] + 1)
    return {
        "unigram_loss": float(-np.log(unigram_V[target]).mean()),
        "bigram_loss": float(-np.log(bigram).mean()),
    }

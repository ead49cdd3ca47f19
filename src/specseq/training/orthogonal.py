"""Orthogonalised matrices, the update directions of Muon."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

# Coefficients of the published quintic iteration: steepest at 0, without convergence to exactly 1.
A, B, C = 3.4445, -4.7750, 2.0315
STEPS = 5


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Matrices with the singular vectors of the given ones and singular values near 1.

    The Newton-Schulz iteration X <- (A + B G + C G²) X with G = X Xᵀ runs on G alone, for all matrices with
    the same smaller side at once; X is multiplied by the product of the factors at the end. This halves the
    operations for a matrix three times as long as wide. Singular values that are not tiny compared with the
    norm end between .7 and 1.2.

    Shapes:
        matrices: ``(m, n)`` each, like the result.
    """
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [matrix / matrix.norm().clamp(min=1e-7) for matrix in wide]
    places = defaultdict(list)
    for place, matrix in enumerate(wide):
        places[matrix.shape[0]].append(place)
    for alike in places.values():
        gram = torch.stack([wide[place] @ wide[place].mT for place in alike])
        product = gram.new_empty(0)
        for step in range(STEPS):
            polynomial = torch.baddbmm(gram, gram, gram, beta=B, alpha=C)
            polynomial.diagonal(dim1=-2, dim2=-1).add_(A)
            product = polynomial @ product if step else polynomial
            if step < STEPS - 1:
                gram = polynomial @ gram @ polynomial
        for place, one in zip(alike, product, strict=True):
            wide[place] = one @ wide[place]
    return [
        turned.mT if matrix.shape[0] > matrix.shape[1] else turned
        for matrix, turned in zip(matrices, wide, strict=True)
    ]

"""Weights rounded so that later rows make up for what earlier ones lose.

GPTQ (Frantar et al. 2023): how the inputs of a product correlate tells by how much each
row that is still to be rounded has to move, once one was.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DAMPING = 0.05
"""Of the mean energy, added to each: sentences that calibrate are few."""
_BLOCK = 128
_MOST = 127

Doubles = npt.NDArray[np.float64]


def rounded(weight: Doubles, scales: Doubles, gram: Doubles) -> npt.NDArray[np.int8]:
    """Returns a weight in steps, from -127 to 127, (in, out).

    Args:
        weight: (in, out)
        scales: (out,) the size of a step.
        gram: (in, in) sums of products of the inputs.
    """
    order = np.argsort(-np.diag(gram), kind="stable")  # the used ones first
    back = np.argsort(order, kind="stable")
    rest = weight[order].astype(np.float64)
    energy = gram[np.ix_(order, order)].astype(np.float64)
    damping = DAMPING * float(np.diag(energy).mean()) + 1e-12
    energy[np.diag_indices_from(energy)] += damping
    # Upper factor of the inverse: row i tells how rows after i make up for row i.
    factor = np.linalg.cholesky(np.linalg.inv(energy)).T
    steps = np.zeros(weight.shape, np.int8)
    n = len(rest)
    for begin in range(0, n, _BLOCK):
        end = min(begin + _BLOCK, n)
        lost = np.zeros((end - begin, rest.shape[1]))
        for at in range(begin, end):
            steps[at] = np.clip(np.round(rest[at] / scales), -_MOST, _MOST)
            lost[at - begin] = (rest[at] - steps[at] * scales) / factor[at, at]
            rest[at + 1 : end] -= np.outer(factor[at, at + 1 : end], lost[at - begin])
        rest[end:] -= factor[begin:end, end:].T @ lost
    return steps[back]

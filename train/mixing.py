"""Two faces in one: mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899), for inputs, targets and weights alike."""

import numpy as np
from numpy.typing import NDArray

from train.recipe import Recipe

PLAIN_SHARE = 0.2
"""Of the epochs, at the end: without mixing, so that the network ends on faces as they are."""

Columns = dict[str, NDArray[np.float32]]
Batch = tuple[NDArray[np.float32], Columns, Columns]
"""Inputs (n, side, side, channels); for each head targets (n, outputs) and weights (n,)."""


def chosen(recipe: Recipe, epoch: int) -> dict[str, float]:
    """The ways of mixing that this epoch (from 0) has, with their alpha."""
    if epoch >= recipe.epochs * (1 - PLAIN_SHARE):
        return {}
    return {name: alpha for name in ("mixup", "cutmix") if (alpha := getattr(recipe, name)) > 0}


def mixed(batch: Batch, ways: dict[str, float], rng: np.random.Generator) -> Batch:
    """The batch, each of its faces mixed with another by one of `ways`, all by the same share.

    A face's targets count by its share and its weight, so that what is unknown of one of the two says nothing: for
    cross-entropy that is the same as the mean of both faces' losses.
    """
    x, targets, weights = batch
    way = rng.choice(sorted(ways))
    share, other = float(rng.beta(ways[way], ways[way])), rng.permutation(len(x))
    if way == "cutmix":
        x, share = _patched(x, x[other], share, rng)
    else:
        x = (share * x + (1 - share) * x[other]).astype(np.float32)
    both = {head: _blended(targets[head], weights[head], other, share) for head in targets}
    return x, {head: each[0] for head, each in both.items()}, {head: each[1] for head, each in both.items()}


def _blended(
    target: NDArray[np.float32], weight: NDArray[np.float32], other: NDArray[np.int64], share: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mine, theirs = share * weight, (1 - share) * weight[other]
    total = mine + theirs
    part = np.divide(mine, total, out=np.ones_like(total), where=total > 0)[:, None]
    return (part * target + (1 - part) * target[other]).astype(np.float32), total.astype(np.float32)


def _patched(
    x: NDArray[np.float32], other: NDArray[np.float32], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """A rectangle of `other` over each face; the share that is left of the face."""
    height, width = x.shape[1:3]
    tall, wide = (round(length * np.sqrt(1 - share)) for length in (height, width))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    x = x.copy()
    x[:, top : top + tall, left : left + wide] = other[:, top : top + tall, left : left + wide]
    return x, 1 - tall * wide / (height * width)

"""Pictures of which a small network learns the label within seconds: a bright band, its height is the label."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge.contract import LABELS
from train.augment import STILL
from train.recipe import Recipe, told

SIDE, BAND = 48, 6
QUICK = (
    "network=residual-nano",
    "input.side=16",
    "batch=8",
    "warmup_epochs=1",
    "average=0.9",
    "dropout=0.1",
    *told(replace(Recipe(), augment=STILL)),
)
"""Recipe settings for them. No augmentation: a band that moves would be another label."""


def striped(label: int, rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE) grey: coarse and fine noise, so that no two are alike, and one bright band."""
    coarse = cv2.resize(rng.integers(0, 60, (6, 6), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    face = np.asarray(np.minimum(coarse, 60) + rng.integers(0, 40, (SIDE, SIDE), np.uint8), np.uint8)
    face[label * BAND : (label + 1) * BAND] += 120
    return face


def write_folders(root: Path, each: Mapping[str, int], labels: tuple[str, ...] = LABELS, seed: int = 3) -> Path:
    """`root/<split>/<label>/<n>.png`, so many a split and label."""
    rng = np.random.default_rng(seed)
    for split, count in each.items():
        for label in labels:
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                cv2.imwrite(str(folder / f"{number}.png"), striped(LABELS.index(label), rng))
    return root

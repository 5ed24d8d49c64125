"""The calibration faces: drawn from training data only, as many of each label, always the same ones."""

import csv
from pathlib import Path

import numpy as np

from edge.contract import LABELS
from train.data import FaceSet

COLUMNS = ("source", "row", "label", "sha256")


def calibration(training: FaceSet, each: int = 64, seed: int = 8) -> FaceSet:
    """Up to `each` faces of every label (by majority), drawn with `seed` from training faces."""
    if set(training.split) != {"train"}:
        raise ValueError(f"calibration from the splits {set(training.split)!r}: expected training faces only")
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(len(LABELS)):
        having = np.flatnonzero(training.majority == label)
        chosen.append(rng.choice(having, min(each, len(having)), replace=False))
    return training.where(np.concatenate(chosen))


def write_list(faces: FaceSet, path: Path) -> None:
    """Which faces these are, one row each; no pictures."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source, row, label, digest in zip(faces.source, faces.row, faces.majority, faces.digests(), strict=True):
            writer.writerow((source, row, LABELS[label], digest))

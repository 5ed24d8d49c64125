"""The calibration faces: drawn from training data only, as many of each label, always the same ones."""

import csv
from pathlib import Path

import numpy as np

from edge.errors import SourceError
from train.data import HEADS, FaceSet, Truth

COLUMNS = ("source", "key", "label", "sha256")
EACH = 64
"""So many faces of a label are drawn, if there are as many."""
FEWEST = 16
"""So many of a label must be among the calibration faces, or all that there are. Calibrated on a single label a
network may keep its accuracy to half a point (measured: happy faces alone cost 0.25 points, neutral ones 0.18) while
answers for the other labels run out of int8's range, so accuracy alone cannot tell; this can."""


def calibration(training: FaceSet, head: Truth = "votes", each: int = EACH, seed: int = 8) -> FaceSet:
    """Up to `each` faces of every label of `head`, drawn with `seed` from training faces."""
    if set(training.split) != {"train"}:
        raise ValueError(f"calibration from the splits {set(training.split)!r}: expected training faces only")
    rng = np.random.default_rng(seed)
    chosen, truth = [], training.truth(head)
    for label in range(len(HEADS[head])):
        having = np.flatnonzero(truth == label)
        chosen.append(rng.choice(having, min(each, len(having)), replace=False))
    return training.where(np.concatenate(chosen))


def objections(faces: FaceSet, training: FaceSet, head: Truth) -> list[str]:
    """What is wrong with these as calibration faces: not trained on, too few of a label, twice the same; or nothing."""
    foreign = int((~np.isin(faces.sha256, training.sha256)).sum())
    there, wanted = _counts(faces, head), np.minimum(_counts(training, head), FEWEST)
    found = [f"{foreign} of {len(faces)} calibration faces are no training faces: expected none"] if foreign else []
    found += [
        f"{label}: {there[index]} different calibration faces: expected at least {wanted[index]}"
        for index, label in enumerate(HEADS[head])
        if there[index] < wanted[index]
    ]
    return found


def _counts(faces: FaceSet, head: Truth) -> np.ndarray:
    """(labels,) how many different pictures each label has."""
    truth = faces.truth(head)
    return np.array([len(np.unique(faces.sha256[truth == label])) for label in range(len(HEADS[head]))])


def write_list(faces: FaceSet, head: Truth, path: Path) -> None:
    """Which faces these are, one row each; no pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for source, key, label, digest in zip(faces.source, faces.key, faces.truth(head), faces.sha256, strict=True):
            writer.writerow((source, key, HEADS[head][label], digest))


def read_list(path: Path, training: FaceSet) -> FaceSet:
    """The training faces of a list that `write_list` wrote.

    SourceError for a file that is no such list, or names a face that is no training face.
    """
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot read the list of calibration faces: {error}") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise SourceError(f"{path}: no list of calibration faces: expected the columns {', '.join(COLUMNS)} and faces")
    place = {str(digest): index for index, digest in reversed(list(enumerate(training.sha256)))}
    missing = sum(row["sha256"] not in place for row in rows)
    if missing:
        raise SourceError(
            f"{path}: {missing} of {len(rows)} faces are no training faces of this run: draw another list"
        )
    return training.where(np.array([place[row["sha256"]] for row in rows]))

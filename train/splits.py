"""Which faces are for training, validation and test where a data set does not say: stratified, grouped, repeatable."""

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.contract import LABELS
from edge.errors import SourceError
from train.data import FaceSet
from train.fingerprint import near_pairs

SPLITS = ("train", "validation", "test")
SHARES = {"validation": 0.1, "test": 0.1}
"""Of each label's faces; the rest is for training."""


def assigned(faces: FaceSet, seed: int = 0) -> FaceSet:
    """One data set's faces, each in a split: its official ones, and ours for those that it does not have.

    A data set without an official validation or test split has it drawn from its training faces (or from those without
    a split). Faces of one subject, and near-duplicates, stay together. Each split gets every label of which there are
    enough groups, the training split the largest; of a label with fewer groups than splits, all are for training.
    The same faces and the same seed give the same splits, whatever the order of the faces.
    """
    split = np.where(faces.split == "", "train", faces.split).astype("<U10")
    wanted = [name for name in SHARES if not (split == name).any()]
    open_ = np.flatnonzero(split == "train")
    if wanted and len(open_):
        split[open_] = _drawn(faces.where(open_), wanted, seed)
    return replace(faces, split=split)


def digest(faces: FaceSet) -> str:
    """A hash of which face is in which split, hexadecimal, whatever the order of the faces."""
    lines = sorted(f"{split} {sha256}" for split, sha256 in zip(faces.split, faces.sha256, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def absent(faces: FaceSet) -> dict[str, tuple[str, ...]]:
    """For each split that has faces, the labels that other splits have and it has not."""
    known = {int(label) for label in np.unique(faces.label) if label >= 0}
    found = {}
    for name in SPLITS:
        here = {int(label) for label in np.unique(faces.label[faces.split == name])}
        if (faces.split == name).any() and known - here:
            found[name] = tuple(LABELS[label] for label in sorted(known - here))
    return found


def refuse_absent(faces: FaceSet) -> None:
    """SourceError if there are no training or no validation faces, or if one of these two lacks a label."""
    for name in SPLITS[:2]:
        if not (faces.split == name).any():
            raise SourceError(f"no {name} faces: expected some of each label; add faces, or people, to the data set")
        if name in absent(faces):
            labels = ", ".join(absent(faces)[name])
            raise SourceError(
                f"the {name} split has no face labelled {labels}: expected every label in it; "
                "add faces of at least three people, or let us draw the splits (no split folders)"
            )


def grouped(faces: FaceSet) -> NDArray[np.int64]:
    """(n,) a number for each face, equal for those of one subject and for near-duplicates."""
    subjects = np.unique(faces.subject, return_inverse=True)[1]
    first_of = {int(subject): row for row, subject in reversed(list(enumerate(subjects)))}
    same_subject = [(row, first_of[int(subjects[row])]) for row in np.flatnonzero(faces.subject != "")]
    pairs = [*same_subject, *near_pairs(faces.phash, faces.phash)]
    return _components(len(faces), pairs)


def _components(n: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """(n,) numbers from 0, equal for what is joined by pairs, however far along."""
    parent = list(range(n))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs:
        parent[root(int(one))] = root(int(other))
    return np.unique([root(row) for row in range(n)], return_inverse=True)[1].astype(np.int64)


def _drawn(faces: FaceSet, wanted: list[str], seed: int) -> NDArray[np.str_]:
    """(n,) the split of each face."""
    groups = grouped(faces)
    labels = np.unique(faces.label, return_inverse=True)[1]
    counts = np.zeros((groups.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (groups, labels), 1)
    draw = _Draw(counts, _order(faces, groups, seed), wanted)
    return draw.splits()[groups]


def _order(faces: FaceSet, groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The groups in an order that depends only on the seed and the pictures."""
    names = [""] * (int(groups.max()) + 1)
    for group, sha256 in zip(groups, faces.sha256, strict=True):
        names[group] = max(names[group], str(sha256))
    return np.argsort([hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in names], kind="stable")


class _Draw:
    """Splits for groups, of which `counts` (groups, labels) says how many faces of each label they have."""

    def __init__(self, counts: NDArray[np.int64], order: NDArray[np.int64], wanted: list[str]) -> None:
        self.counts, self.order, self.wanted = counts, order, wanted
        self.split = np.full(len(counts), "", dtype="<U10")
        self.rarest_first = np.argsort((counts > 0).sum(axis=0), kind="stable")

    def splits(self) -> NDArray[np.str_]:
        """(groups,): first every label in every split, then the shares, the rarest label first in both."""
        for label in self.rarest_first:
            self._spread(label)
        for label in self.rarest_first:
            self._fill(label)
        self.split[self.split == ""] = "train"
        return self.split

    def _open(self, label: np.int64) -> NDArray[np.int64]:
        """The groups that have this label and no split yet."""
        has = (self.counts[self.order, label] > 0) & (self.split[self.order] == "")
        return np.asarray(self.order[has], np.int64)

    def _spread(self, label: np.int64) -> None:
        """One group with this label for each split; all of them for training if there are too few."""
        if (self.counts[:, label] > 0).sum() <= len(self.wanted):
            self.split[self._open(label)] = "train"
            return
        for name in ("train", *self.wanted):
            groups = self._open(label)
            if len(groups) and not self.counts[self.split == name, label].any():
                largest = groups[self.counts[groups, label].argmax()]
                self.split[largest if name == "train" else groups[0]] = name

    def _fill(self, label: np.int64) -> None:
        """Groups with this label for each wanted split until it has its share, as nearly as whole groups allow."""
        total = self.counts[:, label].sum()
        missing = {name: SHARES[name] * total - self.counts[self.split == name, label].sum() for name in self.wanted}
        for group in self._open(label):
            name = max(missing, key=lambda each: missing[each])
            size = self.counts[group, label]
            if missing[name] >= size / 2:
                self.split[group] = name
                missing[name] -= size

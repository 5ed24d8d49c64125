"""What the network shall answer for each training face, how much that counts, and how often the face is drawn."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import SettingsError
from train import valence
from train.data import HEADS, FaceSet, Truth, voted
from train.networks import VALENCE_AROUSAL
from train.recipe import Balance, Recipe

LABEL_SHARE = 0.9
"""So much of a "votes" target is the label where one person alone gave it; the rest is spread evenly. FER+ shows how
often ten people agree; a lone annotator is not more certain than they are."""

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Targets:
    """For n training faces.

    shares   for each head (n, labels) float32, rows sum to 1; valence and arousal from -1 to 1 where there is that head
    weights  for each head (n,) float32, 0 where the face says nothing about it
    main     (n,) int64, its label by the first head, which rare and frequent are counted by; -1 where it has none
    group    (n,) int64, label and source of a face as one number, for the cap; each face its own where none holds
    """

    shares: Columns
    weights: Columns
    main: NDArray[np.int64]
    group: NDArray[np.int64]
    balance: Balance

    def of(self, rows: NDArray[np.int64]) -> Columns:
        """The targets of these faces."""
        return {head: shares[rows] for head, shares in self.shares.items()}

    def weights_of(self, rows: NDArray[np.int64]) -> Columns:
        """How much each of these faces counts."""
        return {head: weights[rows] for head, weights in self.weights.items()}

    def drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The faces of one epoch, in the order in which they are shown; always as many."""
        order = rng.permutation(len(self.group))
        if self.balance.cap:
            order = order[_rank(self.group[order]) < self.balance.cap]
        if not self.balance.power:
            return order
        chance = _frequency(self.main[order]) ** -self.balance.power
        return rng.choice(order, len(order), p=chance / chance.sum())


def targets(faces: FaceSet, recipe: Recipe, teacher: Path | None = None) -> Targets:
    """The truth in shares for each head, mixed with the teachers' answers where there are any."""
    shares: Columns = {head: _truth(faces, head) for head in recipe.heads}
    known: Columns = {head: _counts(faces, head) for head in recipe.heads}
    if teacher:
        shares, known = _taught(shares, known, _answers(teacher, faces, recipe), recipe.teacher_share)
    first = recipe.heads[0]
    main = np.where(known[first] > 0, shares[first].argmax(axis=1), -1)
    often = _class_weights(main, recipe.balance)
    weights = {head: (each * often).astype(np.float32) for head, each in known.items()}
    if recipe.valence != "none":
        shares[VALENCE_AROUSAL], weights[VALENCE_AROUSAL] = valence.aims(faces, recipe.valence)
    return Targets(shares, weights, main, _groups(faces, main, recipe.balance), recipe.balance)


def _groups(faces: FaceSet, main: NDArray[np.int64], balance: Balance) -> NDArray[np.int64]:
    _, source = np.unique(faces.source, return_inverse=True)
    held = np.isin(faces.source, balance.capped) if balance.capped else np.ones(len(faces), bool)
    return np.where(held, source * (len(HEADS["votes"]) + 1) + main + 1, -1 - np.arange(len(faces)))


def _truth(faces: FaceSet, head: Truth) -> NDArray[np.float32]:
    labels = len(HEADS[head])
    if head == "label":
        return np.eye(labels, dtype=np.float32)[np.maximum(faces.truth(head), 0)]
    alone = (faces.votes.max(axis=1) == 1) & ~voted(faces)
    return np.where(alone[:, None], LABEL_SHARE * faces.votes + (1 - LABEL_SHARE) / labels, faces.votes).astype(
        np.float32
    )


def _counts(faces: FaceSet, head: Truth) -> NDArray[np.float32]:
    """1 for the faces that say something about this head, else 0."""
    known = faces.votes.sum(axis=1) > 0 if head == "votes" else faces.truth(head) >= 0
    return known.astype(np.float32)


def _taught(
    shares: Columns, known: Columns, answers: Mapping[str, NDArray[np.float32]], share: float
) -> tuple[Columns, Columns]:
    """Where there is no truth the teachers' answer is all of the target."""
    mixed = {}
    for head, truth in shares.items():
        taught = np.where(known[head] > 0, share, 1.0)[:, None].astype(np.float32)
        mixed[head] = taught * answers[head] + (1 - taught) * truth
    return mixed, {head: np.ones_like(each) for head, each in known.items()}


def _answers(teacher: Path, faces: FaceSet, recipe: Recipe) -> Columns:
    """The teachers' probabilities for these faces, from the file of `train distill`."""
    try:
        with np.load(teacher) as file:
            kept = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SettingsError(f"{teacher}: no answers of teachers: expected the file of `train distill`") from error
    lacking = {"sha256", *recipe.heads} - set(kept)
    if lacking:
        raise SettingsError(f"{teacher}: lacks {', '.join(sorted(lacking))}: expected teachers with the recipe's heads")
    row = {digest: i for i, digest in enumerate(kept["sha256"])}
    missing = sum(digest not in row for digest in faces.sha256)
    if missing:
        raise SettingsError(f"{teacher}: lacks {missing} of {len(faces)} faces: run `train distill` on this data")
    rows = np.array([row[digest] for digest in faces.sha256])
    return {head: kept[head][rows] for head in recipe.heads}


def _frequency(main: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) share of the faces that have the same label; for a face without one the mean of the others."""
    counts = np.bincount(main + 1, minlength=2)
    share = counts[main + 1] / max(len(main), 1)
    known = main >= 0
    return np.asarray(np.where(known, share, share[known].mean() if known.any() else 1.0))


def _class_weights(main: NDArray[np.int64], balance: Balance) -> NDArray[np.float64]:
    frequency = _frequency(main)
    return np.asarray((frequency.mean() / frequency) ** balance.class_weights)


def _rank(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) how many of the same group stand before each."""
    order = np.argsort(group, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1]
    lengths = np.diff(np.r_[starts, len(group)])
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, lengths)
    return rank

"""Labelled faces in memory: what a data set becomes, and what of it may be trained on, judged and shown a network."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract import FER2013_LABELS, LABELS, InputSpec, canonical, crop, to_input
from edge.errors import SettingsError, SourceError
from train.fingerprint import near_pairs, perceptual_hash, sha256

SIDE = 48
"""The faces are kept at this width and height, pixels: that of FER2013, whose pixels so stay as they are."""

Truth = Literal["votes", "label"]

HEADS: dict[Truth, tuple[str, ...]] = {"votes": LABELS, "label": FER2013_LABELS}
"""What a network can learn and be judged by, with its labels: the votes of many people (FER+: eight labels, and the
truth is their strict majority), or the data set's own label (FER2013: seven labels). Where a data set has no votes,
its label counts as the only one."""


@dataclass(frozen=True)
class Face:
    """One face as an importer reads it.

    picture   (height, width) grey or (height, width, 3) RGB, uint8, as large as the data set has it
    key       where it stands in its data set: a row number, or a path below the data set's folder
    name      the emotion as the data set spells it; "" where it names none
    split     "train", "validation" or "test" where the data set has official splits, else ""
    votes     (8,) shares of the votes for each of LABELS, summing to 1, or to 0 without a usable one; None: no votes
    majority  index in LABELS of the label with more than half of the votes; -1 without one; of meaning only with votes
    valence, arousal  -1 to 1; nan where the data set has none
    subject   who is seen, or which film it is cut from; faces with the same one stay in one split
    """

    picture: NDArray[np.uint8]
    key: str
    name: str = ""
    split: str = ""
    votes: NDArray[np.float32] | None = None
    majority: int = -1
    valence: float = float("nan")
    arousal: float = float("nan")
    subject: str = ""


@dataclass(frozen=True)
class FaceSet:
    """Many faces; every field has one row a face.

    pixels    (n, SIDE, SIDE) uint8, grey
    name      (n,) str, the emotion as the data set spells it
    label     (n,) int64, index in LABELS of `name`; -1 where it is none of them
    votes     (n, 8) float32, share of the votes for each of LABELS; rows sum to 1, or to 0 without a usable vote
    majority  (n,) int64, index in LABELS of the label with more than half of all votes; -1 where there is none
    valence, arousal  (n,) float32 from -1 to 1, nan where unknown
    subject   (n,) str, who is seen; "" where unknown
    split     (n,) str: "train", "validation" or "test"
    copied    (n,) bool: an identical picture stands in the training split as well
    key       (n,) str, place in the source
    source    (n,) str, name of the data set
    licence   (n,) str, terms of the data set
    sha256    (n,) str, hash of the picture as the data set has it
    phash     (n,) uint64, perceptual hash: near-duplicates differ in few bits
    """

    pixels: NDArray[np.uint8]
    name: NDArray[np.str_]
    label: NDArray[np.int64]
    votes: NDArray[np.float32]
    majority: NDArray[np.int64]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]
    subject: NDArray[np.str_]
    split: NDArray[np.str_]
    copied: NDArray[np.bool_]
    key: NDArray[np.str_]
    source: NDArray[np.str_]
    licence: NDArray[np.str_]
    sha256: NDArray[np.str_]
    phash: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.pixels)

    def where(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> "FaceSet":
        """The faces that a mask or a list of positions chooses."""
        return replace(self, **{each.name: getattr(self, each.name)[mask] for each in fields(self)})

    def truth(self, kind: Truth) -> NDArray[np.int64]:
        """(n,) index in HEADS[kind] of the right answer; -1 where there is none."""
        if kind == "votes":
            return self.majority
        return np.where(self.label < len(HEADS["label"]), self.label, -1)

    def unknown(self) -> dict[str, int]:
        """Names that are no label of ours, and how many faces have each."""
        names, counts = np.unique(self.name[(self.label < 0) & (self.name != "")], return_counts=True)
        return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def gathered(faces: Iterable[Face], source: str, licence: str) -> FaceSet:
    """An importer's faces as one set; `split` stays "" where the data set has none. SourceError if there are none."""
    columns = _Columns()
    for face in faces:
        columns.add(face)
    if not columns.pixels:
        raise SourceError(f"{source}: no faces in it: expected at least one")
    return columns.whole(source, licence)


@dataclass
class _Columns:
    """A FaceSet in the making: a list for each column."""

    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, face: Face) -> None:
        label = labelled(face.name)
        votes, majority = (one_vote(label), label) if face.votes is None else (face.votes, face.majority)
        grey = face.picture if face.picture.ndim == 2 else cv2.cvtColor(face.picture, cv2.COLOR_RGB2GRAY)
        known = (face.name, label, votes, majority, face.valence, face.arousal, face.subject, face.split, face.key)
        self.pixels.append(kept(grey))
        self.rows.append((*known, sha256(face.picture), perceptual_hash(grey)))

    def whole(self, source: str, licence: str) -> FaceSet:
        name, label, votes, majority, valence, arousal, subject, split, key, digest, phash = zip(
            *self.rows, strict=True
        )
        n = len(self.pixels)
        return FaceSet(
            pixels=np.stack(self.pixels),
            name=np.array(name, str),
            label=np.array(label, np.int64),
            votes=np.stack(votes).astype(np.float32),
            majority=np.array(majority, np.int64),
            valence=np.array(valence, np.float32),
            arousal=np.array(arousal, np.float32),
            subject=np.array(subject, str),
            split=np.array(split, str),
            copied=np.zeros(n, bool),
            key=np.array(key, str),
            source=np.full(n, source),
            licence=np.full(n, licence),
            sha256=np.array(digest, str),
            phash=np.array(phash, np.uint64),
        )


def labelled(name: str) -> int:
    """The index in LABELS of an emotion in any known spelling; -1 for a name that is none."""
    try:
        return LABELS.index(canonical(name))
    except SettingsError:
        return -1


def one_vote(label: int) -> NDArray[np.float32]:
    """(8,) shares of the votes where a label, index in LABELS or -1, counts as the only one."""
    return np.eye(len(LABELS), dtype=np.float32)[label] if label >= 0 else np.zeros(len(LABELS), np.float32)


def kept(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture at the width and height that a set keeps."""
    if grey.shape == (SIDE, SIDE):
        return grey
    return crop(grey, InputSpec(side=SIDE))[..., 0]


def joined(sets: Sequence[FaceSet]) -> FaceSet:
    """Several data sets as one. Labels were mapped by name when each was read, so orders cannot collide."""
    return FaceSet(**{each.name: np.concatenate([getattr(one, each.name) for one in sets]) for each in fields(FaceSet)})


def marked_copies(faces: FaceSet) -> FaceSet:
    """`copied` filled in: a validation or test face of which the training split holds an identical picture."""
    training = faces.split == "train"
    return replace(faces, copied=~training & np.isin(faces.sha256, faces.sha256[training]))


def trainable(faces: FaceSet) -> FaceSet:
    """Training faces with a label or usable votes that are neither blank nor a copy of a validation or test face.

    Copies are identical pictures, and near-duplicates in another data set (see `Trained`).
    """
    training = faces.split == "train"
    copies = Trained.of(faces.where(~training)).holds(faces)
    blank = faces.pixels.reshape(len(faces), -1).std(axis=1) < 1
    known = (faces.label >= 0) | (faces.votes.sum(axis=1) > 0)
    return faces.where(training & known & ~blank & ~copies)


def voted(faces: FaceSet) -> NDArray[np.bool_]:
    """(n,) is the face of a source whose faces have the votes of several people?"""
    several = (faces.votes.max(axis=1) < 1) & (faces.votes.sum(axis=1) > 0)
    return np.isin(faces.source, np.unique(faces.source[several]))


def judged(faces: FaceSet, split: str, kind: Truth = "votes") -> FaceSet:
    """The faces of a split that have a right answer of this kind: those that an accuracy is measured on."""
    return faces.where((faces.split == split) & (faces.truth(kind) >= 0))


def inputs(faces: FaceSet, spec: InputSpec) -> NDArray[np.float32]:
    """The faces as a network with this `spec` wants them, (n, side, side, channels)."""
    return np.stack([to_input(face, spec) for face in faces.pixels])


def manifest_sha256(digests: Iterable[str]) -> str:
    """One hash for a set of training faces, whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


@dataclass(frozen=True)
class Trained:
    """What tells the faces that a network was trained on from others; every field has one row a face.

    A run keeps them in `manifest.txt`, a line for each face, sorted: `sha256 phash source`, hexadecimal the first two.

    sha256  (n,) str, hash of the picture
    phash   (n,) uint64, perceptual hash
    source  (n,) str, name of the data set

    A face is held if its picture is one of these, or nearly one of another data set: compressed again, resized or
    brightened (`train.fingerprint.NEAR_BITS` says what was measured). Within one data set only identical pictures
    count: FER2013 has photo series across its official splits, so that 65 of its validation and 68 of its test faces
    nearly copy a training face, some only by looking alike; without them its figures could not be compared.
    """

    sha256: NDArray[np.str_]
    phash: NDArray[np.uint64]
    source: NDArray[np.str_]

    @staticmethod
    def of(faces: FaceSet) -> "Trained":
        """The marks of these faces."""
        return Trained(faces.sha256, faces.phash, faces.source)

    @staticmethod
    def read(manifest: Path) -> "Trained":
        """Those of a run; SourceError if the file is gone or is none. Lines without phash find identical pictures."""
        try:
            lines = [line.split(maxsplit=2) for line in manifest.read_text().splitlines() if line]
            rows = [(each[0], int(each[1], 16), each[2]) if len(each) == 3 else (*each, 0, "") for each in lines]
            sha256, phash, source = zip(*rows, strict=True) if rows else ((), (), ())
            return Trained(np.array(sha256, str), np.array(phash, np.uint64), np.array(source, str))
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{manifest}: no list of training faces ({error}): expected lines of sha256, phash and source, as "
                "a run of `python -m train fit` leaves them"
            ) from error

    def text(self) -> str:
        """The content of `manifest.txt`, whatever the order of the faces."""
        rows = zip(self.sha256, self.phash, self.source, strict=True)
        marks = (f"{sha256} {int(phash):016x} {source}" if source else sha256 for sha256, phash, source in rows)
        return "".join(f"{each}\n" for each in sorted(marks))

    def joined(self, other: "Trained") -> "Trained":
        """These faces and those of `other`; a picture of both stands once, as here."""
        new = ~np.isin(other.sha256, self.sha256)
        return Trained(
            np.concatenate([self.sha256, other.sha256[new]]),
            np.concatenate([self.phash, other.phash[new]]),
            np.concatenate([self.source, other.source[new]]),
        )

    def holds(self, faces: FaceSet) -> NDArray[np.bool_]:
        """(n,) for each face: is it one of these?"""
        held = np.isin(faces.sha256, self.sha256)
        known = self.source != ""
        pairs = near_pairs(faces.phash, self.phash[known])
        held[pairs[faces.source[pairs[:, 0]] != self.source[known][pairs[:, 1]], 0]] = True
        return held


def refuse_trained(faces: FaceSet, manifest: Path) -> None:
    """SourceError if any of `faces`, or nearly the same picture, stands in the manifest of a run's training faces."""
    seen = int(Trained.read(manifest).holds(faces).sum())
    if seen:
        raise SourceError(
            f"{manifest}: {seen} of {len(faces)} faces to evaluate on were trained on: "
            "expected none; choose another split or data set"
        )


def mirrored(faces: FaceSet) -> FaceSet:
    """The same faces, left and right exchanged."""
    return replace(faces, pixels=faces.pixels[:, :, ::-1])

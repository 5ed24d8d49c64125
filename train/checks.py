"""What the pictures of a data set show by themselves: faces, blur, exposure, copies."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge import config
from edge.faces import face_finder
from edge.perceive import sharpness
from edge.scene import Face
from train.data import FaceSet, voted
from train.extract import detected
from train.findings import Finding
from train.fingerprint import near_pairs

ENLARGED = 4
FRAME_SHARE = 0.4
"""The detector sees a face picture four times as large, in a frame of its mean grey of 0.4 of the side.

It wants something about a face. Of 2,000 FER2013 training faces it so finds exactly one face in 98.7 %, none in 0.9 %
(without a frame: 92.9 % and 5.6 %; the edge repeated: 96.4 % and 3.5 %; the network for a room: 73 % and 27 %). In 400
pieces of pictures without people it finds none in 98 %. Most of what it misses are faces, in profile or behind hands.
"""

SURE, UNSURE = 0.5, 0.3
"""Detector scores: a face; not even something like one. Of the same FER2013 faces 0.3 % have nothing above the second,
of the pieces 88 %."""

BLURRED = 0.05
"""Sharpness as the device measures it. FER2013 training faces have 0.7 (median; 95 % more than 0.31), and 0.06 or 0.04
when they are blurred by 1.0 or 1.2 pixels of 48 (standard deviation)."""

DARK, BRIGHT, FLAT, BLANK = 60.0, 195.0, 12.0, 1.0
"""Grey levels: the lightest twentieth is darker than DARK, the darkest twentieth lighter than BRIGHT, the standard
deviation below FLAT, or below BLANK. Not the mean: it would call dark skin underexposed."""


def checked(faces: FaceSet) -> list[Finding]:
    """All that the pictures show, face by face."""
    return [*_exposure(faces), *_blur(faces), *_detections(faces), *_exact_copies(faces), *_near_copies(faces)]


def framed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey face picture as the detector finds its face best, RGB."""
    large = cv2.resize(pixels, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    edge = round(large.shape[0] * FRAME_SHARE)
    mean = round(float(pixels.mean()))
    whole = cv2.copyMakeBorder(large, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=mean)
    return np.asarray(cv2.cvtColor(whole, cv2.COLOR_GRAY2RGB), np.uint8)


def _detections(faces: FaceSet) -> Iterator[Finding]:
    rejected = voted(faces) & (faces.votes.sum(axis=1) == 0)
    with closing(face_finder(config.Faces(min_score=UNSURE))) as finder:
        for row, pixels in enumerate(tqdm(faces.pixels, "faces sought")):
            found = detected(finder, framed(pixels))
            sure = [face for face in found if face.score >= SURE]
            if not sure:
                yield _missed(faces, row, max((face.score for face in found), default=0.0), bool(rejected[row]))
            elif others := beside(sure):
                yield Finding(row, "several faces", f"{len(others) + 1} faces", max(each.score for each in others))


def _missed(faces: FaceSet, row: int, best: float, rejected: bool) -> Finding:
    """Out of training is better only if nothing is like a face at all, or the voters saw none either."""
    seen = f"best score {best:.2f}" if best else f"nothing above {UNSURE}"
    detail = f"{seen}; most votes: unknown, or not a face" if rejected else seen
    return Finding(row, "no face", detail, 1 - best, _training(faces, row) and (not best or rejected))


def beside(found: Sequence[Face]) -> list[Face]:
    """The faces beside the first; one whose nose lies in its box is an eye or a mouth of it."""
    box = found[0].box
    return [
        each
        for each in found[1:]
        if not (box.left <= each.nose[0] < box.right and box.top <= each.nose[1] < box.bottom)
    ]


def _blur(faces: FaceSet) -> Iterator[Finding]:
    """What the device would not read either is better left out."""
    limit = config.Limits().min_sharpness
    for row, pixels in enumerate(faces.pixels):
        if pixels.std() >= FLAT and (sharp := sharpness(pixels[..., np.newaxis])) < BLURRED:
            yield Finding(row, "blurred", f"sharpness {sharp:.3f}", -sharp, _training(faces, row) and sharp < limit)


def _exposure(faces: FaceSet) -> Iterator[Finding]:
    for row, pixels in enumerate(faces.pixels):
        spread, (low, high) = float(pixels.std()), np.percentile(pixels, (5, 95))
        if spread < BLANK:
            yield Finding(row, "blank", f"grey {pixels.mean():.0f}", -spread, _training(faces, row))
        elif spread < FLAT:
            yield Finding(row, "flat", f"standard deviation {spread:.1f} grey levels", -spread)
        elif high < DARK:
            yield Finding(row, "too dark", f"95 % of the pixels below {high:.0f}", -high)
        elif low > BRIGHT:
            yield Finding(row, "too bright", f"95 % of the pixels above {low:.0f}", low)


def _exact_copies(faces: FaceSet) -> Iterator[Finding]:
    """Of blank ones there is enough to say already."""
    rows = np.flatnonzero(faces.pixels.reshape(len(faces), -1).std(axis=1) >= BLANK)
    order = rows[np.argsort(faces.sha256[rows], kind="stable")]
    bounds = np.flatnonzero(faces.sha256[order][1:] != faces.sha256[order][:-1]) + 1
    for group in np.split(order, bounds):
        names = sorted(set(faces.name[group].tolist()))
        for row in group if len(group) > 1 else ():
            other = next(each for each in _held_out_first(faces, group) if each != row)
            yield _copy(faces, int(row), int(other), "exact copy", "same picture as")
            if len(names) > 1:
                detail = f"the same picture is called {' and '.join(names)}"
                yield Finding(int(row), "copies with different labels", detail, len(group), _training(faces, row))


def _near_copies(faces: FaceSet) -> Iterator[Finding]:
    """One line for each face, about the copy that matters most."""
    rows = np.flatnonzero(faces.pixels.reshape(len(faces), -1).std(axis=1) >= FLAT)
    pairs = rows[near_pairs(faces.phash[rows], faces.phash[rows])]
    pairs = pairs[faces.sha256[pairs[:, 0]] != faces.sha256[pairs[:, 1]]]
    seen: set[int] = set()
    for row, other in sorted(pairs.tolist(), key=lambda pair: (pair[0], faces.split[pair[1]] == "train", pair[1])):
        if row not in seen:
            seen.add(row)
            yield _copy(faces, row, other, "near copy", "almost the same picture as")


def _held_out_first(faces: FaceSet, group: NDArray[np.int64]) -> NDArray[np.int64]:
    return group[np.argsort(faces.split[group] == "train", kind="stable")]


def _copy(faces: FaceSet, row: int, other: int, kind: str, words: str) -> Finding:
    """A training face that a validation or test face repeats makes their figures too good."""
    leak = _training(faces, row) and not _training(faces, other)
    where = f"{faces.source[other]}/{faces.key[other]} ({faces.split[other]}, {faces.name[other] or 'no label'})"
    across = faces.split[row] != faces.split[other]
    return Finding(row, f"{kind}, {'across splits' if across else 'same split'}", f"{words} {where}", 0.0, leak)


def _training(faces: FaceSet, row: "int | np.int64") -> bool:
    return bool(faces.split[row] == "train")

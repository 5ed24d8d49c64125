"""How much a model loses when its faces are blurred, dark, noisy, compressed, small, tilted or half hidden."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data import SIDE, FaceSet, Truth
from train.metrics import Scores, summary, truth_among

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, float, np.random.Generator], Pixels]

CLEAN = "as they are"


@dataclass(frozen=True)
class Corruption:
    """One way in which a face gets worse.

    form       its name, with {} for the strength
    strengths  how far it goes, from little to much
    change     a grey face (SIDE, SIDE) uint8, the strength, and where chance comes from -> the changed face
    """

    form: str
    strengths: tuple[float, ...]
    change: Change

    def name(self, strength: float) -> str:
        """For tables."""
        return self.form.format(f"{strength:g}")


def blurred(face: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Out of focus: Gaussian, its standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(face, (0, 0), deviation), np.uint8)


def darkened(face: Pixels, percent: float, rng: np.random.Generator) -> Pixels:
    """So many percent of the light, in whole grey levels as a camera gives them."""
    return np.round(face * (percent / 100)).astype(np.uint8)


def noisy(face: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """Sensor noise: normal, its standard deviation in grey levels."""
    return np.clip(np.round(face + rng.normal(0, deviation, face.shape)), 0, 255).astype(np.uint8)


def compressed(face: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """As JPEG of this quality, 0 to 100."""
    _, coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)


def small(face: Pixels, side: float, rng: np.random.Generator) -> Pixels:
    """As a camera across the room gives it: so many pixels wide, enlarged again."""
    shrunk = cv2.resize(face, (int(side), int(side)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, face.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def tilted(face: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Turned in the picture, to the left or to the right; what lies outside repeats the edge."""
    height, width = face.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees * rng.choice((-1, 1)), 1)
    return np.asarray(cv2.warpAffine(face, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def hidden(face: Pixels, percent: float, rng: np.random.Generator) -> Pixels:
    """So many percent of the face behind a square of one grey level, anywhere: a hand, a cup."""
    side = round(face.shape[0] * (percent / 100) ** 0.5)
    left, top = rng.integers(0, face.shape[0] - side + 1, 2)
    face = face.copy()
    face[top : top + side, left : left + side] = rng.integers(0, 256)
    return face


CORRUPTIONS: Mapping[str, Corruption] = {
    "blur": Corruption("blurred, deviation {} px", (1, 2, 3), blurred),
    "dark": Corruption("{} % of the light", (50, 25, 10), darkened),
    "noise": Corruption("noise, deviation {} of 255", (10, 20, 40), noisy),
    "jpeg": Corruption("JPEG, quality {}", (50, 20, 10), compressed),
    "small": Corruption("{} px wide, enlarged", (40, 32, 24), small),
    "rotation": Corruption("tilted by {} degrees", (10, 20, 30), tilted),
    "occlusion": Corruption("{} % hidden", (10, 20, 30), hidden),
}
"""On faces of SIDE = 48 pixels; a blur of 1 pixel there is one of 4 on a face of 192."""


def corrupted(pixels: Pixels, kind: str, strength: float, seed: int) -> Pixels:
    """(n, SIDE, SIDE) all faces changed; the same for the same faces, kind, strength and seed."""
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(kind), round(strength * 1000)])
    return np.stack([CORRUPTIONS[kind].change(face, strength, rng) for face in pixels])


def drawn(faces: FaceSet, at_most: int, seed: int) -> FaceSet:
    """So many of the faces, by chance; all if there are fewer."""
    order = np.random.default_rng(seed).permutation(len(faces))
    return faces.where(np.sort(order[:at_most]))


def robustness(
    scores_of: Callable[[Pixels], Scores], faces: FaceSet, labels: Sequence[str], truth: Truth = "votes", seed: int = 0
) -> dict[str, Any]:
    """The same faces as they are and changed in every way, asked by `scores_of`: (n, SIDE, SIDE) -> (n, labels).

    rows  name, kind, strength, n, accuracy with its interval, macro F1, mean confidence, and the accuracy lost
    mean  accuracy over the kinds of change, each the mean over its strengths; the faces as they are do not count
    """
    places = truth_among(labels, faces, truth)
    faces, places = faces.where(places >= 0), places[places >= 0]

    def row(name: str, kind: str, strength: float, pixels: Pixels) -> dict[str, Any]:
        scores = scores_of(pixels)
        confidence = float(scores.max(axis=1).mean())
        return {"name": name, "kind": kind, "strength": strength, "confidence": confidence} | summary(
            scores, places, labels
        )

    rows = [row(CLEAN, "clean", 0, faces.pixels)] + [
        row(each.name(strength), kind, strength, corrupted(faces.pixels, kind, strength, seed))
        for kind, each in CORRUPTIONS.items()
        for strength in each.strengths
    ]
    for each_row in rows:
        each_row["lost"] = rows[0]["accuracy"] - each_row["accuracy"]
    return {"n": len(faces), "seed": seed, "side": SIDE, "mean": _mean(rows), "rows": rows}


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    by_kind = [[row["accuracy"] for row in rows if row["kind"] == kind] for kind in CORRUPTIONS]
    return float(np.mean([np.mean(accuracies) for accuracies in by_kind]))


def accuracies(table: Mapping[str, Any]) -> dict[str, float]:
    """Name of each change to the accuracy: what a model's card keeps."""
    return {row["name"]: row["accuracy"] for row in table["rows"]}

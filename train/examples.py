"""A page that shows what augmentation does to faces: each change by itself, and all together."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import LABELS, InputSpec, crop
from edge.errors import SourceError
from train import importers, mixing, pages
from train.augment import alone, augmented
from train.data import FaceSet, trainable
from train.recipe import Recipe

PAGE = "augmentation.html"

FACES = 8
"""So many faces are shown, of as many labels as there are."""

ROWS = 4
"""So many times each face is shown with all changes together."""

Pictures = NDArray[np.uint8]


def examples(paths: Sequence[Path], out: Path, recipe: Recipe | None = None, seed: int = 0) -> Path:
    """Write augmentation.html to the folder `out` and return its path; the same seed shows the same.

    The pictures on it are people: keep it where the data is. SourceError if there is no face to train on.
    """
    recipe = recipe or Recipe()
    rng = np.random.default_rng(seed)
    faces = shown(trainable(importers.read_all(paths)), rng)
    pages.write(out / PAGE, pages.page("Augmentation", _parts(faces.pixels, recipe, rng)))
    return out / PAGE


def shown(faces: FaceSet, rng: np.random.Generator) -> FaceSet:
    """FACES of the faces, drawn label by label in turn; fewer if there are no more."""
    if not len(faces):
        raise SourceError("no faces to train on in the data sets: expected some with a label, in the training split")
    order = rng.permutation(len(faces))
    turn = np.zeros(len(faces), np.int64)
    for label in range(-1, len(LABELS)):
        here = order[faces.label[order] == label]
        turn[here] = np.arange(len(here))
    return faces.where(order[np.argsort(turn[order], kind="stable")][:FACES])


def _parts(faces: Pictures, recipe: Recipe, rng: np.random.Generator) -> Iterator[str]:
    spec = recipe.input
    yield pages.paragraph(
        "What a face may go through before the network sees it in training. Each row but the last shows one change by "
        "itself. Validation, test and calibration faces are never changed. No face is turned upside down."
    )
    yield from _row("as it is", np.stack([crop(face, spec) for face in faces]))
    for name, (share, how) in alone(recipe.augment).items():
        changed = np.stack([augmented(face, how, spec, rng) for face in faces])
        yield from _row(f"{name} ({share:.0%} of the faces)", changed)
    for way in ("mixup", "cutmix"):
        alpha = getattr(recipe, way)
        yield from _row(
            f"{way} ({f'alpha {alpha:g}' if alpha else 'not in this recipe'})", _mixed(faces, way, spec, rng)
        )
    for _ in range(ROWS):
        yield from _row("all together", np.stack([augmented(face, recipe.augment, spec, rng) for face in faces]))


def _row(title: str, pictures: Pictures) -> Iterator[str]:
    yield pages.heading(title)
    yield pages.sheet((picture, "") for picture in pictures)


def _mixed(faces: Pictures, way: str, spec: InputSpec, rng: np.random.Generator) -> Pictures:
    """By shares near a half (alpha 8), to show what it is."""
    x = np.stack([crop(face, spec) for face in faces]).astype(np.float32)
    return np.round(mixing.mixed((x, {}, {}), {way: 8.0}, rng)[0]).astype(np.uint8)

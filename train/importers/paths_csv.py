"""Pictures listed in one `train.csv` with a path and an emotion each, as in the Kaggle set of nine classes."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from train import columns
from train.data import Face, FaceSet, gathered
from train.importers.pictures import opened

FORM = "a folder with train.csv, columns image_path and emotion, and the pictures that it names"
SOURCE = "nine-classes"
LICENCE = "not stated: see the Kaggle competition skillbox-computer-vision-project"
LIST = "train.csv"
COLUMNS = ("image_path", "emotion")


def matches(path: Path) -> bool:
    """A folder with the list."""
    return set(COLUMNS) <= columns.names(path / LIST)


def read(path: Path) -> FaceSet:
    """All listed pictures, paths from the list's folder; no official splits, as only the training labels are public."""
    return gathered(_faces(path), SOURCE, LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    for _, row in columns.rows(path / LIST, COLUMNS):
        name = PurePosixPath(row["image_path"].strip().replace("\\", "/"))
        yield Face(opened(path / name), str(name), row["emotion"].strip())

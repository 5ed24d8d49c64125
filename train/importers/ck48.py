"""CK+48: the peak frames of CK+ as faces of 48 x 48 pixels, a folder for each emotion."""

import re
from collections.abc import Iterator
from pathlib import Path

from train.data import Face, FaceSet, gathered
from train.importers import ckplus
from train.importers.pictures import all_named, folders, in_folder, opened

FORM = "CK+48: folders of emotions with files such as S010_004_00000017.png"
NAME = re.compile(r"(S\d{3})_\d{3}_\d{8}\.png", re.IGNORECASE)
"""Who is seen, which sequence, which frame."""


def matches(path: Path) -> bool:
    """Folders whose first file is called like a frame of CK+, perhaps in a folder CK+48."""
    labels = folders(_root(path)) if path.is_dir() else []
    return bool(labels) and all(all_named(in_folder(each)[:1], NAME) for each in labels)


def read(path: Path) -> FaceSet:
    """All pictures; no official splits. Three frames of one sequence are nearly the same: people stay together."""
    return gathered(_faces(path), ckplus.SOURCE, ckplus.LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    for label in folders(_root(path)):
        for file in in_folder(label):
            yield Face(opened(file), file.relative_to(path).as_posix(), label.name, subject=file.name[:4].upper())


def _root(path: Path) -> Path:
    return path / "CK+48" if (path / "CK+48").is_dir() else path

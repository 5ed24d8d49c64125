"""Any pictures in folders called after their emotion, perhaps below folders called after their split."""

from collections.abc import Iterator
from pathlib import Path

from edge.errors import SourceError
from train.data import Face, FaceSet, gathered
from train.importers.pictures import folders, in_folder, opened

FORM = "a folder <split>/<emotion>/*.png or <emotion>/*.png (splits: train, val, valid, validation, test)"
LICENCE = "not stated"
SPLIT_OF_FOLDER = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def matches(path: Path) -> bool:
    """Pictures two folders down if the first is called after a split, else one."""
    return path.is_dir() and any(True for _ in _labels(path))


def read(path: Path) -> FaceSet:
    """All pictures; the data set has its folder's name. SourceError for pictures both below splits and beside them."""
    return gathered(_faces(path), path.resolve().name, LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    splits = {split for split, _ in _labels(path)}
    if len(splits) > 1 and "" in splits:
        strays = sorted({label.name for split, label in _labels(path) if not split})
        raise SourceError(f"{path}: folders {strays!r} beside folders of splits: expected pictures only below a split")
    for split, label in _labels(path):
        for file in in_folder(label):
            yield Face(opened(file), file.relative_to(path).as_posix(), label.name, split)


def _labels(path: Path) -> Iterator[tuple[str, Path]]:
    """(split or "", folder) of every folder of pictures."""
    for folder in folders(path):
        split = SPLIT_OF_FOLDER.get(folder.name.lower(), "")
        below = folders(folder) if split else [folder]
        yield from ((split, label) for label in below if in_folder(label))

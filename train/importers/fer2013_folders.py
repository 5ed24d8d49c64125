"""FER2013 as folders of pictures, `train/<emotion>/` and `test/<emotion>/`, in the two spellings that are about."""

import re
from collections.abc import Iterator
from pathlib import Path

from edge.contract import FER2013_LABELS
from train.data import Face, FaceSet, gathered, labelled
from train.importers import fer2013
from train.importers.pictures import all_named, folders, in_folder, opened

FORM = (
    "FER2013 folders: train/ and test/ with a folder for each of its seven emotions, files im0.png or Training_3908.jpg"
)
NAME = re.compile(r"im\d+\.png|(Training|PublicTest|PrivateTest)_\d+\.jpg", re.IGNORECASE)
"""What the files are called, which tells these folders from other data sets with the same labels."""
SPLITS = ("train", "test")


def matches(path: Path) -> bool:
    """Exactly these two splits, exactly the seven emotions in each, and in each a first file that is called so."""
    if not path.is_dir() or {each.name for each in folders(path)} != set(SPLITS):
        return False
    labels = [folder for split in SPLITS for folder in folders(path / split)]
    both_whole = sorted(labelled(each.name) for each in labels) == sorted([*range(len(FER2013_LABELS))] * 2)
    return both_whole and all(all_named(in_folder(each)[:1], NAME) for each in labels)


def read(path: Path) -> FaceSet:
    """All pictures. There is no validation folder: where the file names do not tell the original usage, `test` holds
    both official test sets and `train.splits` draws the validation faces from the training ones."""
    return gathered(_faces(path), fer2013.SOURCE, fer2013.LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    for split in SPLITS:
        for label in folders(path / split):
            for file in in_folder(label):
                yield Face(opened(file), file.relative_to(path).as_posix(), label.name, _split(split, file))


def _split(folder: str, file: Path) -> str:
    """That of the original usage, `PublicTest_` is validation; else the folder's."""
    return fer2013.SPLIT_OF_USAGE.get(file.name.partition("_")[0], folder)

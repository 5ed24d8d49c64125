"""AffectNet: photos from the web with a face box, an expression by number, valence and arousal, in CSV lists."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError
from train import columns
from train.data import Face, FaceSet, gathered
from train.importers.pictures import opened

FORM = (
    "AffectNet: training.csv or validation.csv with subDirectory_filePath, expression, valence, arousal, and the images"
)
SOURCE = "affectnet"
LICENCE = "AffectNet: research only, by agreement with the University of Denver"
SPLIT_OF_LIST = {"training.csv": "train", "validation.csv": "validation"}
FOLDERS_OF_LISTS = ("", "Manually_Annotated_file_lists")
FOLDERS_OF_IMAGES = (
    "",
    "Manually_Annotated_Images",
    "Manually_Annotated_compressed/Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
)
"""Where lists and images lie below the data set's folder, as its archives are unpacked."""
COLUMNS = ("subDirectory_filePath", "expression", "valence", "arousal")
BOX = ("face_x", "face_y", "face_width", "face_height")
NAMES = (
    "neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt", "none", "uncertain", "no-face",
)  # fmt: skip
"""The expressions by AffectNet's numbers. The last three are no emotion of ours: they stay as unknown names."""
NOT_GIVEN = -2.0
"""Valence and arousal of a picture that was not rated."""


def matches(path: Path) -> bool:
    """A folder with one of the lists."""
    return bool(_lists(path))


def read(path: Path) -> FaceSet:
    """All listed faces, cut to the given box where there is one; `test` is not published. SourceError if damaged."""
    return gathered(_faces(path), SOURCE, LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    for listed in _lists(path):
        images: Path | None = None
        for line, row in columns.rows(listed, COLUMNS):
            name = PurePosixPath(row["subDirectory_filePath"].replace("\\", "/"))
            images = images or _images(path, name, listed)
            yield _face(row, images / name, path, SPLIT_OF_LIST[listed.name], f"{listed}, line {line}")


def _face(row: dict[str, str], file: Path, path: Path, split: str, where: str) -> Face:
    return Face(
        picture=_cut(opened(file), row),
        key=file.relative_to(path).as_posix(),
        name=NAMES[columns.whole(row["expression"], where, "expression", len(NAMES) - 1)],
        split=split,
        valence=_rating(row, "valence", where),
        arousal=_rating(row, "arousal", where),
    )


def _rating(row: dict[str, str], name: str, where: str) -> float:
    """-1 to 1, or nan where it was not given."""
    value = columns.number(row[name], where, name, NOT_GIVEN, 1)
    if NOT_GIVEN < value < -1:
        raise SourceError(f"{where}: {name} {row[name]!r}: expected a number from -1 to 1, or -2 where it is not given")
    return float("nan") if value == NOT_GIVEN else value


def _cut(picture: NDArray[np.uint8], row: dict[str, str]) -> NDArray[np.uint8]:
    """The face box, as far as it lies in the picture; all of the picture where no box is given."""
    try:
        left, top, width, height = (int(float(row[name])) for name in BOX)
    except (KeyError, ValueError):
        return picture
    face = picture[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    return face if face.size else picture


def _lists(path: Path) -> list[Path]:
    files = [path / folder / name for folder in FOLDERS_OF_LISTS for name in SPLIT_OF_LIST]
    return [file for file in files if set(COLUMNS) <= columns.names(file)]


def _images(path: Path, name: PurePosixPath, listed: Path) -> Path:
    for folder in FOLDERS_OF_IMAGES:
        if (path / folder / name).is_file():
            return path / folder
    raise SourceError(
        f"{path}: no picture {name} there, the first of {listed.name}: expected it in {FOLDERS_OF_IMAGES[1]}"
    )

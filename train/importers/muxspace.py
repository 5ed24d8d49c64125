"""muxspace/facial_expressions: the repository with its CSV lists, or one Parquet file; one annotator's labels."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from edge.errors import SourceError
from train import columns
from train.data import Face, FaceSet, gathered
from train.importers.pictures import decoded, opened

FORM = (
    "the repository muxspace/facial_expressions (data/legend.csv, data/500_picts_satz.csv and images/), "
    "or a Parquet file with image, name, label_name and identity"
)
SOURCE = "muxspace"
LICENCE = "muxspace/facial_expressions: Apache-2.0; photos from LFW and IMFDB"
LISTS = ("data/legend.csv", "data/500_picts_satz.csv")
"""Lines `id,image,emotion`; the first has a line of names above (`user.id,image,emotion`), the second has none."""
PERSON = re.compile(r"(.+)_\d{4}\.jpe?g", re.IGNORECASE)
"""LFW's file names: `Aaron_Guiel_0001.jpg`."""


def matches(path: Path) -> bool:
    """The repository's folder, or a Parquet file with a column that says who is seen."""
    if path.suffix == ".parquet":
        return "identity" in columns.names(path)
    return (path / "images").is_dir() and any((path / each).is_file() for each in LISTS)


def read(path: Path) -> FaceSet:
    """All rows; no official splits. Listed pictures that the repository does not have are counted on stderr."""
    return gathered(_from_parquet(path) if path.suffix == ".parquet" else _from_lists(path), SOURCE, LICENCE)


def _from_parquet(path: Path) -> Iterator[Face]:
    table = columns.parquet(path, ("image", "name", "label_name", "identity"))
    for row, image in enumerate(table["image"]):
        name = table["name"][row]
        yield Face(decoded(image, f"{path}, {name}"), name, table["label_name"][row], subject=table["identity"][row])


def _from_lists(path: Path) -> Iterator[Face]:
    missing = 0
    for name, emotion in _rows(path):
        file = path / "images" / name
        if file.is_file():
            yield Face(opened(file), f"images/{name}", emotion, subject=_person(name))
        missing += not file.is_file()
    if missing:
        print(f"{path}: {missing} listed pictures are not in images/: left out", file=sys.stderr)


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    for each in LISTS:
        if (path / each).is_file():
            for line, cells in columns.lines(path / each):
                if len(cells) != 3:
                    raise SourceError(f"{path / each}, line {line}: {len(cells)} values: expected id, image, emotion")
                if cells[2].strip() != "emotion":
                    yield cells[1].strip(), cells[2].strip()


def _person(name: str) -> str:
    found = PERSON.fullmatch(name)
    return found[1] if found else name

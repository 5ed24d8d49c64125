"""FER2013: the CSV files as published, with the FER+ votes of `fer2013new.csv` beside, or both in one Parquet file."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import FER2013_LABELS, LABELS, canonical
from edge.errors import SourceError
from train import columns
from train.data import Face, FaceSet, gathered
from train.importers.pictures import decoded

FORM = (
    "a folder with fer2013.csv or icml_face_data.csv (and fer2013new.csv), "
    "or a Parquet file with image, label_name, usage and fp_*"
)
SOURCE = "fer2013"
LICENCE = "FER2013: research and education; FER+ votes: MIT"
FILES = ("fer2013.csv", "icml_face_data.csv")
"""The same rows twice: as first published (`emotion,pixels,Usage`), and as the competition's page has them since
(`emotion, Usage, pixels`, with spaces). Where both are there, the first is read."""
SPLIT_OF_USAGE = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
FERPLUS_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The vote columns of `fer2013new.csv` that name an emotion; `unknown` and `NF` (not a face) follow them."""
COUNTS = (*FERPLUS_VOTES, "unknown", "NF")
FER_SIDE = 48


def matches(path: Path) -> bool:
    """A folder with one of the CSV files, one of them itself, or a Parquet file with a usage column."""
    if path.suffix == ".parquet":
        return "usage" in columns.names(path)
    return _csv_file(path) is not None


def read(path: Path) -> FaceSet:
    """All rows, with FER+ votes where there are any; SourceError for a file that is damaged."""
    file = _csv_file(path)
    return gathered(_from_parquet(path) if file is None else _from_csv(file), SOURCE, LICENCE)


def _csv_file(path: Path) -> Path | None:
    if path.name in FILES and path.is_file():
        return path
    return next((path / name for name in FILES if (path / name).is_file()), None)


def _from_csv(path: Path) -> Iterator[Face]:
    votes = path.parent / "fer2013new.csv"
    rows = list(columns.rows(path, ("emotion", "pixels", "Usage")))
    counts = _ferplus_counts(votes, len(rows)) if votes.is_file() else None
    names = [_fer2013_label(row["emotion"], f"{path}, line {line}") for line, row in rows]
    splits = [_split(row["Usage"], f"{path}, line {line}") for line, row in rows]
    pictures = (_pixels(row["pixels"], f"{path}, line {line}") for line, row in rows)
    yield from _with_votes(pictures, names, splits, counts)


def _from_parquet(path: Path) -> Iterator[Face]:
    table = columns.parquet(
        path, ("image", "label_name", "usage", "pixels_from_jpeg", *(f"fp_{each}" for each in COUNTS))
    )
    counts = np.stack([table[f"fp_{name}"] for name in COUNTS], axis=1).astype(np.int64)
    counts[np.array(table["pixels_from_jpeg"], bool)] = 0  # FER+ rejected these rows: their votes are another's
    splits = [_split(usage, str(path)) for usage in table["usage"]]
    pictures = (decoded(content, f"{path}, row {row}") for row, content in enumerate(table["image"]))
    yield from _with_votes(pictures, table["label_name"], splits, counts)


def _with_votes(
    pictures: Iterable[NDArray[np.uint8]], names: Sequence[str], splits: Sequence[str], counts: NDArray[np.int64] | None
) -> Iterator[Face]:
    votes, majority = (None, None) if counts is None else from_counts(counts)
    for row, picture in enumerate(pictures):
        face = Face(picture, str(row), names[row], splits[row])
        if votes is None or majority is None:
            yield face
        else:
            yield Face(picture, str(row), names[row], splits[row], votes[row], int(majority[row]))


def _split(usage: str, where: str) -> str:
    if usage.strip() not in SPLIT_OF_USAGE:
        raise SourceError(f"{where}: Usage {usage!r}: expected {', '.join(SPLIT_OF_USAGE)}")
    return SPLIT_OF_USAGE[usage.strip()]


def _pixels(text: str, where: str) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{where}: pixels that are no numbers: expected {FER_SIDE**2} from 0 to 255") from error
    if values.size != FER_SIDE**2 or values.min() < 0 or values.max() > 255:
        raise SourceError(f"{where}: {values.size} pixel values: expected {FER_SIDE**2} from 0 to 255")
    return values.astype(np.uint8).reshape(FER_SIDE, FER_SIDE)


def _fer2013_label(text: str, where: str) -> str:
    if not (text.isdecimal() and int(text) < len(FER2013_LABELS)):
        raise SourceError(f"{where}: emotion {text!r}: expected 0 to {len(FER2013_LABELS) - 1}")
    return FER2013_LABELS[int(text)]


def _ferplus_counts(path: Path, expected: int) -> NDArray[np.int64]:
    """(n, 10) votes of ten people, in the order of COUNTS."""
    votes = [
        [columns.whole(row[name], f"{path}, line {line}", name, 10) for name in COUNTS]
        for line, row in columns.rows(path, COUNTS)
    ]
    if len(votes) != expected:
        raise SourceError(f"{path}: {len(votes)} rows: expected {expected}, one for each row of fer2013.csv")
    return np.array(votes, np.int64)


def from_counts(counts: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vote shares and strict majority by the FER+ protocol (Barsoum et al. 2016, arXiv 1608.01041).

    `counts` is (n, 10): FERPLUS_VOTES, unknown, not a face. Single votes are taken for slips and dropped. The majority
    needs more than half of what is left, votes for "unknown" and "not a face" included; a face whose top vote is one
    of these two has no usable votes.
    """
    kept = np.where(counts > 1, counts, 0)
    order = [
        FERPLUS_VOTES.index(name) for name in sorted(FERPLUS_VOTES, key=lambda name: LABELS.index(canonical(name)))
    ]
    named, top = kept[:, order], kept.max(axis=1)
    usable = (named.max(axis=1) == top) & (top > 0)
    votes = np.where(usable[:, None], named, 0) / np.maximum(named.sum(axis=1, keepdims=True), 1)
    majority = np.where(usable & (2 * named.max(axis=1) > kept.sum(axis=1)), named.argmax(axis=1), -1)
    return votes.astype(np.float32), majority

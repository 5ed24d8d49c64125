"""Labelled faces: importers of the data sets, official splits, and what of them may be trained on."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import FER2013_LABELS, LABELS, InputSpec, canonical, to_input
from edge.errors import SourceError

SPLIT_OF_USAGE = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
FERPLUS_VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The vote columns of `fer2013new.csv` that name an emotion; `unknown` and `NF` (not a face) follow them."""
FER_SIDE = 48


@dataclass(frozen=True)
class FaceSet:
    """Faces with votes; every field has one row a face.

    pixels    (n, 48, 48) uint8, grey
    votes     (n, 8) float32, share of the votes for each of LABELS; rows sum to 1, or to 0 without a usable vote
    majority  (n,) int64, index in LABELS of the label with more than half of all votes; -1 where there is none
    split     (n,) str: "train", "validation" or "test"
    copied    (n,) bool: an identical picture stands in the training split as well
    row       (n,) int64, position in the source
    source    (n,) str, name of the data set
    """

    pixels: NDArray[np.uint8]
    votes: NDArray[np.float32]
    majority: NDArray[np.int64]
    split: NDArray[np.str_]
    copied: NDArray[np.bool_]
    row: NDArray[np.int64]
    source: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.pixels)

    def where(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> "FaceSet":
        """The faces that a mask or a list of positions chooses."""
        return replace(self, **{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})

    def digests(self) -> list[str]:
        """sha256 of each face's pixels, hexadecimal."""
        return [hashlib.sha256(face.tobytes()).hexdigest() for face in self.pixels]


def read(path: Path) -> FaceSet:
    """A data set in any form that we know; SourceError says which forms there are.

    A folder with `fer2013.csv` and, beside it, `fer2013new.csv` (FER+ votes); or the Parquet form with the columns
    `image`, `label_name`, `usage` and `fp_*`.
    """
    if path.is_dir() and (path / "fer2013.csv").is_file():
        return _marked_copies(read_fer2013_csv(path / "fer2013.csv", path / "fer2013new.csv"))
    if path.suffix == ".parquet" and path.is_file():
        return _marked_copies(read_parquet(path))
    raise SourceError(
        f"{path}: no data set: expected a folder with fer2013.csv (and fer2013new.csv), or a .parquet file"
    )


def read_all(paths: Sequence[Path]) -> FaceSet:
    """Several data sets as one. Labels were mapped by name when each was read, so orders cannot collide."""
    sets = [read(path) for path in paths]
    return FaceSet(
        **{name: np.concatenate([getattr(each, name) for each in sets]) for name in FaceSet.__dataclass_fields__}
    )


def read_fer2013_csv(faces: Path, votes: Path) -> FaceSet:
    """FER2013 as published (`emotion,pixels,Usage`), with FER+ votes from the file beside it when there is one."""
    rows = _rows(faces, {"emotion", "pixels", "Usage"})
    pixels = np.stack([_pixels(row["pixels"], faces, line) for line, row in enumerate(rows, 2)])
    labels = [_fer2013_label(row["emotion"], faces, line) for line, row in enumerate(rows, 2)]
    counts = _ferplus_counts(votes, len(rows)) if votes.is_file() else None
    return _face_set(pixels, labels, counts, [row["Usage"] for row in rows], "fer2013", faces)


def _rows(path: Path, wanted: set[str]) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream, skipinitialspace=True)
        found = {name.strip() for name in reader.fieldnames or ()}
        if not wanted <= found:
            raise SourceError(f"{path}: columns {sorted(found)!r}: expected {sorted(wanted)!r} in the first line")
        return [{name.strip(): value for name, value in row.items()} for row in reader]


def _pixels(text: str, path: Path, line: int) -> NDArray[np.uint8]:
    values = np.array(text.split(), dtype=np.int64)
    if values.size != FER_SIDE**2 or values.min() < 0 or values.max() > 255:
        raise SourceError(f"{path}, line {line}: {values.size} pixel values: expected {FER_SIDE**2} from 0 to 255")
    return values.astype(np.uint8).reshape(FER_SIDE, FER_SIDE)


def _fer2013_label(text: str, path: Path, line: int) -> str:
    if not (text.isdigit() and int(text) < len(FER2013_LABELS)):
        raise SourceError(f"{path}, line {line}: emotion {text!r}: expected 0 to {len(FER2013_LABELS) - 1}")
    return FER2013_LABELS[int(text)]


def _ferplus_counts(path: Path, expected: int) -> NDArray[np.int64]:
    """(n, 10) votes of ten people, in the file's column order."""
    names = [*FERPLUS_VOTES, "unknown", "NF"]
    rows = _rows(path, set(names))
    if len(rows) != expected:
        raise SourceError(f"{path}: {len(rows)} rows: expected {expected}, one for each row of fer2013.csv")
    return np.array([[int(row[name]) for name in names] for row in rows])


def read_parquet(path: Path) -> FaceSet:
    """FER2013 with FER+ votes in one Parquet file; `image` holds encoded pictures."""
    from pyarrow import parquet

    table = parquet.read_table(path).to_pydict()
    missing = {"image", "label_name", "usage", "fp_neutral"} - set(table)
    if missing:
        raise SourceError(f"{path}: no columns {sorted(missing)!r}: expected image, label_name, usage and fp_*")
    pixels = np.stack([_decoded(content) for content in table["image"]])
    counts = np.stack([table[f"fp_{name}"] for name in (*FERPLUS_VOTES, "unknown", "NF")], axis=1).astype(np.int64)
    counts[np.array(table["pixels_from_jpeg"], bool)] = 0  # FER+ rejected these rows: their votes are another's
    return _face_set(pixels, [canonical(name) for name in table["label_name"]], counts, table["usage"], "fer2013", path)


def _decoded(content: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    # OpenCV 5 refuses a WebP of 30 bytes, which a blank face is; Pillow reads it.
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"), np.uint8)


def _face_set(
    pixels: NDArray[np.uint8],
    labels: Sequence[str],
    counts: NDArray[np.int64] | None,
    usage: Sequence[str],
    source: str,
    path: Path,
) -> FaceSet:
    unknown = sorted(set(usage) - set(SPLIT_OF_USAGE))
    if unknown:
        raise SourceError(f"{path}: Usage {unknown!r}: expected {', '.join(SPLIT_OF_USAGE)}")
    votes, majority = _one_hot(labels) if counts is None else _from_counts(counts)
    return FaceSet(
        pixels=pixels,
        votes=votes,
        majority=majority,
        split=np.array([SPLIT_OF_USAGE[each] for each in usage]),
        copied=np.zeros(len(pixels), bool),
        row=np.arange(len(pixels)),
        source=np.full(len(pixels), source),
    )


def _one_hot(labels: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    majority = np.array([LABELS.index(label) for label in labels])
    return np.eye(len(LABELS), dtype=np.float32)[majority], majority


def _from_counts(counts: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vote shares and strict majority by the FER+ protocol (Barsoum et al. 2016, arXiv 1608.01041).

    Single votes are taken for slips and dropped. The majority needs more than half of what is left, votes for
    "unknown" and "not a face" included; a face whose top vote is one of these two has no usable votes.
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


def _marked_copies(faces: FaceSet) -> FaceSet:
    """`copied` filled in: a validation or test face of which the training split holds an identical picture."""
    digests = np.array(faces.digests())
    training = faces.split == "train"
    return replace(faces, copied=~training & np.isin(digests, digests[training]))


def trainable(faces: FaceSet) -> FaceSet:
    """Training faces with usable votes that are neither blank nor a copy of a validation or test face."""
    digests = np.array(faces.digests())
    held_out = digests[faces.split != "train"]
    blank = faces.pixels.reshape(len(faces), -1).std(axis=1) < 1
    keep = (faces.split == "train") & (faces.votes.sum(axis=1) > 0) & ~blank & ~np.isin(digests, held_out)
    return faces.where(keep)


def judged(faces: FaceSet, split: str) -> FaceSet:
    """The faces of a split that have a strict majority: those that an accuracy is measured on."""
    return faces.where((faces.split == split) & (faces.majority >= 0))


def inputs(faces: FaceSet, spec: InputSpec) -> NDArray[np.float32]:
    """The faces as a network with this `spec` wants them, (n, side, side, channels)."""
    return np.stack([to_input(face, spec) for face in faces.pixels])


def manifest_sha256(digests: Sequence[str]) -> str:
    """One hash for a set of training faces, whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def refuse_trained(faces: FaceSet, manifest: Path) -> None:
    """SourceError if any of `faces` stands in the manifest of faces that a model was trained on."""
    known = set(manifest.read_text().split())
    seen = sum(digest in known for digest in faces.digests())
    if seen:
        raise SourceError(
            f"{manifest}: {seen} of {len(faces)} faces to evaluate on were trained on: "
            "expected none; choose another split or data set"
        )

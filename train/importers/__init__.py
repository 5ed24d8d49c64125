"""Data sets as they are published, each format in a file of its own; `read` knows which one a path is."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from edge.errors import SourceError
from train import manifest
from train.data import FaceSet, joined, marked_copies
from train.importers import affectnet, ck48, ckplus, fer2013, fer2013_folders, folders, muxspace, paths_csv, rafdb
from train.splits import assigned

FORMATS: tuple[ModuleType, ...] = (fer2013, fer2013_folders, ckplus, ck48, muxspace, rafdb, affectnet, paths_csv)
"""Each has FORM, one line that says what it reads; `matches(path)`; and `read(path)`, a FaceSet or SourceError.
A path that several match is refused, so their order means nothing; `folders` reads what none of them does."""


def read(path: Path) -> FaceSet:
    """A data set in any form that we know, or a manifest; SourceError says which forms there are."""
    if manifest.matches(path):
        return manifest.read(path, read)
    found = [each for each in FORMATS if each.matches(path)]
    if len(found) > 1:
        forms = " and as ".join(each.FORM for each in found)
        raise SourceError(f"{path}: can be read as {forms}: expected one data set; give the folder of one of them")
    if not found and folders.matches(path):
        found = [folders]
    if not found:
        raise SourceError(f"{path}: {_what(path)}: expected {'; '.join(_forms())}")
    faces: FaceSet = found[0].read(path)
    return faces


def read_all(paths: Sequence[Path], seed: int = 0) -> FaceSet:
    """Several data sets as one, each face in a split: its own or one drawn by `seed`; a manifest's stay as they are."""
    return marked_copies(joined([with_splits(path, seed) for path in paths]))


def with_splits(path: Path, seed: int = 0) -> FaceSet:
    """One data set, each face in a split."""
    faces = read(path)
    return faces if manifest.matches(path) else assigned(faces, seed)


def _forms() -> list[str]:
    return [each.FORM for each in (*FORMATS, folders, manifest)]


def _what(path: Path) -> str:
    return "no data set" if path.exists() else "nothing there"

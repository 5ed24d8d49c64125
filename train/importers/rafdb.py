"""RAF-DB, its basic part: seven emotions by number in one list, aligned faces in one folder."""

from collections.abc import Iterator
from pathlib import Path

from edge.errors import SourceError
from train.data import Face, FaceSet, gathered
from train.importers.pictures import opened

FORM = "RAF-DB basic: EmoLabel/list_patition_label.txt and Image/aligned/train_00001_aligned.jpg"
SOURCE = "raf-db"
LICENCE = "RAF-DB: research only, by agreement with its authors"
LISTS = ("EmoLabel/list_patition_label.txt", "basic/EmoLabel/list_patition_label.txt")
NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""The emotions by RAF-DB's numbers, which begin at 1."""
SPLITS = ("train", "test")


def matches(path: Path) -> bool:
    """A folder with the list, perhaps in a folder `basic`."""
    return any((path / each).is_file() for each in LISTS)


def read(path: Path) -> FaceSet:
    """All listed faces with their official split; there is no validation split. SourceError for a damaged list."""
    return gathered(_faces(path), SOURCE, LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    listed = next(path / each for each in LISTS if (path / each).is_file())
    root = listed.parents[1]
    for number, line in enumerate(listed.read_text(errors="replace").splitlines(), 1):
        if line.strip():
            name, emotion, split = _entry(line, f"{listed}, line {number}")
            file = root / "Image" / "aligned" / f"{Path(name).stem}_aligned.jpg"
            yield Face(opened(file), file.relative_to(path).as_posix(), emotion, split)


def _entry(line: str, where: str) -> tuple[str, str, str]:
    """(file name, emotion, split) of a line such as `train_00001.jpg 5`."""
    words = line.split()
    split = words[0].partition("_")[0]
    codes = [str(code) for code in range(1, len(NAMES) + 1)]
    if len(words) != 2 or words[1] not in codes or split not in SPLITS:
        raise SourceError(f"{where}: {line.strip()!r}: expected a name train_... or test_... and a number from 1 to 7")
    return words[0], NAMES[int(words[1]) - 1], split

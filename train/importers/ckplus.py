"""CK+ as published: film sequences from a neutral face to the peak of an expression, labels in a tree beside."""

import sys
from collections.abc import Iterator
from pathlib import Path

from edge.errors import SourceError
from train import columns
from train.data import Face, FaceSet, gathered
from train.importers.pictures import folders, in_folder, opened

FORM = "CK+: cohn-kanade-images/S005/001/*.png with Emotion/S005/001/*_emotion.txt"
SOURCE = "ck+"
LICENCE = "CK+: research only, by agreement with the University of Pittsburgh"
NAMES = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
"""The emotions by CK+'s own numbers, which are not those of FER2013."""
IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
LABELS = ("Emotion", "Emotion_labels/Emotion")
"""Where the two trees lie; the longer paths are what unpacking the published archives gives."""
PEAK_FRAMES = 3


def matches(path: Path) -> bool:
    """A folder with the tree of images."""
    return _tree(path, IMAGES) is not None


def read(path: Path) -> FaceSet:
    """Of each labelled sequence the first frame as neutral, the last three as its emotion; no official splits.

    The pictures are whole frames of 640 x 490 pixels: `train faces` cuts the faces out. Sequences without a label
    (266 of 593 in the original) are counted on stderr. SourceError for a damaged label.
    """
    return gathered(_faces(path), SOURCE, LICENCE)


def _faces(path: Path) -> Iterator[Face]:
    images, labels = _tree(path, IMAGES), _tree(path, LABELS)
    if images is None or labels is None:
        raise SourceError(f"{path}: no folder {LABELS[0]} there: expected it beside {IMAGES[0]}")
    unlabelled = 0
    for sequence in (sequence for person in folders(images) for sequence in folders(person)):
        emotion = _emotion(labels / sequence.relative_to(images))
        unlabelled += emotion is None
        if emotion is not None:
            yield from _frames(path, sequence, emotion)
    if unlabelled:
        print(f"{path}: {unlabelled} sequences have no emotion file: left out", file=sys.stderr)


def _frames(path: Path, sequence: Path, emotion: str) -> Iterator[Face]:
    frames = in_folder(sequence)
    for frame in frames[:1]:
        yield _face(path, frame, "neutral")
    for frame in frames[1:][-PEAK_FRAMES:]:
        yield _face(path, frame, emotion)


def _face(path: Path, frame: Path, emotion: str) -> Face:
    """A frame; its grandparent's name, S005, says who is seen."""
    return Face(opened(frame), frame.relative_to(path).as_posix(), emotion, subject=frame.parents[1].name)


def _emotion(folder: Path) -> str | None:
    """The emotion in a sequence's only label file, one number such as `3.0000000e+00`; None without a file."""
    for file in sorted(folder.glob("*_emotion.txt")):
        text = file.read_text(errors="replace").strip()
        return NAMES[columns.whole(text, str(file), "emotion", len(NAMES) - 1)]
    return None


def _tree(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / each for each in names if (path / each).is_dir()), None)

"""Photos read one by one: a table for people, JSON lines or CSV for programs."""

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.classifier import open_classifier
from edge.contract import grouped, likeliest
from edge.errors import SourceError
from edge.faces import face_finder
from edge.perceive import Reader
from edge.scene import Frame, Reading
from edge.sources.folder import pictures_in, read_picture


def print_photos(files: Sequence[Path], settings: config.Settings, form: str) -> int:
    """Print each face's reading as "table", "json" or "csv"; 2 if any of the files could not be read."""
    classifier = open_classifier(settings.model)
    reader = Reader(classifier, settings.limits, settings.model.abstain)
    failed = False
    with closing(face_finder(_thorough(settings.faces))) as finder:
        write = _CsvRows(reader.labels) if form == "csv" else {"table": _table, "json": _json}[form]
        for number, (path, pixels) in enumerate(_pictures(files)):
            if pixels is None:
                failed = True
                continue
            now = time.monotonic()
            frame = Frame(pixels, captured_at=now, moment=now, number=number, name=str(path))
            faces = [face for face in finder.find(frame) if face.is_sure or finder.is_face(frame, face)]
            write(path, [reader.read(pixels, face, count) for count, face in enumerate(faces, 1)])
    return 2 if failed else 0


def _thorough(faces: config.Faces) -> config.Faces:
    """A single photo has no next frame in which to look farther."""
    return replace(faces, range="full") if faces.range == "auto" else faces


def _pictures(files: Iterable[Path]) -> Iterator[tuple[Path, NDArray[np.uint8] | None]]:
    """Each file's picture, and in place of a folder those in it by name; None, after saying why, for what is none."""
    for path in files:
        try:
            if path.is_dir():
                yield from _pictures(pictures_in(path))
            else:
                yield path, read_picture(path)
        except SourceError as error:
            print(f"emotion-edge: {error}", file=sys.stderr)
            yield path, None


def _table(path: Path, readings: Sequence[Reading]) -> None:
    for each in readings:
        why = f" ({each.reason})" if each.reason else ""
        best = ", ".join(f"{label} {score:.0%}" for label, score in likeliest(each.scores))
        box = each.face.box
        print(f"{path}\tface {each.track}\t{box.width:.0f} px\t{each.label}{why}\t{best}")
    if not readings:
        print(f"{path}\tno face")


def _json(path: Path, readings: Sequence[Reading]) -> None:
    print(json.dumps({"image_path": str(path), "faces": [_as_object(each) for each in readings]}))


def _as_object(reading: Reading) -> dict[str, object]:
    box = reading.face.box
    return {
        "emotion": reading.label,
        "group": reading.group,
        "confidence": round(reading.confidence, 4),
        "reason": reading.reason,
        "scores": _rounded(reading.scores),
        "groups": _rounded(grouped(reading.scores)) if reading.scores else {},
        "box_px": [round(each, 1) for each in (box.left, box.top, box.right, box.bottom)],
    }


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {label: round(score, 4) for label, score in scores.items()}


class _CsvRows:
    """One row a face under a heading; a photo without a face has a row with no emotion."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels, self._writer = labels, csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(("image_path", "emotion", "confidence", "reason", *labels))

    def __call__(self, path: Path, readings: Sequence[Reading]) -> None:
        for each in readings:
            scores = [f"{each.scores[label]:.4f}" if each.scores else "" for label in self._labels]
            self._writer.writerow((path, each.label, f"{each.confidence:.4f}", each.reason, *scores))
        if not readings:
            self._writer.writerow((path, "", "", "no face", *[""] * len(self._labels)))

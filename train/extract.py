"""Faces cut out of photos, upright and aligned as the device aligns them, in the same folders."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge import config
from edge.contract import InputSpec, crop
from edge.errors import OutputError, SettingsError, SourceError
from edge.faces import FaceFinder, face_finder
from edge.perceive import corners
from edge.scene import Face, Frame
from edge.sources.folder import PICTURE_SUFFIXES, read_picture

REPORT = "faces.csv"
"""The report's name, in the folder of the faces."""

PHOTO_SUFFIXES = PICTURE_SUFFIXES | {".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"}
"""Files that are photos; those of a kind that we do not read are reported as unreadable."""

FACES_LIMIT = 100
"""So many faces of a photo are looked at, the largest."""


@dataclass(frozen=True)
class Extraction:
    """How faces are cut; SettingsError for what cannot be.

    which        a photo's "largest" face; "all" its faces; or the "only" one: a photo of several is left out
    min_face_px  width of the detector's box, pixels of the photo; a smaller face is reported, not written
    side         width and height of the pictures that are written
    range        the detector's network: "short" for faces within about 2 m, "full" for a room
    min_score    a face below this detector score, 0 to 1, is none
    """

    which: Literal["largest", "all", "only"] = "largest"
    min_face_px: float = 40.0
    side: int = 96
    range: Literal["short", "full"] = "short"
    min_score: float = 0.5

    def __post_init__(self) -> None:
        if self.which not in ("largest", "all", "only"):
            raise SettingsError(f"faces to cut out {self.which!r}: expected 'largest', 'all' or 'only'")
        if not 0 <= self.min_face_px <= 4000:
            raise SettingsError(f"smallest face {self.min_face_px!r} pixels: expected 0 to 4000")
        if not 16 <= self.side <= 512:
            raise SettingsError(f"side {self.side!r}: expected 16 to 512 pixels")

    def finder(self) -> FaceFinder:
        """The device's detector."""
        return face_finder(config.Faces(range=self.range, min_score=self.min_score, max_faces=FACES_LIMIT))


class Row(NamedTuple):
    """A line of the report: one for each face, and one for a photo without any.

    photo    below the source folder
    outcome  "written", "too small", "several faces" (not written because there are others), "no face", "unreadable"
    faces    how many the photo has
    face     which it is, the largest is 1; 0 for none
    face_px  width of the detector's box, pixels of the photo
    score    of the detector, 0 to 1
    file     what was written, below the folder of the faces
    detail   why a photo is unreadable
    """

    photo: str
    outcome: str
    faces: int = 0
    face: int = 0
    face_px: int = 0
    score: float = 0.0
    file: str = ""
    detail: str = ""


def extract(source: Path, out: Path, how: Extraction | None = None) -> Counter[str]:
    """Write the faces of all photos below `source` to `out`, in the same folders, and a report; outcomes, counted.

    SourceError for a folder without photos, OutputError if there is something in `out`: nothing is overwritten.
    """
    how = how or Extraction()
    photos = photos_below(source)
    _begin(out)
    counts: Counter[str] = Counter()
    with closing(how.finder()) as finder, (out / REPORT).open("w", newline="", encoding="utf-8") as stream:
        report = csv.writer(stream, lineterminator="\n")
        report.writerow(Row._fields)
        for photo in tqdm(photos, "photos"):
            for row in _rows(source, photo, out, finder, how):
                report.writerow(row)
                counts[row.outcome] += 1
    return counts


def photos_below(folder: Path) -> list[Path]:
    """Photos at any depth, by path below the folder; hidden files are none. SourceError if there is none."""
    if not folder.is_dir():
        raise SourceError(f"{folder}: no folder: expected one with photos, or with folders of photos")
    found = sorted(each.relative_to(folder) for each in folder.rglob("*") if each.suffix.lower() in PHOTO_SUFFIXES)
    found = [each for each in found if not any(part.startswith(".") for part in each.parts)]
    if not found:
        raise SourceError(
            f"{folder}: no photos in it: expected files that end in {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    return found


def detected(finder: FaceFinder, picture: NDArray[np.uint8]) -> tuple[Face, ...]:
    """The faces in a still RGB picture, the largest first."""
    return finder.find(Frame(picture, captured_at=0.0, moment=0.0, number=0))


def _begin(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = any(out.iterdir())
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}: choose another --out folder") from error
    if held:
        raise OutputError(f"{out}: not empty: nothing is overwritten; choose a new --out folder")


def _rows(source: Path, photo: Path, out: Path, finder: FaceFinder, how: Extraction) -> Iterator[Row]:
    try:
        picture = read_picture(source / photo)
    except SourceError as error:
        yield Row(photo.as_posix(), "unreadable", detail=str(error))
        return
    faces = detected(finder, picture)
    if not faces:
        yield Row(photo.as_posix(), "no face")
    for number, face in enumerate(faces, 1):
        outcome, file = _outcome(face, number, len(faces), how), ""
        if outcome == "written":
            file = _write(picture, face, out, photo.with_name(f"{photo.name}-{number}.png"), how)
        width, score = round(face.box.width), round(face.score, 3)
        yield Row(photo.as_posix(), outcome, len(faces), number, width, score, file)


def _outcome(face: Face, number: int, faces: int, how: Extraction) -> str:
    if (how.which == "only" and faces > 1) or (how.which == "largest" and number > 1):
        return "several faces"
    return "written" if face.box.width >= how.min_face_px else "too small"


def _write(picture: NDArray[np.uint8], face: Face, out: Path, file: Path, how: Extraction) -> str:
    spec = InputSpec(side=how.side, channels=3)
    cut = crop(picture, spec, corners(face, spec))
    coded = cv2.imencode(".png", cv2.cvtColor(cut, cv2.COLOR_RGB2BGR))[1]
    try:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        with (out / file).open("xb") as stream:
            stream.write(coded.tobytes())
    except OSError as error:
        raise OutputError(f"{out / file}: cannot be written: {error.strerror}") from error
    return file.as_posix()

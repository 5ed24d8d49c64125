"""ImageFolder: pictures from files, upright and RGB; a damaged one is passed over."""

import logging
import time
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.scene import Frame
from edge.sources.video import quiet_opencv

log = logging.getLogger("emotion_edge")

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

PIXELS_LIMIT = 100_000_000
"""A larger picture is refused before it is decoded: it would take 300 MB and more."""

BYTES_LIMIT = 400_000_000
"""A file beyond this is no picture within PIXELS_LIMIT."""

EXPECTED = "expected a JPEG, PNG, WebP or BMP"

PNG = b"\x89PNG\r\n\x1a\n"

SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG segments that tell the size: ITU-T T.81, table B.1."""

SEGMENTS_LIMIT = 10_000
"""So many are looked at for it; a photo has some dozens."""


class ImageFolder:
    """The pictures in a folder, by name, or one picture file; each is one frame, all are read.

    fps  their pace on the source's own clock, as if they were a film's frames
    A picture that cannot be read is logged, passed over, and counted in `skipped`; SourceError if there is none at all.
    """

    live = False

    def __init__(self, path: Path, fps: float = 30.0) -> None:
        self.name, self.skipped = path.name, 0
        self._fps = fps
        self._files = pictures_in(path) if path.is_dir() else [path]
        if not path.is_dir():
            read_picture(path)
        self.length = len(self._files)

    def __iter__(self) -> Generator[Frame, None, None]:
        number, self.skipped = 0, 0
        for path in self._files:
            began = time.monotonic()
            try:
                pixels = read_picture(path)
            except SourceError as error:
                self.skipped += 1
                log.warning("skipped %s", error)
                continue
            took_ms = (time.monotonic() - began) * 1000
            yield Frame(pixels, began, number / self._fps, number, took_ms, str(path))
            number += 1
        if not number:
            raise SourceError(f"{self._files[0].parent}: none of {self.length} pictures can be read: {EXPECTED}")


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder, sorted by name; SourceError if there is none."""
    try:
        found = sorted(each for each in folder.iterdir() if each.suffix.lower() in PICTURE_SUFFIXES and each.is_file())
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read: {error.strerror}") from error
    if not found:
        raise SourceError(f"{folder}: a folder without pictures: expected {', '.join(sorted(PICTURE_SUFFIXES))}")
    return found


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file as (height, width, 3) RGB, turned upright by its EXIF orientation; SourceError if it is none."""
    quiet_opencv()
    content = _read(path)
    if not content:
        raise SourceError(f"{path}: an empty file: {EXPECTED}")
    width, height = size_of(content)
    if not width or not height:
        raise SourceError(f"{path}: {len(content)} bytes that are no picture: {EXPECTED}")
    if width * height > PIXELS_LIMIT:
        raise SourceError(f"{path}: {width}x{height} pixels: expected at most {PIXELS_LIMIT}; make it smaller")
    cut = content.startswith(PNG) and b"IEND" not in content  # libpng would say so on standard error
    pixels = None if cut else cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise SourceError(f"{path}: a damaged or truncated picture of {width}x{height}: copy it again")
    return np.asarray(pixels, np.uint8)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_file() and size <= BYTES_LIMIT:
            return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}: {EXPECTED}") from error
    raise SourceError(f"{path}: {size} bytes, or no plain file: {EXPECTED} of at most {BYTES_LIMIT} bytes")


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height that a picture's header tells, pixels, before any turning; zeros if it is no such picture."""
    if content.startswith(PNG):
        return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    if content.startswith(b"BM"):
        return abs(_little(content, 18, 4)), abs(_little(content, 22, 4))
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp_size(content)
    return _jpeg_size(content) if content.startswith(b"\xff\xd8") else (0, 0)


def _little(content: bytes, at: int, size: int) -> int:
    return int.from_bytes(content[at : at + size], "little", signed=size == 4)


def _webp_size(content: bytes) -> tuple[int, int]:
    """RFC 9649, section 2: extended, lossless, or lossy."""
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + _little(content, 24, 3), 1 + _little(content, 27, 3)
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return (_little(content, 26, 2) & 0x3FFF, _little(content, 28, 2) & 0x3FFF) if kind == b"VP8 " else (0, 0)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(SEGMENTS_LIMIT):
        marker, length = content[at : at + 2], int.from_bytes(content[at + 2 : at + 4])
        if len(marker) < 2 or marker[0] != 0xFF:
            break
        if marker[1] in SOF:
            return int.from_bytes(content[at + 7 : at + 9]), int.from_bytes(content[at + 5 : at + 7])
        at += 1 if marker[1] == 0xFF else 2 + length  # a marker may be preceded by fill bytes
    return 0, 0

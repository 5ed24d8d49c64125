"""Picture files as data sets have them: found in folders, read, decoded."""

import io
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
WEBP_HEADER_BYTES = 32
"""OpenCV 5 refuses a WebP file that is smaller, which a blank face of 30 bytes is; Pillow reads it."""


def opened(path: Path) -> NDArray[np.uint8]:
    """The picture in a file; SourceError, naming it, if it is gone or cannot be decoded."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: no such picture ({error.strerror}): expected what the data set lists") from error
    return decoded(content, str(path))


def decoded(content: bytes, where: str) -> NDArray[np.uint8]:
    """A picture from an encoded one: (height, width) if it is grey, however it is stored, else (height, width, 3) RGB.

    SourceError, naming `where`, if it cannot be decoded.
    """
    picture = _by_opencv(content)
    if picture is None:
        picture = _by_pillow(content, where)
    red, green, blue = cv2.split(picture)
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else picture


def in_folder(folder: Path) -> list[Path]:
    """The picture files that lie directly in a folder, in order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def folders(path: Path) -> list[Path]:
    """The folders in a folder, in order of their names; hidden ones aside."""
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))


def all_named(paths: list[Path], pattern: re.Pattern[str]) -> bool:
    """Are there paths, and has each a file name that matches as a whole?"""
    return bool(paths) and all(pattern.fullmatch(path.name) for path in paths)


def _by_opencv(content: bytes) -> NDArray[np.uint8] | None:
    if len(content) < WEBP_HEADER_BYTES:
        return None
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if picture is None else np.asarray(picture, np.uint8)


def _by_pillow(content: bytes, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(
            f"{where}: {len(content)} bytes are no picture ({reason}): expected PNG, JPEG, BMP or WebP; "
            "put a whole file there or take it out of the data set"
        ) from error

"""Files that are there whole or, after a kill or a power cut, as they were before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A hidden path beside `path`, of its suffix, to write to: it becomes `path` when the block ends well.

    When it does not, nothing is left of it. OSError where the folder is not there or cannot be written.
    """
    aside = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        yield aside
        _flush(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """To the disk, or else the name may get there before the content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())

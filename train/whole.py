"""Files that are there whole or, after a kill, as they were before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A hidden path beside `path`, of its suffix, to write to: it becomes `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.tmp{path.suffix}")
    yield aside
    os.replace(aside, path)

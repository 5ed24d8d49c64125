"""What an audit found, as a CSV file that people may edit and `fit` leaves faces out by."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import SourceError
from train.data import FaceSet

COLUMNS = ("key", "source", "split", "sha256", "finding", "detail", "exclude")


@dataclass(frozen=True)
class Finding:
    """One thing about one face.

    row      of the FaceSet
    kind     what was found
    detail   for people
    weight   how bad, for the order on the page
    exclude  is the face better left out of training? Only ever suggested of training faces
    """

    row: int
    kind: str
    detail: str
    weight: float = 0.0
    exclude: bool = False


def write(findings: Iterable[Finding], faces: FaceSet, path: Path) -> None:
    """One line for each finding."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(COLUMNS)
        for each in findings:
            place = (str(column[each.row]) for column in (faces.key, faces.source, faces.split, faces.sha256))
            lines.writerow((*place, each.kind, each.detail, int(each.exclude)))


def excluded(path: Path) -> set[str]:
    """The sha256 of the faces that a line of the file excludes (1); SourceError, naming the line, for another file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.DictReader(stream)
            missing = {"sha256", "exclude"} - set(lines.fieldnames or ())
            if missing:
                raise SourceError(
                    f"{path}, line 1: no column {' and '.join(sorted(missing))}, separated by commas: "
                    f"expected the file of `train audit`, {','.join(COLUMNS)}"
                )
            return {digest for digest, out in (_read(line, path, lines.line_num) for line in lines) if out}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}: cannot be read ({error}): expected the CSV file of `train audit`") from error


def _read(line: dict[str, str], path: Path, number: int) -> tuple[str, bool]:
    digest, exclude = (line["sha256"] or "").strip().lower(), (line["exclude"] or "").strip()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise SourceError(f"{path}, line {number}: sha256 {digest!r}: expected 64 hexadecimal digits")
    if exclude not in ("0", "1"):
        raise SourceError(f"{path}, line {number}: exclude {exclude!r}: expected 0 or 1")
    return digest, exclude == "1"

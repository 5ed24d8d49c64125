"""The CSV and Parquet files of data sets, with errors that name the file and the line."""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from edge.errors import SourceError


def names(path: Path) -> set[str]:
    """The names of the columns of a CSV file, or of a Parquet file; none if the file is neither."""
    if not path.is_file():
        return set()
    try:
        return _parquet_names(path) if path.suffix == ".parquet" else {each.strip() for each in _first(path)}
    except SourceError:
        return set()


def rows(path: Path, wanted: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file whose first line names the columns; spaces around the names are dropped.

    SourceError if a column of `wanted` is missing, or a row is shorter than that.
    """
    body = lines(path)
    _, first = next(body, (1, []))
    found = [name.strip() for name in first]
    if not set(wanted) <= set(found):
        raise SourceError(f"{path}: columns {found!r}: expected {sorted(wanted)!r} in the first line")
    for line, cells in body:
        row = dict(zip(found, cells, strict=False))
        if not set(wanted) <= set(row):
            raise SourceError(f"{path}, line {line}: {len(cells)} values: expected {len(found)}, {', '.join(found)}")
        yield line, row


def lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line of a CSV file that is not empty; SourceError if it is no text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, skipinitialspace=True)
            yield from ((reader.line_num, cells) for cells in reader if cells)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise SourceError(f"{path}: not readable as CSV ({one_line(error)}): expected UTF-8 text") from error


def number(text: str, where: str, name: str, low: float, high: float) -> float:
    """A number in a CSV cell; SourceError if it is none, or not from `low` to `high`."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise SourceError(f"{where}: {name} {text!r}: expected a number from {low:g} to {high:g}")
    return value


def whole(text: str, where: str, name: str, high: int) -> int:
    """A whole number from 0 in a CSV cell, perhaps written as 3.0; SourceError if it is none, or above `high`."""
    value = number(text, where, name, 0, high)
    if not value.is_integer():
        raise SourceError(f"{where}: {name} {text!r}: expected a whole number from 0 to {high}")
    return int(value)


def parquet(path: Path, wanted: Collection[str]) -> dict[str, list[Any]]:
    """The columns of a Parquet file; SourceError if it is damaged or one of `wanted` is missing."""
    from pyarrow import ArrowException
    from pyarrow import parquet as files

    missing = set(wanted) - _parquet_names(path)
    if missing:
        raise SourceError(f"{path}: no columns {sorted(missing)!r}: expected {', '.join(sorted(wanted))}")
    try:
        read: dict[str, list[Any]] = files.read_table(path).to_pydict()
    except (ArrowException, OSError) as error:
        raise SourceError(f"{path}: damaged Parquet file ({one_line(error)}): expected a whole one") from error
    return read


def _parquet_names(path: Path) -> set[str]:
    from pyarrow import ArrowException
    from pyarrow import parquet as files

    try:
        return set(files.read_schema(path).names)
    except (ArrowException, OSError) as error:
        raise SourceError(f"{path}: no Parquet file ({one_line(error)}): expected one") from error


def _first(path: Path) -> list[str]:
    return next(lines(path), (1, []))[1]


def one_line(error: BaseException) -> str:
    """What it says, without line ends, 200 characters at most."""
    return " ".join(str(error).split())[:200]

"""Events as a table, in a file for other programs."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from edge.errors import OutputError, SettingsError
from edge.listing import FORMATS, Event
from edge.whole import whole

TYPE_OF = {
    "seq": "int64",
    "ts": "timestamp",
    "clock_synced": "bool_",
    "boot": "string",
    "mono_ns": "int64",
    "device": "string",
    "type": "string",
    "track": "int64",
    "label": "string",
    "group": "string",
    "confidence": "float64",
    "uncertain": "bool_",
    "top": "string",
    "valence": "float64",
    "arousal": "float64",
    "x": "float64",
    "y": "float64",
    "width": "float64",
    "height": "float64",
    "face_px": "int64",
    "dwell_ms": "int64",
    "age_ms": "float64",
    "model": "string",
    "camera": "string",
    "reason": "string",
}
"""The columns, with pyarrow's names of types: what edge.record.Recorder describes, `box` and the age of latency_ms in
columns of their own, `top` as JSON."""

ROWS = 5000
"""So many are one group of a Parquet file."""


def export_events(events: Iterable[Event], path: Path, form: str | None, store: Path) -> int:
    """Write a file as "csv", "jsonl" or "parquet", or as its name says; how many events. `store` is not overwritten."""
    form = form or path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise SettingsError(f"{path}: which format? expected --format, one of {', '.join(FORMATS)}")
    write: Callable[[Iterable[Event], Path], int] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form]
    with output(path, store) as aside:
        return write(events, aside)


@contextmanager
def output(path: Path, store: Path) -> Iterator[Path]:
    """A path to write to: it becomes `path` when the block ends well. OutputError if that cannot be."""
    if path.exists() and (not path.is_file() or path.samefile(store)):
        raise OutputError(f"{path}: is {'the record itself' if path.is_file() else 'no file'}: choose another --out")
    try:
        with whole(path) as aside:
            yield aside
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; expected a folder that exists and has room"
        ) from error


def _jsonl(events: Iterable[Event], path: Path) -> int:
    count = 0
    with path.open("w") as file:
        for event in events:
            file.write(json.dumps(event, separators=(",", ":")) + "\n")
            count += 1
    return count


def _csv(events: Iterable[Event], path: Path) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, TYPE_OF, lineterminator="\n")
        writer.writeheader()
        for event in events:
            writer.writerow(row_of(event))
            count += 1
    return count


def _parquet(events: Iterable[Event], path: Path) -> int:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise OutputError(
            'Parquet needs pyarrow: pip install "emotion-edge[export]", or choose --format csv or jsonl'
        ) from error
    when = pyarrow.timestamp("ms", tz="UTC")
    kinds = {name: when if kind == "timestamp" else getattr(pyarrow, kind)() for name, kind in TYPE_OF.items()}
    schema = pyarrow.schema(kinds)
    rows, count = map(row_of, events), 0
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, ROWS)):
            typed = [row | {"ts": datetime.fromisoformat(row["ts"])} for row in batch]
            writer.write_table(pyarrow.Table.from_pylist(typed, schema=schema))
            count += len(batch)
    return count


def row_of(event: Event) -> dict[str, Any]:
    """The event's columns; none where it has no such field."""
    x, y, width, height = event.get("box") or (None,) * 4
    flat = {"x": x, "y": y, "width": width, "height": height, "age_ms": event.get("latency_ms", {}).get("age")}
    if "top" in event:
        flat["top"] = json.dumps(event["top"], separators=(",", ":"))
    return {name: flat[name] if name in flat else event.get(name) for name in TYPE_OF}

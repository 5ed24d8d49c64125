"""Events of the record, chosen and shown: what `emotion-edge events` does."""

import argparse
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import config
from edge.errors import SettingsError

if TYPE_CHECKING:  # the command line must start quickly
    from edge.archive import Archive, Stored

Event = dict[str, Any]
"""A record, as edge.record.Recorder describes it."""

TYPES = ("start", "change", "end", "camera_lost", "camera_back")
FORMATS = ("csv", "jsonl", "parquet")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

LOOK_SECONDS = 0.5
"""How often `tail --follow` looks for more."""

HEADING = f"{'seq':>8}  {'time (~: clock not synchronized)':<33}  {'event':<11}  {'track':>5}  what"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted.

    since, until   wall time, seconds since 1970
    types, labels  any of these; empty: all
    limit          the newest so many of them; none: all
    """

    since: float = -float("inf")
    until: float = float("inf")
    types: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    limit: int | None = None

    def __contains__(self, event: Event) -> bool:
        if not self.since <= seconds_of(event) <= self.until:
            return False
        if self.types and event.get("type") not in self.types:
            return False
        return not self.labels or event.get("label") in self.labels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can follow `emotion-edge events`."""
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    listed = _kind(kinds, "list", "print events, the oldest first")
    _add_choice(listed)
    listed.add_argument("--limit", type=int, metavar="N", help="the newest N of them")
    tail = _kind(kinds, "tail", "print the newest events")
    tail.add_argument("-n", type=int, default=10, metavar="N", dest="limit", help="so many, 10 by default")
    tail.add_argument("--follow", action="store_true", help="and those to come, until Ctrl-C")
    for each in (listed, tail):
        each.add_argument("--json", action="store_true", help="as JSON lines")
    export = _kind(kinds, "export", "write events to a file, whole or not at all")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to make")
    export.add_argument("--format", choices=FORMATS, help="default: what the file's name ends in")
    _add_choice(export)
    plot = _kind(kinds, "plot", "draw which labels were seen when, and how long each")
    plot.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the picture to make")
    _add_choice(plot)


def show_events(given: argparse.Namespace) -> int:
    """Do what was asked; 0. SettingsError, SourceError or OutputError for what the user can mend."""
    from edge.archive import Archive

    selection = selection_of(given, time.time())
    with closing(Archive(store_of(given))) as archive:
        if given.what == "export":
            from edge.export import export_events

            count = export_events(chosen(archive, selection), given.out, given.format, store_of(given))
            print(f"{given.out}: {count} events")
        elif given.what == "plot":
            from edge.timeline import plot_events

            plot_events(chosen(archive, selection), given.out, store_of(given))
        else:
            _print(archive, selection, as_json=given.json, follow=getattr(given, "follow", False))
    return 0


def store_of(given: argparse.Namespace) -> Path:
    """The record's file: as said, by the settings, or where systemd keeps the daemon's state."""
    settings = config.read(given.config) if given.config else config.Settings()
    if path := given.store or settings.store.path:
        return Path(path)
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "events.db"
    raise SettingsError("which record of events? expected --store FILE, or --config FILE with path under [store]")


def selection_of(given: argparse.Namespace, now: float) -> Selection:
    """What was asked for; `now` is wall time, seconds."""
    limit = getattr(given, "limit", None)
    if limit is not None and limit < 1:
        raise SettingsError(f"{limit} events: expected 1 or more")
    said = {each: getattr(given, each, None) for each in ("since", "until", "type", "label")}
    return Selection(
        since=_moment("--since", said["since"], now) if said["since"] else -float("inf"),
        until=_moment("--until", said["until"], now) if said["until"] else float("inf"),
        types=tuple(said["type"] or ()),
        labels=tuple(said["label"] or ()),
        limit=limit,
    )


def chosen(archive: "Archive", selection: Selection) -> Iterator[Event]:
    """The events that were selected, the oldest first, in the order of their numbers."""
    if selection.limit is None:
        yield from (event for event in map(event_of, archive.all_after()) if event in selection)
    else:
        newest = (event for event in map(event_of, archive.all_before()) if event in selection)
        yield from reversed(list(islice(newest, selection.limit)))


def event_of(stored: "Stored") -> Event:
    event: Event = json.loads(stored.line)
    return event


def seconds_of(event: Event) -> float:
    """When it was, seconds since 1970."""
    return datetime.fromisoformat(event["ts"]).timestamp()


def _kind(kinds: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--store", type=Path, metavar="FILE", help="the record of events")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML) that name it")
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    times = "a time (2026-11-21T10:15, local unless it says otherwise) or so long ago (90s 15m 2h 7d 4w)"
    parser.add_argument("--since", metavar="T", help=f"from then on: {times}")
    parser.add_argument("--until", metavar="T", help="up to then")
    parser.add_argument("--type", action="append", choices=TYPES, help="of this type; may be repeated")
    parser.add_argument("--label", action="append", metavar="L", help="with this label; may be repeated")


def _moment(flag: str, text: str, now: float) -> float:
    """Seconds since 1970."""
    try:
        if span := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text):
            return now - timedelta(**{UNITS[span[2]]: float(span[1])}).total_seconds()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(
            f"{flag} {text!r}: expected a time such as 2026-11-21T10:15, or a span such as 90s, 15m, 2h, 7d, 4w"
        ) from error


def _print(archive: "Archive", selection: Selection, as_json: bool, follow: bool) -> None:
    seen = archive.last_seq
    if not as_json:
        print(HEADING)
    _print_all(chosen(archive, selection), as_json)
    while follow:
        for stored in archive.all_after(seen):
            seen = stored.seq
            _print_all([event_of(stored)], as_json)
        time.sleep(LOOK_SECONDS)


def _print_all(events: Iterable[Event], as_json: bool) -> None:
    for event in events:
        print(json.dumps(event, separators=(",", ":")) if as_json else _row(event))


def _row(event: Event) -> str:
    when = event["ts"] + ("" if event.get("clock_synced") else "~")
    what = _of_face(event) if "label" in event else f"{event.get('camera', '')} {event.get('reason', '')}"
    text = f"{event['seq']:>8}  {when:<33}  {event['type']:<11}  {event.get('track', '-'):>5}  {what}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _of_face(event: Event) -> str:
    before = f" after {event['dwell_ms'] / 1000:.1f} s" if event["type"] != "start" else ""
    return f"{event['label']:<9}  {event['confidence']:>4.0%}{before}"

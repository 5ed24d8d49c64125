"""A picture of the events: which labels were seen when, and how long each."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge.contract import LABELS, UNCERTAIN
from edge.errors import OutputError, SettingsError
from edge.export import output
from edge.listing import Event, seconds_of

COLOUR_OF = dict(zip(LABELS, ("C3", "C2", "C4", "C1", "C0", "C8", "C9", "C5"), strict=True)) | {UNCERTAIN: "0.75"}
"""matplotlib's names of colours; another model's labels are dark grey."""

KINDS = (".png", ".svg", ".pdf")

INCHES_WIDE, INCHES_A_ROW, INCHES_MOST = 11.0, 0.35, 12.0
"""Of the timeline; with more faces at a time than fit, their rows are thinner."""


@dataclass(frozen=True, slots=True)
class Held:
    """A face had one label from `began` to `ended`, seconds since 1970; `face` is the number of its first event."""

    face: int
    label: str
    began: float
    ended: float


def plot_events(events: Iterable[Event], path: Path, store: Path) -> None:
    """Make a picture; OutputError if it cannot be made, SettingsError if there is nothing to see. `store` stays."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError('a plot needs matplotlib: pip install "emotion-edge[export]"') from error
    if path.suffix.lower() not in KINDS:
        raise SettingsError(f"{path}: expected a name that ends in {' or '.join(KINDS)}")
    spans = spans_of(events)
    if not spans:
        raise SettingsError("no face in these events: nothing to plot; `emotion-edge events list` shows what there is")
    rows = rows_of(spans)
    height = min(INCHES_A_ROW * (max(rows) + 1), INCHES_MOST)
    figure = Figure(figsize=(INCHES_WIDE, height + 4), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(height + 0.5, 2.5))
    _draw_timeline(above, spans, rows)
    _draw_shares(below, spans)
    with output(path, store) as aside:
        figure.savefig(aside, dpi=120)


def spans_of(events: Iterable[Event]) -> list[Held]:
    """How long each label held, in the order of their beginnings; of a face that is still there, up to the last event.

    A face whose end was not told, because the daemon was killed, has no last span: nobody knows how long it held.
    """
    spans, begun, last = [], dict[int, tuple[int, Event]](), 0.0  # by track
    told, boot = set[int](), ""
    for event in events:
        last = seconds_of(event)
        if "track" not in event:
            continue
        track = event["track"]
        if event["boot"] != boot or (
            event["type"] == "start" and track in told
        ):  # another run: tracks count from 1 again
            begun.clear()
            told.clear()
        boot = event["boot"]
        told.add(track)
        face, before = begun.pop(track, (event["seq"], None))
        if before:
            spans.append(_span(face, before, event))
        if event["type"] != "end":
            begun[track] = face, event
    spans += [Held(face, event["label"], seconds_of(event), last) for face, event in begun.values()]
    return sorted((each for each in spans if each.ended > each.began), key=lambda each: each.began)


def _span(face: int, before: Event, event: Event) -> Held:
    began = seconds_of(before)
    ended = began + event["dwell_ms"] / 1000 if event["type"] == "end" else seconds_of(event)
    return Held(face, before["label"], began, ended)


def rows_of(spans: Sequence[Held]) -> list[int]:
    """For each span its face's row: the first that no other face has at the time."""
    until: dict[int, float] = {}
    for each in spans:
        until[each.face] = max(each.ended, until.get(each.face, each.ended))
    row_of: dict[int, int] = {}
    busy: list[float] = []  # row: until when
    for each in spans:
        if each.face not in row_of:
            free = [row for row, ends in enumerate(busy) if ends <= each.began]
            row_of[each.face] = free[0] if free else len(busy)
            busy[row_of[each.face] : row_of[each.face] + 1] = [until[each.face]]
    return [row_of[each.face] for each in spans]


def _draw_timeline(axes: Any, spans: Sequence[Held], rows: Sequence[int]) -> None:
    for label in sorted({each.label for each in spans}):
        chosen = [(each, row) for each, row in zip(spans, rows, strict=True) if each.label == label]
        begins = [_date(each.began) for each, _ in chosen]
        lengths = [timedelta(seconds=each.ended - each.began) for each, _ in chosen]
        axes.barh([row + 1 for _, row in chosen], lengths, 0.8, begins, color=_colour(label), label=label)
    axes.xaxis_date(tz=UTC)
    axes.set(xlabel="time, UTC", ylabel="faces at a time")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"{len({each.face for each in spans})} faces; an expression is not a feeling", loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _draw_shares(axes: Any, spans: Sequence[Held]) -> None:
    seconds: defaultdict[str, float] = defaultdict(float)
    for each in spans:
        seconds[each.label] += each.ended - each.began
    labels, total = sorted(seconds, key=lambda label: seconds[label]), sum(seconds.values())
    bars = axes.barh(
        labels, [100 * seconds[label] / total for label in labels], color=[_colour(each) for each in labels]
    )
    axes.bar_label(bars, [f" {100 * seconds[label] / total:.0f} %, {_length(seconds[label])}" for label in labels])
    axes.set(xlabel="share of the time that faces were seen, %", xlim=(0, 115))


def _colour(label: str) -> str:
    return COLOUR_OF.get(label, "0.3")


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _length(seconds: float) -> str:
    """For people: 12 s, 3.5 min, 2.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

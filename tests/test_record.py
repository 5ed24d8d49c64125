"""Recorder: the fields of a record, its number and its dates."""

import json
from dataclasses import replace
from typing import Any

from edge.clocks import BOOT_ID, Clocks, boot_id, since_boot, synchronized
from edge.events import CameraEvent, EmotionEvent
from edge.record import Record, Recorder

MODEL = "emo-mini-int8@1.0.0#ab12"

EVENT = EmotionEvent(
    type="change",
    track=7,
    label="happy",
    confidence=0.83123,
    reason="",
    top=(("happy", 0.83123), ("neutral", 0.11), ("surprise", 0.03)),
    box=(0.31, 0.22, 0.18, 0.24),
    face_px=96.4,
    dwell_ms=1200.4,
    latency_ms={"capture": 8.0, "detect": 14.04, "infer": 6.0},
    captured_at=12.345678912,
    frame=370,
)

LOST = CameraEvent("camera_lost", "/dev/video0", "no picture for 1.5 s", 61234.5, 12.5)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 12.42) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def clocks(monotonic: Clock, wall: float = 1795256130.1239, synced: bool = True) -> Clocks:
    """The wall clock says 2026-11-21 10:15:30.1239 UTC."""
    return Clocks(monotonic, monotonic, lambda: wall, lambda: synced)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, last_seq: int = 0) -> None:
        self.last_seq, self.records = last_seq, list[Record]()

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None: ...

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(record.line) for record in self.records]


def recorded(event: EmotionEvent | CameraEvent, of: Clocks | None = None) -> dict[str, Any]:
    """The record that is made of an event."""
    sink = Kept()
    Recorder("emo-kitchen", MODEL, [sink], of or clocks(Clock())).write(event)
    return sink.documents[0]


def test_a_record_has_the_fields_of_the_format_and_no_others() -> None:
    record = recorded(EVENT)
    assert list(record) == [
        *("v", "seq", "ts", "clock_synced", "mono_ns", "boot", "device", "type", "track", "label", "group"),
        *("confidence", "uncertain", "top", "valence", "arousal", "box", "face_px", "dwell_ms", "latency_ms", "model"),
    ]
    boot = record.pop("boot")
    assert len(boot) == 8 and (not BOOT_ID.exists() or BOOT_ID.read_text().startswith(boot))
    assert record == {
        "v": 1,
        "seq": 1,
        "ts": "2026-11-21T10:15:30.123Z",
        "clock_synced": True,
        "mono_ns": 12345678912,
        "device": "emo-kitchen",
        "type": "change",
        "track": 7,
        "label": "happy",
        "group": "positive",
        "confidence": 0.8312,
        "uncertain": False,
        "top": [["happy", 0.8312], ["neutral", 0.11], ["surprise", 0.03]],
        "valence": None,
        "arousal": None,
        "box": [0.31, 0.22, 0.18, 0.24],
        "face_px": 96,
        "dwell_ms": 1200,
        "latency_ms": {"age": 74.3, "capture": 8.0, "detect": 14.0, "infer": 6.0, "publish": 0.0},
        "model": MODEL,
    }


def test_an_uncertain_event_says_so() -> None:
    record = recorded(replace(EVENT, label="uncertain", reason="blurred", confidence=0.0, top=()))
    said = record["label"], record["group"], record["uncertain"], record["top"]
    assert said == ("uncertain", "uncertain", True, [])


def test_a_record_of_the_camera_says_what_was_wrong_and_for_how_long() -> None:
    record = recorded(LOST, clocks(Clock(), synced=False))
    del record["boot"]
    assert record == {
        "v": 1,
        "seq": 1,
        "ts": "2026-11-21T10:15:30.123Z",
        "clock_synced": False,
        "mono_ns": 12500000000,
        "device": "emo-kitchen",
        "type": "camera_lost",
        "camera": "/dev/video0",
        "reason": "no picture for 1.5 s",
        "dwell_ms": 61234,
    }


def test_the_next_record_tells_how_long_the_sinks_took_for_the_last() -> None:
    """Each look at the clock is 10 ms after the last: one as a record is made, one when the sinks have it."""
    ticks = iter(range(100))
    sink = Kept()
    moving = replace(clocks(Clock()), monotonic=lambda: EVENT.captured_at + next(ticks) / 100)
    recorder = Recorder("", "", [sink], moving)
    recorder.write(EVENT)
    recorder.write(EVENT)
    assert [record["latency_ms"]["publish"] for record in sink.documents] == [0.0, 10.0]
    assert [record["latency_ms"]["age"] for record in sink.documents] == [0.0, 20.0]


def test_numbers_go_on_after_the_greatest_of_any_sink() -> None:
    sinks = Kept(41), Kept(7)
    recorder = Recorder("", "", sinks)
    recorder.write(EVENT)
    recorder.write(LOST)
    assert [[record.seq for record in sink.records] for sink in sinks] == [[42, 43]] * 2
    assert sinks[0].records == sinks[1].records
    recorder = Recorder("", "", sinks, last_seq=99)
    recorder.write(EVENT)
    assert (recorder.last_seq, sinks[0].records[-1].seq) == (100, 100)


def test_a_record_is_dated_by_the_time_since_boot_and_names_it() -> None:
    sink = Kept()
    Recorder("", "", [sink], replace(clocks(Clock()), since_boot=lambda: 99.5)).write(EVENT)
    assert (sink.records[0].made_at, sink.records[0].boot) == (99.5, sink.documents[0]["boot"])


def test_the_model_of_the_records_can_change() -> None:
    sink = Kept()
    recorder = Recorder("", "one", [sink])
    recorder.write(EVENT)
    recorder.model = "two"
    recorder.write(EVENT)
    assert [record["model"] for record in sink.documents] == ["one", "two"]


def test_the_clocks_of_this_machine_answer() -> None:
    first = since_boot()
    assert 0 < first <= since_boot()
    assert synchronized() in (True, False)
    assert Clocks().wall() > 1.7e9


def test_without_an_id_of_the_boot_one_is_drawn(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("edge.clocks.BOOT_ID", tmp_path / "none")
    assert len(boot_id()) == 8 and boot_id() != boot_id()

"""Recorder: numbers events, dates them, and hands them to the sinks as records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge.clocks import Clocks, timestamp
from edge.events import CameraEvent, EmotionEvent


@dataclass(frozen=True, slots=True)
class Record:
    """An event with its number and date.

    seq         counts the records from 1; goes on where the sinks' records end; a gap is a lost record
    boot        names the boot: the first 8 digits of Linux's boot id
    made_at     seconds since that boot (time asleep included) when the record was made: what it is dated by
    line        the record as JSON, UTF-8, on one line without its end
    """

    seq: int
    boot: str
    made_at: float
    line: bytes


class Sink(Protocol):
    """Where records go."""

    @property
    def last_seq(self) -> int:
        """The greatest number among the records that are there; 0 for none."""

    def write(self, record: Record) -> None:
        """Take the record in; returns at once and raises nothing. From one thread at a time."""
        ...

    def close(self) -> None:
        """Write what is left; nothing can be written afterwards."""
        ...


class Recorder:
    """Makes a record of each event; for one thread at a time.

    Fields of every record:
        v             1, the version of this format
        seq           Record.seq
        ts            wall time when the record was made, UTC
        clock_synced  whether a time server kept the wall clock then
        mono_ns       when the picture was captured, nanoseconds of the monotonic clock since this boot
        boot          Record.boot: mono_ns compares only within one
        device        the name that the settings give this device
        type          the event's type
    An EmotionEvent's has also what that class says, with box as [x, y, width, height]; valence and arousal, null since
    nothing measures them; model, as "name@version#hash"; and in latency_ms, beside the steps of the event:
        age      from the picture's capture to this record
        publish  how long the sinks took for the record before this one (for this one it cannot be known yet)
    """

    def __init__(
        self, device: str, model: str, sinks: Sequence[Sink], clocks: Clocks | None = None, last_seq: int = 0
    ) -> None:
        """`device` and `model` ("name@version#hash") are repeated in the records; `model` may be set anew.

        Numbers go on after `last_seq` and the greatest of any sink.
        """
        self.model = model
        self._device, self._sinks, self._clocks = device, tuple(sinks), clocks or Clocks()
        self.last_seq = max([last_seq, *(sink.last_seq for sink in sinks)])
        self._publish_ms = 0.0

    def write(self, event: EmotionEvent | CameraEvent) -> None:
        """Number and date the event, and hand it to the sinks."""
        began = self._clocks.monotonic()
        self.last_seq += 1
        record = Record(self.last_seq, self._clocks.boot, self._clocks.since_boot(), self._line(event, began))
        for sink in self._sinks:
            sink.write(record)
        self._publish_ms = (self._clocks.monotonic() - began) * 1000

    def _line(self, event: EmotionEvent | CameraEvent, now: float) -> bytes:
        document = {
            "v": 1,
            "seq": self.last_seq,
            "ts": timestamp(self._clocks.wall()),
            "clock_synced": self._clocks.synchronized(),
            "mono_ns": round(event.captured_at * 1e9),
            "boot": self._clocks.boot,
            "device": self._device,
            "type": event.type,
            **(self._of_face(event, now) if isinstance(event, EmotionEvent) else _of_camera(event)),
        }
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()

    def _of_face(self, event: EmotionEvent, now: float) -> dict[str, Any]:
        age_ms, steps = (now - event.captured_at) * 1000, event.latency_ms
        took_ms = {"age": age_ms, **steps, "publish": self._publish_ms}
        return {
            "track": event.track,
            "label": event.label,
            "group": event.group,
            "confidence": round(event.confidence, 4),
            "uncertain": event.uncertain,
            "top": [[label, round(score, 4)] for label, score in event.top],
            "valence": None,
            "arousal": None,
            "box": [round(share, 4) for share in event.box],
            "face_px": round(event.face_px),
            "dwell_ms": round(event.dwell_ms),
            "latency_ms": {step: round(took, 1) for step, took in took_ms.items()},
            "model": self.model,
        }


def _of_camera(event: CameraEvent) -> dict[str, Any]:
    return {"camera": event.camera, "reason": event.reason, "dwell_ms": round(event.dwell_ms)}

"""Trace: what was found in each frame, and what time it was, on disk: all that tracks and events depend on, no pixels.

A trace is lines of JSON. The first says what it was made with. Then there is one for each thing that the Perceiver went
through: a frame with its faces, if searched, and what the model read; a gap, the camera's events, other settings.
Each has the answers of the clocks that were asked meanwhile, in order, so that a replay gives the same records to the
last byte.
"""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.clocks import Clocks
from edge.errors import OutputError
from edge.events import CameraEvent
from edge.faces import FaceFinder
from edge.perceive import FaceReader, Happening
from edge.record import Recorder
from edge.scene import Face, Found, Frame, Reading

log = logging.getLogger("emotion_edge")

FORMAT = 2

T = TypeVar("T")


class Trace:
    """Writes a trace over the file at a path; OutputError if it cannot be opened.

    It stands in front of what the daemon asks: its clocks, its closer look and its reader. When writing fails, tracing
    ends, and the log says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.line: dict[str, Any] = {}
        """What was noted since the last line was written."""
        try:
            self._file = path.open("w", buffering=1, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot write the trace: {error.strerror}; expected a new file") from error

    def clocks(self, real: Clocks) -> Clocks:
        """Clocks that note what they say."""
        return Clocks(
            monotonic=self.clock("monotonic", real.monotonic),
            since_boot=self.clock("since_boot", real.since_boot),
            wall=self.clock("wall", real.wall),
            synchronized=self.clock("synchronized", real.synchronized),
            boot=real.boot,
        )

    def clock(self, name: str, real: Callable[[], T]) -> Callable[[], T]:
        """One clock that notes what it says."""

        def ask() -> T:
            answer = real()
            self.line.setdefault("clocks", {}).setdefault(name, []).append(answer)
            return answer

        return ask

    def finder(self, real: FaceFinder) -> FaceFinder:
        """A detector that notes what its closer look says."""
        return _Finder(real, self)

    def reader(self, real: FaceReader) -> FaceReader:
        """A reader that notes what it reads."""
        self._reader = real
        return _Reader(real, self)

    def begin(self, settings: config.Settings, recorder: Recorder, boot: str) -> None:
        """Write the first line."""
        self.line = {"trace": FORMAT, "boot": boot, "last_seq": recorder.last_seq, "device": settings.events.device}
        self.note(settings)

    def note(self, happened: Happening) -> None:
        """Write the line of what happened."""
        if isinstance(happened, Found):
            self._note_found(happened)
        elif isinstance(happened, CameraEvent):
            self.line["camera"] = asdict(happened)
        elif isinstance(happened, int):
            self.line["detect_every"] = happened
        elif happened is None:
            self.line["gap"] = True
        else:
            self.line["adopt"] = self._adopted(happened)
        self._write()

    def _note_found(self, found: Found) -> None:
        frame = found.frame
        height, width = frame.pixels.shape[:2]
        self.line["frame"] = [frame.number, frame.captured_at, frame.moment, frame.took_ms, width, height]
        self.line["detect_ms"] = found.took_ms
        if found.faces is not None:
            self.line["faces"] = [astuple(face) for face in found.faces]

    def close(self) -> None:
        """Nothing is written afterwards."""
        with suppress(OSError):  # what is left to write to a full disk
            self._file.close()

    def _adopted(self, settings: config.Settings) -> dict[str, Any]:
        events = {name: getattr(settings.events, name) for name in ("smooth_seconds", "margin", "dwell_seconds")}
        reads = {"model": self._reader.model, "labels": self._reader.labels, "abstain": self._reader.abstain}
        return {"track": asdict(settings.track), "events": events, **reads}

    def _write(self) -> None:
        try:
            if not self._file.closed:
                self._file.write(json.dumps(self.line, separators=(",", ":")) + "\n")
        except OSError as error:
            log.error("the trace ends here: file=%s error=%r", self._path, error.strerror)
            self.close()
        self.line = {}


class _Finder:
    def __init__(self, real: FaceFinder, trace: Trace) -> None:
        self._real, self._trace = real, trace
        self.find, self.look_around, self.close = real.find, real.look_around, real.close

    def is_face(self, frame: Frame, face: Face) -> bool:
        answer = self._real.is_face(frame, face)
        self._trace.line.setdefault("is_face", []).append([astuple(face.box), answer])
        return answer


class _Reader:
    def __init__(self, real: FaceReader, trace: Trace) -> None:
        self._real, self._trace = real, trace
        self.model, self.labels, self.abstain = real.model, real.labels, real.abstain

    def read(self, picture: NDArray[np.uint8], face: Face, track: int = 0) -> Reading:
        reading = self._real.read(picture, face, track)
        said = reading.label, reading.confidence, reading.scores, reading.reason
        self._trace.line.setdefault("read", []).append([astuple(face), *said])
        return reading

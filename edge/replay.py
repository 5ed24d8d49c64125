"""Replay: a trace goes through tracker, smoothing and events again, and gives the same records, or others by --set."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.clocks import Clocks
from edge.contract import UNCERTAIN
from edge.errors import SettingsError, SourceError
from edge.events import CameraEvent, Settler
from edge.perceive import Happening, Perceiver
from edge.record import Record, Recorder
from edge.scene import Box, Face, Found, Frame, Reading
from edge.trace import FORMAT
from edge.track import Tracker

CHANGEABLE = "track", "events"
"""The tables of settings that a replay can change; what the others lead to is in the trace."""


class Printed:
    """A sink that writes lines to a text stream, however long that takes."""

    last_seq = 0

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, record: Record) -> None:
        """As Sink says, but it waits."""
        self._stream.write(record.line.decode() + "\n")

    def close(self) -> None:
        """The stream stays open."""


def replay(path: Path, said: Sequence[str], out: IO[str]) -> None:
    """Write the records that the trace at `path` leads to, with the settings that `said` changes (TABLE.NAME=VALUE).

    SourceError for a file that is no trace, SettingsError for a setting that a replay cannot change.
    """
    for each in said:
        if each.partition(".")[0].strip() not in CHANGEABLE:
            raise SettingsError(f"--set {each!r}: expected one of {' or '.join(CHANGEABLE)}: a trace holds the rest")
    tape = Tape(path)
    happenings = iter(tape)
    try:
        perceiver = _perceiver(next(happenings), tape, said, out)
        for line in happenings:
            _again(line, perceiver, tape, said)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
        raise SourceError(
            f"{path}: line {tape.number}: not as `run --trace` writes it ({type(error).__name__}: {error}): "
            "expected a trace of this version"
        ) from error


class Tape:
    """The lines of a trace, and what was asked while the present one was made: clocks, detector and reader.

    Where a replay asks for more than the run did, since other settings lead to more events, a clock repeats its last
    answer, a face that was not read counts as such, and what was not looked at again as a face.
    """

    model: str
    labels: tuple[str, ...]
    abstain: float

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0
        self._line: Mapping[str, Any] = {}
        self._clocks: dict[str, Iterator[Any]] = {}
        self._last: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """The lines; a last one torn by a power cut is left out."""
        try:
            with self._path.open(encoding="utf-8") as file:
                for self.number, text in enumerate(file, 1):
                    if not text.endswith("\n"):
                        return
                    self._line = json.loads(text)
                    self._clocks = {name: iter(answers) for name, answers in self._line.get("clocks", {}).items()}
                    yield self._line
        except OSError as error:
            raise SourceError(f"{self._path}: cannot read the trace: {error.strerror}") from error

    def clock(self, name: str) -> Any:
        """What the clock said at this point of the run."""
        self._last[name] = next(self._clocks.get(name, iter(())), self._last.get(name, 0))
        return self._last[name]

    def clocks(self, boot: str) -> Clocks:
        """All that a Recorder asks."""
        return Clocks(
            monotonic=lambda: float(self.clock("monotonic")),
            since_boot=lambda: float(self.clock("since_boot")),
            wall=lambda: float(self.clock("wall")),
            synchronized=lambda: bool(self.clock("synchronized")),
            boot=boot,
        )

    def adopt(self, said: Mapping[str, Any]) -> None:
        """Read by another model from here on."""
        self.model, self.labels, self.abstain = str(said["model"]), tuple(said["labels"]), float(said["abstain"])

    def found(self, frame: Frame) -> Found:
        """What the detector saw in it."""
        return Found(frame, self.find(frame) if "faces" in self._line else None, float(self._line["detect_ms"]))

    def find(self, _: Frame) -> tuple[Face, ...]:
        """As a FaceFinder."""
        return tuple(_face(each) for each in self._line["faces"])

    def is_face(self, _: Frame, face: Face) -> bool:
        """As a FaceFinder."""
        return all(answer for box, answer in self._line.get("is_face", ()) if Box(*box) == face.box)

    def look_around(self, _: Frame) -> None:
        """As a FaceFinder."""

    def read(self, _: NDArray[np.uint8], face: Face, track: int = 0) -> Reading:
        """As a FaceReader."""
        for of, label, confidence, scores, reason in self._line.get("read", ()):
            if _face(of) == face:
                return Reading(track, face, label, confidence, scores, reason)
        return Reading(track, face, UNCERTAIN, 0.0, {}, "not traced")

    def close(self) -> None:
        """As a FaceFinder."""


def _perceiver(first: Mapping[str, Any], tape: Tape, said: Sequence[str], out: IO[str]) -> Perceiver:
    if first["trace"] != FORMAT:
        raise ValueError(f"trace {first['trace']!r}")
    tape.adopt(first["adopt"])
    settings = _settings(first["adopt"], said)
    last_seq = int(first["last_seq"])
    recorder = Recorder(first["device"], tape.model, [Printed(out)], tape.clocks(first["boot"]), last_seq)
    settler = Settler(settings.events, tape.labels, tape.abstain)

    def note(_: Happening) -> None:
        recorder.model = tape.model

    def clock() -> float:
        return float(tape.clock("perf_counter"))

    return Perceiver(tape, tape, Tracker(settings.track), settler, recorder.write, note, clock)


def _again(line: Mapping[str, Any], perceiver: Perceiver, tape: Tape, said: Sequence[str]) -> None:
    if "frame" in line:
        perceiver.read(tape.found(_frame(*line["frame"])))
    elif "camera" in line:
        perceiver.tell(CameraEvent(**line["camera"]))
    elif "detect_every" in line:
        perceiver.detect_every(line["detect_every"])
    elif "gap" in line:
        perceiver.gap()
    else:
        tape.adopt(line["adopt"])
        perceiver.adopt(_settings(line["adopt"], said), tape)


def _settings(adopted: Mapping[str, Any], said: Sequence[str]) -> config.Settings:
    tables = {name: adopted[name] for name in CHANGEABLE}
    return config.changed(config.build(config.Settings, tables), said)


def _frame(number: int, captured_at: float, moment: float, took_ms: float, width: int, height: int) -> Frame:
    blank = np.broadcast_to(np.uint8(0), (height, width, 3))
    return Frame(blank, captured_at, moment, number, took_ms)


def _face(said: Sequence[Any]) -> Face:
    box, score, *points = said
    return Face(Box(*box), score, *(tuple(point) for point in points))

"""Status: what the daemon is doing, as one document for the broker and the page."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from edge import __version__, board
from edge.clocks import boot_id
from edge.contract import GROUP_OF, UNCERTAIN, ModelCard, likeliest
from edge.events import CameraEvent, EmotionEvent, normalised
from edge.scene import Reading, Scene
from edge.stats import Rate, Window

Document = dict[str, Any]

NONE = "none"
"""The label, and the group, when there is no face."""

BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper bounds of the counters of how long each step took, for Prometheus."""

STRETCH_SECONDS = 5.0
"""Rates and percentiles are those of the last stretch of so long."""

BOARD_SECONDS = 5.0
"""How often the computer is asked for its temperature and memory."""


class Buckets:
    """How many durations did not exceed each of BUCKETS_SECONDS, and their sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._sum += seconds
        self._counts[sum(seconds > bound for bound in BUCKETS_SECONDS)] += 1

    def document(self) -> Document:
        """Cumulative, as Prometheus wants them."""
        bounds, total, buckets = [*BUCKETS_SECONDS, "+Inf"], 0, []
        for bound, count in zip(bounds, self._counts, strict=True):
            total += count
            buckets.append([bound, total])
        return {"buckets": buckets, "sum": round(self._sum, 6), "count": total}


class Totals:
    """Counts of events since the start; its `add` may be called from any one thread at a time."""

    def __init__(self) -> None:
        self._types: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()

    def add(self, event: EmotionEvent | CameraEvent) -> None:
        """One more."""
        self._types[event.type] += 1
        if isinstance(event, EmotionEvent) and event.type != "end":
            self._labels[event.label] += 1

    def document(self) -> Document:
        """labels: events that began or changed to each; label_flips: changes; uncertain; events: all, of any type."""
        return {
            "labels": dict(self._labels),
            "label_flips": self._types["change"],
            "uncertain": self._labels[UNCERTAIN],
            "events": self._types.total(),
        }


class Status:
    """Takes in scenes on the main thread, and tells of them when asked."""

    def __init__(self, device: str, source: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._device, self._source, self._monotonic = device, source, monotonic
        self._boot, self._began = boot_id(), monotonic()
        self._steps: dict[str, Buckets] = {}
        self._readings: tuple[Reading, ...] = ()
        self._frame_size = (1, 1)
        self._rate = Rate()
        self._stretch, self._stretch_began = Window(self._rate, {}), self._began
        self._report: Document = {}  # of the last whole stretch
        self._board: Document = {}
        self._board_at = float("-inf")

    def see(self, scene: Scene, published_at: float) -> None:
        """Take in a scene that was published at a time.monotonic(), seconds."""
        self._stretch.add(scene, published_at)
        self._readings = scene.readings
        self._frame_size = scene.frame.pixels.shape[1], scene.frame.pixels.shape[0]
        for step, took_ms in {"capture": scene.frame.took_ms, **scene.took_ms}.items():
            self._steps.setdefault(step, Buckets()).add(took_ms / 1000)

    @property
    def age_ms(self) -> float:
        """95th percentile of the age of the published pictures, of the last whole stretch; 0 before there is one."""
        return float(self._report["age_ms"]["p95"]) if self._report else 0.0

    @property
    def gist(self) -> tuple[tuple[int, str], ...]:
        """Who is there, with which label."""
        return tuple((reading.track, reading.label) for reading in self._readings)

    def unsee(self) -> None:
        """No frames come: there are no faces that we know of."""
        self._readings = ()

    def document(self, now_so: Mapping[str, Any], dropped: Mapping[str, int]) -> Document:
        """All of it, for JSON.

        now_so   what others know: camera, model, store, mqtt
        dropped  frames of the run, by reason
        """
        now = self._monotonic()
        self._turn_over(now, dropped)
        report = self._report or self._stretch.report(dropped)
        return {
            "v": 1,
            "device": self._device,
            "version": __version__,
            "boot": self._boot,
            "uptime_seconds": round(now - self._began, 1),
            "source": self._source,
            **_overall(self._readings),
            "faces": [_face(reading, self._frame_size) for reading in self._readings],
            "fps": report["fps"],
            "camera_fps": _camera_fps(report),
            "age_ms": report["age_ms"],
            "steps_ms": report["steps_ms"],
            "dropped": dict(dropped),
            **self._of_board(now),
            "stage_seconds": {step: buckets.document() for step, buckets in self._steps.items()},
            **now_so,
        }

    def _turn_over(self, now: float, dropped: Mapping[str, int]) -> None:
        """At the end of a stretch, its figures become those that are told."""
        if now - self._stretch_began >= STRETCH_SECONDS:
            self._report = self._stretch.report(dropped)
            self._rate.start_over()
            self._stretch, self._stretch_began = Window(self._rate, dropped), now

    def _of_board(self, now: float) -> Document:
        if now - self._board_at >= BOARD_SECONDS:
            self._board_at = now
            self._board = {
                "temperature_celsius": board.temperature_celsius(),
                "throttled": list(board.throttled()),
                "rss_bytes": board.resident_bytes(),
            }
        return self._board


def of_model(card: ModelCard, sha256: str) -> Document:
    """What the document says of the model."""
    kind = "float32" if card.quant_in is None else "full-int8"
    return {
        "name": card.name,
        "version": card.version,
        "sha": sha256[:8],
        "quant": kind,
        "labels": list(card.labels),
    }


def _overall(readings: tuple[Reading, ...]) -> Document:
    """The label of the largest face stands for all."""
    largest = max(readings, key=lambda reading: reading.face.box.area, default=None)
    label = largest.label if largest else NONE
    return {
        "label": label,
        "group": GROUP_OF.get(label, label),
        "confidence": round(largest.confidence, 4) if largest else 0.0,
        "uncertain": label == UNCERTAIN,
        "valence": None,
        "arousal": None,
    }


def _camera_fps(report: Mapping[str, Any]) -> float:
    """What was published and what was dropped came at the same rate."""
    seen = report["scenes"]
    return round(report["fps"] * (seen + sum(report["dropped"].values())) / seen, 2) if seen else 0.0


def _face(reading: Reading, frame_size: tuple[int, int]) -> Document:
    return {
        "track": reading.track,
        "label": reading.label,
        "group": reading.group,
        "confidence": round(reading.confidence, 4),
        "uncertain": reading.label == UNCERTAIN,
        "reason": reading.reason,
        "top": [[label, round(score, 4)] for label, score in likeliest(reading.scores)],
        "box": [round(share, 4) for share in normalised(reading.face.box, frame_size)],
        "face_px": round(reading.face.box.width),
    }

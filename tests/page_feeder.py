"""A daemon's main loop for the page: it shows made-up statuses and pictures to a real Page, for as long as it lives."""

import math
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from edge import config
from edge.classifier import SHIPPED, Classifier
from edge.page.host import Page
from edge.sources.demo import DemoClip

ROOT = Path(__file__).parents[1]

TOKEN = "correct-horse-battery-staple"

LABELS = ("happy", "neutral", "surprise", "uncertain")

STATUS_SECONDS, FRAME_SECONDS = 0.2, 1 / 30

START_SECONDS = 50
"""A generous deadline for a process on a busy machine."""


def status(number: int = 0, **changed: Any) -> dict[str, Any]:
    """The status document with the given number: what it tells moves with that."""
    label = LABELS[number // 4 % len(LABELS)]
    group = {"happy": "positive", "uncertain": "uncertain"}.get(label, "neutral")
    confidence = round(0.7 + 0.25 * math.sin(number / 7), 3)
    reading = {"label": label, "group": group, "confidence": confidence, "uncertain": label == "uncertain"}
    others = [[each, round((1 - confidence) / 3, 3)] for each in LABELS[:3] if each != label]
    face = {
        "track": 7,
        **reading,
        "reason": "blurred" if label == "uncertain" else "",
        "top": [[label, confidence], *others] if label != "uncertain" else [],
        "box": [0.31, 0.22, 0.18, 0.24],
        "face_px": 96,
    }
    times = {"p50": 7.1 + number % 5, "p95": 9.0 + number % 5, "p99": 12.3 + number % 5, "max": 20.1}
    buckets = [[0.001, 3], [0.002, 40], [0.005, 120], ["+Inf", 123]]
    document = {
        "v": 1,
        "device": "emo-kitchen",
        "version": "0.2.0",
        "boot": "b7f30123",
        "uptime_seconds": 12.3 + number * STATUS_SECONDS,
        "source": "/dev/video0",
        "camera": {"state": "running", "reason": "", "reopens": 2},
        "model": model(),
        **reading,
        "valence": None,
        "arousal": None,
        "faces": [face],
        "fps": 29.9 + math.sin(number / 5),
        "camera_fps": 30.0,
        "age_ms": times,
        "steps_ms": {"capture": times, "detect": times, "read": times},
        "captured": 1234 + 6 * number,
        "published": 1230 + 6 * number,
        "dropped": {"stale_frame": 4, "stale_scene": 0, "unfinished": 0},
        "temperature_celsius": 52.1,
        "throttled": ["under-voltage-occurred"],
        "rss_bytes": 90_000_000,
        "totals": {"labels": {"happy": 12, "neutral": 26}, "label_flips": 3, "uncertain": 2, "events": 40},
        "stage_seconds": {"detect": {"buckets": buckets, "sum": 1.2, "count": 123}},
        "store": {"path": None, "held": 0, "lost": 0, "last_seq": 42},
        "mqtt": {"connected": False, "queue_depth": 0, "dropped": 0, "reason": "connection refused"},
        "governor": {"detect_every": 2, "rate_fps": None, "idle": False, "reason": "67 °C"},
        "settings": {
            "camera": {"source": "/dev/video0", "fps": 30.0},
            "mqtt": {"host": "broker.lan"},
            "page": {"hosts": [], "token_file": None},
        },
    }
    return document | changed


@cache
def model() -> dict[str, Any]:
    """What the status says of the model that ships."""
    classifier = Classifier.read(SHIPPED)
    card = classifier.card
    told = {"name": card.name, "version": card.version, "sha": classifier.sha256[:8], "quant": "full-int8"}
    return told | {"labels": list(card.labels)}


def picture(number: int = 0, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: a drawing that moves."""
    drawn = np.full((height, width, 3), (235, 240, 244), np.uint8)
    cv2.circle(drawn, (width // 2 + round(100 * math.sin(number / 9)), height // 2), 80, (0, 114, 178), -1)
    cv2.putText(drawn, str(number), (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, (40, 40, 40), 3)
    return drawn


class Feeder:
    """Does what the daemon's main thread does, and counts it."""

    def __init__(self, page: Page, **changed: Any) -> None:
        self.page, self.changed = page, changed
        self.statuses = self.pictures = 0
        self.error: BaseException | None = None
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder")
        self._thread.start()

    def _run(self) -> None:
        told_at = -STATUS_SECONDS
        try:
            while not self._leave.wait(FRAME_SECONDS):
                self.page.poll()
                if time.monotonic() - told_at >= STATUS_SECONDS:
                    told_at = time.monotonic()
                    self.page.show(status(self.statuses, **self.changed))
                    self.statuses += 1
                if self.page.watched:
                    self.page.show_picture(picture(self.pictures))
                    self.pictures += 1
        except BaseException as error:  # noqa: BLE001  # the end of a thread: the test that started it looks
            self.error = error

    def close(self) -> None:
        self._leave.set()
        self._thread.join()
        assert self.error is None, repr(self.error)


@contextmanager
def page_at(tmp_path: Path, token: bool = False, store: Path | None = None, **settings: Any) -> Iterator[Page]:
    """A page on a free port of this machine, closed at the end."""
    if token:
        file = tmp_path / "token"
        file.write_text(TOKEN + "\n")
        settings["token_file"] = file
    page = Page(config.Page(**{"address": "127.0.0.1", "port": 0, **settings}), store, SHIPPED)
    try:
        yield page
    finally:
        page.close()


@contextmanager
def fed(page: Page, **changed: Any) -> Iterator[Feeder]:
    """A feeder for the page, once the page has told it all is well."""
    feeder = Feeder(page, **changed)
    try:
        await_health(page)
        yield feeder
    finally:
        feeder.close()


@cache
def client() -> httpx.Client:
    """For plain questions; making one takes longer than most answers."""
    return httpx.Client(verify=False, timeout=START_SECONDS, trust_env=False)


def ask(page: Page, path: str, method: str = "GET", **given: Any) -> httpx.Response:
    """The answer of one address; on a connection of its own, without cookies."""
    given["headers"] = {"Connection": "close", **given.get("headers", {})}
    client().cookies.clear()
    return client().request(method, page.url.rstrip("/") + path, **given)


def await_health(page: Page) -> None:
    """Until the page's process answers that it has a status."""
    until(lambda: ask(page, "/healthz").status_code == 200)


def until(true: Any, seconds: float = START_SECONDS) -> None:
    """Wait for what is to come; TimeoutError when it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.02)


DAEMON_SETTINGS = """
[events]
device = "kitchen"
[page]
address = "127.0.0.1"
port = 0
[store]
path = "{folder}/events.db"
"""


def film(path: Path, seconds: float, fps: float, width: int, height: int) -> Path:
    """The demo clip again and again, as a video file: by itself it ends after half a minute."""
    clip = DemoClip(width, height, fps)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    for number in range(round(seconds * fps)):
        writer.write(cv2.cvtColor(clip.picture(number % clip.length), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@contextmanager
def daemon_with_page(folder: Path, source: Path, *more: str) -> Iterator[str]:
    """The real daemon on a film, its files in `folder`: where its page is. It must end well."""
    (folder / "edge.toml").write_text(DAEMON_SETTINGS.format(folder=folder))
    options = ["--config", str(folder / "edge.toml"), "--source", str(source), *more]
    command = [sys.executable, "-m", "edge", "run", *options]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=subprocess.DEVNULL)
        try:
            yield _url_in(folder / "log")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=START_SECONDS) == 0, (folder / "log").read_text()
        finally:
            daemon.kill()
            daemon.wait()


def _url_in(log: Path) -> str:
    """What the log says, once the page is well."""
    until(lambda: " url=" in log.read_text())
    found = re.search(r" url=(\S+)", log.read_text())
    assert found
    until(lambda: client().get(found[1] + "healthz").status_code == 200)
    return found[1]

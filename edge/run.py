"""The daemon's life: open everything, watch until the source ends or a stop is asked for, close everything."""

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import NoReturn

import cv2
from tqdm import tqdm

from edge import __version__, config
from edge.classifier import Classifier, open_classifier
from edge.errors import SettingsError
from edge.events import EmotionEvent, Settler
from edge.faces import face_finder
from edge.interpreter import runtime_name
from edge.perceive import Perceiver, Reader
from edge.pipeline import Pipeline
from edge.record import Recorder
from edge.sinks import JsonLines
from edge.sources import Source, open_source
from edge.stats import Stats, line
from edge.track import Tracker
from edge.views import Views

log = logging.getLogger("emotion_edge")

SWITCH_SECONDS = 0.0005
"""How long one thread may hold the interpreter lock: at Python's 5 ms a busy thread delays each inference by that."""


def run(
    settings: config.Settings,
    window: bool,
    record: Path | None,
    interruptible: Callable[[], AbstractContextManager[None]],
) -> None:
    """Watch the source of `settings` to its end; events go to its sink, speed to the log.

    window         show the picture until q, Esc or the close button
    record         also store the annotated picture in this file
    interruptible  where a stop may raise KeyboardInterrupt: not while we open, nor while we close
    Raises EmotionEdgeError for what the user can mend.
    """
    one_thread_a_stage()
    _refuse_overwriting(record, settings.camera.source)
    stats = Stats(settings.events.report_seconds)
    with ExitStack() as opened:
        source = open_source(settings.camera)
        classifier = open_classifier(settings.model)
        lines = opened.enter_context(closing(JsonLines(settings.events.path or sys.stdout)))
        recorder = Recorder(settings.events.device, classifier.name, [lines])
        views = opened.enter_context(closing(Views(window, record)))
        perceiver = opened.enter_context(closing(perceiver_of(settings, classifier, recorder.write)))
        pipeline = Pipeline(source, perceiver, every=not source.live)
        opened.callback(_log_stop, pipeline, stats)
        opened.enter_context(pipeline)
        progress = opened.enter_context(_progress(source.length))
        with interruptible():
            _log_start(settings, source, classifier)
            _watch(pipeline, stats, views, progress)


def one_thread_a_stage() -> None:
    """For the whole process: each stage has its core, and no thread keeps the interpreter for long."""
    sys.setswitchinterval(SWITCH_SECONDS)
    cv2.setNumThreads(1)  # OpenCV's own threads for one stage would take the core of another


def _refuse_overwriting(record: Path | None, source: str) -> None:
    if record and os.path.exists(record) and os.path.exists(source) and record.samefile(source):
        raise SettingsError(f"{record}: the video to record is the one to read: choose another name for --record")


def perceiver_of(settings: config.Settings, classifier: Classifier, tell: Callable[[EmotionEvent], None]) -> Perceiver:
    """The infer step that the settings describe; `tell` is handed each event."""
    reader = Reader(classifier, settings.limits, settings.model.abstain)
    settler = Settler(settings.events, reader.labels, reader.abstain)
    return Perceiver(face_finder(settings.faces), reader, Tracker(settings.track), settler, tell)


def _progress(length: int | None) -> "tqdm[NoReturn]":
    """A bar with the remaining time, for a person who watches a file being read."""
    return tqdm(total=length, unit="frame", disable=length is None or not sys.stderr.isatty())


def _watch(pipeline: Pipeline, stats: Stats, views: Views, progress: "tqdm[NoReturn]") -> None:
    """The main loop: count each scene, show it, report."""
    for scene in pipeline:
        now = time.monotonic()
        if stats.add(scene, now):
            log.info("speed %s", line(stats.report(pipeline.dropped)))
        progress.update(scene.frame.number + 1 - progress.n)
        if not views.show(scene, now):
            break


def _log_start(settings: config.Settings, source: Source, classifier: Classifier) -> None:
    log.info(
        "start version=%s source=%s model=%s detector=%s-%s interpreter=%s",
        __version__,
        source.name,
        classifier.name,
        settings.faces.backend,
        settings.faces.range,
        runtime_name(),
    )


def _log_stop(pipeline: Pipeline, stats: Stats) -> None:
    log.info("stop captured=%d published=%d", pipeline.captured, pipeline.published)
    log.info("whole run: %s", line(stats.summary(pipeline.dropped)))

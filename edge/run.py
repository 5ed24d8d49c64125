"""The daemon's life: open everything, watch until the source ends or a stop is asked for, close everything."""

import gc
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge import __version__, config
from edge.classifier import Classifier
from edge.clocks import Clocks
from edge.control import Control, Parts, finder_of, reader_of
from edge.errors import SettingsError
from edge.events import CameraEvent, EmotionEvent, Settler
from edge.interpreter import runtime_name
from edge.notify import Systemd
from edge.outlets import Outlets
from edge.perceive import Happening, Perceiver
from edge.pipeline import Pipeline, Stage
from edge.privacy import refuse_unstated
from edge.record import Recorder, Sink
from edge.slot import Closed
from edge.sources import Source, open_source
from edge.stats import Stats, line
from edge.status import Status, Totals
from edge.succession import first
from edge.trace import Trace
from edge.track import Tracker
from edge.views import Views

if TYPE_CHECKING:  # imported when it is asked for
    from edge.spans import Spans

log = logging.getLogger("emotion_edge")

SWITCH_SECONDS = 0.0005
"""How long one thread may hold the interpreter lock: at Python's 5 ms a busy thread delays each inference by that."""

TICK_SECONDS = 0.2
"""While no scene comes, the main thread looks around this often."""


@dataclass(frozen=True)
class Wishes:
    """What a run is asked for beside its settings.

    read           gives the settings, now and when they are to be read again
    watched        files that settings are read from
    window         show the picture until q, Esc or the close button
    record         also store the annotated picture in this file
    trace          note what was found in this file, for a replay
    spans          note when each frame was where in this file, for Perfetto
    orders         "pause", "resume", "reload", appended to from anywhere
    systemd        that started us, if it did
    interruptible  where a stop may raise KeyboardInterrupt: not while we open, nor while we close
    """

    read: Callable[[], config.Settings]
    interruptible: Callable[[], AbstractContextManager[None]]
    watched: Sequence[Path] = ()
    window: bool = False
    record: Path | None = None
    trace: Path | None = None
    spans: Path | None = None
    orders: deque[str] = field(default_factory=deque)
    systemd: Systemd = field(default_factory=Systemd)


def run(wishes: Wishes) -> None:
    """Watch the source that the settings name to its end; events go to its sinks, speed to the log.

    Raises EmotionEdgeError for what the user can mend.
    """
    one_thread_a_stage()
    settings = wishes.read()
    refuse_unstated(settings)
    _refuse_overwriting(wishes.record, settings.camera.source)
    stats, totals = Stats(settings.events.report_seconds), Totals()
    with ExitStack() as opened:
        trace = opened.enter_context(closing(Trace(wishes.trace))) if wishes.trace else None
        classifier = first(settings)
        outlets = Outlets(settings, wishes.orders, opened)
        views = opened.enter_context(closing(Views(wishes.window, wishes.record, outlets.page)))
        perceiver = opened.enter_context(closing(_perceiver(settings, classifier, outlets.sinks, totals, trace)))
        source = open_source(settings.camera, perceiver.tell, perceiver.gap, patient=wishes.systemd.listens)
        spans = _spans(wishes.spans, settings.governor, source.live, opened)
        pipeline = Pipeline(source, stages_of(perceiver), every=not source.live)
        status = Status(settings.events.device, source.name)
        parts = Parts(source, pipeline, perceiver, status, outlets, totals, wishes.systemd, trace)
        control = Control(settings, classifier, parts, wishes.orders, wishes.read, wishes.watched)
        opened.callback(_log_stop, pipeline, stats)
        opened.enter_context(pipeline)
        progress = opened.enter_context(_progress(source.length))
        opened.callback(wishes.systemd.stopping)
        with wishes.interruptible():
            _log_start(settings, source, classifier)
            gc.freeze()
            _watch(pipeline, control, stats, views, progress, spans)


def one_thread_a_stage() -> None:
    """For the whole process: each stage has its core, and no thread keeps the interpreter for long."""
    sys.setswitchinterval(SWITCH_SECONDS)
    cv2.setNumThreads(1)  # OpenCV's own threads for one stage would take the core of another


def _refuse_overwriting(record: Path | None, source: str) -> None:
    if record and os.path.exists(record) and os.path.exists(source) and record.samefile(source):
        raise SettingsError(f"{record}: the video to record is the one to read: choose another name for --record")


def perceiver_of(
    settings: config.Settings,
    classifier: Classifier,
    tell: Callable[[EmotionEvent | CameraEvent], None],
    trace: Trace | None = None,
    note: Callable[[Happening], None] = lambda _: None,
) -> Perceiver:
    """The Perceiver that the settings describe; `tell` is handed each event."""
    reader, finder = reader_of(settings, classifier, trace), finder_of(settings, trace)
    settler = Settler(settings.events, reader.labels, reader.abstain)
    clock = trace.clock("perf_counter", time.perf_counter) if trace else time.perf_counter
    return Perceiver(finder, reader, Tracker(settings.track), settler, tell, note, clock)


def stages_of(perceiver: Perceiver) -> tuple[Stage, ...]:
    """Its steps, each for a thread of its own: searching and reading take about as long, so they go on side by side."""
    return Stage("detect", perceiver.find), Stage("classify", perceiver.read, perceiver.look_around)


def _perceiver(
    settings: config.Settings, classifier: Classifier, sinks: Sequence[Sink], totals: Totals, trace: Trace | None
) -> Perceiver:
    """The Perceiver whose events are recorded, counted and, if asked for, traced."""
    clocks = trace.clocks(Clocks()) if trace else Clocks()
    recorder = Recorder(settings.events.device, classifier.name, sinks, clocks)

    def tell(event: EmotionEvent | CameraEvent) -> None:
        totals.add(event)
        recorder.write(event)

    def note(happened: Happening) -> None:
        recorder.model = perceiver.model
        if trace:
            trace.note(happened)

    perceiver = perceiver_of(settings, classifier, tell, trace, note)
    if trace:
        trace.begin(settings, recorder, clocks.boot)
    return perceiver


@contextmanager
def _progress(length: int | None) -> Generator[Callable[[int], object], None, None]:
    """A bar with the remaining time, for a person who watches a file being read; it is told how many frames were."""
    if length is None or not sys.stderr.isatty():
        yield lambda frames: None
        return
    from tqdm import tqdm  # 20 ms and 3 MB, which a daemon has no use for

    with tqdm(total=length, unit="frame") as bar:
        yield lambda frames: bar.update(frames - bar.n)


def _spans(file: Path | None, goals: config.Governor, live: bool, opened: ExitStack) -> "Spans | None":
    """What notes when each frame was where, if anybody wants to know; the governor's goals hold for live sources."""
    folder = goals.spans_folder if live else None
    if not (file or folder):
        return None
    from edge.spans import Spans

    return opened.enter_context(closing(Spans(file, folder, goals.max_age_ms)))


def _watch(
    pipeline: Pipeline,
    control: Control,
    stats: Stats,
    views: Views,
    progress: Callable[[int], object],
    spans: "Spans | None",
) -> None:
    """The main loop: count each scene, show it, report; and look around, also while none comes."""
    with suppress(Closed):
        while True:
            scene, now = pipeline.next_within(TICK_SECONDS), time.monotonic()
            control.tick(now)
            if scene is None:
                continue
            control.see(scene, now)
            if stats.add(scene, now):
                log.info("speed %s", line(stats.report(pipeline.dropped)))
            progress(scene.frame.number + 1)
            goes_on = views.show(scene, now)
            if spans:
                spans.see(scene, now, time.monotonic(), pipeline.dropped)
            if not goes_on:
                return


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

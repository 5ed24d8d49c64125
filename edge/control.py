"""Control: what the main thread does between scenes: orders, other settings, the governor, and telling of it all."""

import gc
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edge import board, config
from edge.classifier import Classifier, model_file
from edge.errors import EmotionEdgeError
from edge.faces import FaceFinder, face_finder
from edge.governor import Governor, Load
from edge.notify import Systemd, headline
from edge.outlets import Outlets
from edge.perceive import FaceReader, Perceiver, Reader
from edge.pipeline import Pipeline
from edge.privacy import refuse_unstated
from edge.scene import Scene
from edge.sources import Source
from edge.sources.guard import Guarded
from edge.sources.sparing import Sparing
from edge.status import Document, Status, Totals, of_model
from edge.succession import successor
from edge.trace import Trace

log = logging.getLogger("emotion_edge")

TELL_SECONDS = 1.0
"""How often the status is told..."""

CHANGE_SECONDS = 0.2
"""...and how soon after the last time when somebody came, went, or has another label."""

WEIGH_SECONDS = 1.0
"""How often the governor looks at the load."""

LOOK_SECONDS = 2.0
"""How often the files of settings and model are looked at."""

SWEEP_SECONDS = 30.0
"""How often all garbage is collected: until then Python keeps the memory of freed tuples, up to 2,000 of each length,
which took 2 MB more every ten minutes. What was there at the start is frozen, so that it takes 0.3 ms."""

LASTING = "store", "mqtt", "page", "governor"
"""Tables of settings that a run keeps to its end: others take effect at the next start."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of, as far as it can be asked or told something while it goes on."""

    source: Source
    pipeline: Pipeline
    perceiver: Perceiver
    status: Status
    outlets: Outlets
    totals: Totals
    systemd: Systemd = field(default_factory=Systemd)
    trace: Trace | None = None


def reader_of(settings: config.Settings, classifier: Classifier, trace: Trace | None) -> FaceReader:
    """The reader that the settings describe."""
    reader = Reader(classifier, settings.limits, settings.model.abstain)
    return trace.reader(reader) if trace else reader


def finder_of(settings: config.Settings, trace: Trace | None) -> FaceFinder:
    """The detector that the settings describe."""
    finder = face_finder(settings.faces)
    return trace.finder(finder) if trace else finder


class Control:
    """Owned by the main thread; only `orders` may be appended to from anywhere, a signal handler too.

    Orders are "pause" and "resume" (a camera is closed, and opened again) and "reload": settings and model are read
    again, also when their files change. What cannot be honoured is refused, and all goes on as before.

    read     gives the settings anew
    watched  the settings file, if there is one
    """

    def __init__(
        self,
        settings: config.Settings,
        classifier: Classifier,
        parts: Parts,
        orders: deque[str],
        read: Callable[[], config.Settings],
        watched: Sequence[Path] = (),
    ) -> None:
        self._settings, self._classifier, self._parts = settings, classifier, parts
        self._orders, self._read, self._watched = orders, read, tuple(watched)
        self._governor = Governor(settings.governor)
        self._effort = self._governor.effort
        self._stamps = self._present_stamps()
        self._load()  # the board's sensors are looked for here, once, where no interrupt comes
        self._told: tuple[Any, ...] = ()
        self._due = dict.fromkeys(("sweep", "look", "weigh", "outlets", "tell", "systemd"), float("-inf"))

    def see(self, scene: Scene, now: float) -> None:
        """Take in a scene that was published at a time.monotonic(), seconds."""
        self._parts.status.see(scene, now)
        if self._governor.see(len(scene.readings), now, scene.found):
            self._exert()

    def tick(self, now: float) -> None:
        """To be called often, also while no scenes come."""
        while self._orders:
            self._obey(self._orders.popleft())
        if self._is_due("sweep", SWEEP_SECONDS, now):
            gc.collect()
        if self._is_due("look", LOOK_SECONDS, now) and self._stamps != self._present_stamps():
            self._reload()
        if self._is_due("weigh", WEIGH_SECONDS, now) and self._governor.weigh(self._load(), now):
            self._exert()
        if self._parts.outlets.heard and self._is_due("outlets", CHANGE_SECONDS, now):
            self._parts.outlets.poll()
            if self._told != self._gist() or self._is_due("tell", TELL_SECONDS, now):
                self._tell()
        if self._parts.systemd.listens:
            self._answer(now)

    def _is_due(self, what: str, seconds: float, now: float) -> bool:
        due = now - self._due[what] >= seconds
        if due:
            self._due[what] = now
        return due

    def _obey(self, order: str) -> None:
        if order == "reload":
            self._reload()
        elif not isinstance(source := self._parts.source, Guarded):
            log.warning("order=%s is passed over: the source is no camera", order)
        elif order == "pause":
            log.info("paused: the camera is closed")
            source.pause()
            self._parts.perceiver.gap()
        else:
            log.info("resumed: the camera is opened")
            source.resume()

    # Other settings

    def _reload(self) -> None:
        """Go on by what the files say now, or by what is in force, if that does not pass."""
        self._stamps = self._present_stamps()
        with self._parts.systemd.reloading():
            self._read_again()

    def _read_again(self) -> None:
        try:
            settings = self._read()
            refuse_unstated(settings)
            classifier = successor(settings)
            finder = finder_of(settings, self._parts.trace) if settings.faces != self._settings.faces else None
        except EmotionEdgeError as error:
            log.error("reload is refused, all goes on as before: %s", error)
            return
        self._adopt(settings, classifier, finder)

    def _adopt(self, settings: config.Settings, classifier: Classifier, finder: FaceFinder | None) -> None:
        reader = reader_of(settings, classifier, self._parts.trace)
        self._parts.perceiver.adopt(settings, reader, finder)
        self._parts.outlets.adopt(settings.model)
        if settings.camera != self._settings.camera and isinstance(self._parts.source, Guarded):
            self._parts.source.adopt(settings.camera)
        changed = [each.name for each in fields(settings) if self._differs(settings, each.name)]
        later = ", ".join(name for name in changed if name in LASTING)
        log.info("reloaded: model=%s changed=%s", classifier.name, ",".join(changed) or "nothing")
        if later:
            log.warning("takes effect at the next start: %s", later)
        self._settings, self._classifier = settings, classifier

    def _differs(self, settings: config.Settings, table: str) -> bool:
        return bool(getattr(settings, table) != getattr(self._settings, table))

    def _present_stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(each) for each in (*self._watched, model_file(self._settings.model.file))]

    # The governor

    def _load(self) -> Load:
        return Load(self._parts.status.age_ms, board.temperature_celsius(), board.throttled())

    def _exert(self) -> None:
        """As the governor says, if it has a say: a film that is read to its end is read in full."""
        if not self._parts.source.live:
            return
        effort, before, self._effort = self._governor.effort, self._effort, self._governor.effort
        if isinstance(self._parts.source, Sparing):
            self._parts.source.rate_fps = effort.rate_fps
        if effort == before or (effort.idle and replace(effort, rate_fps=before.rate_fps) == before):
            return  # a second look at what may be somebody is not worth a word
        self._parts.perceiver.detect_every(effort.detect_every)
        rate = f"{effort.rate_fps:g}" if effort.rate_fps else "all"
        why = "nobody is there" if effort.idle else self._governor.reason
        log.info("effort detect_every=%d fps=%s why=%r", effort.detect_every, rate, why)

    # Telling

    def _answer(self, now: float) -> None:
        """Tell systemd how it goes."""
        systemd, source = self._parts.systemd, self._parts.source
        if self._parts.pipeline.published or (isinstance(source, Guarded) and source.state != "running"):
            systemd.ready()
        systemd.feed(self._progress(now), now)
        if self._is_due("systemd", TELL_SECONDS, now):
            systemd.show(headline(self.document()))

    def _progress(self, now: float) -> tuple[float, ...]:
        """What changes as long as nothing hangs: how many scenes came; and while none is under way, for the camera is
        lost or paused, that it is looked after."""
        pipeline, source = self._parts.pipeline, self._parts.source
        under_way = pipeline.captured - pipeline.published - sum(pipeline.dropped.values())
        if under_way or not isinstance(source, Guarded):
            return (pipeline.published,)
        return pipeline.published, now if source.state == "paused" else source.looks

    def _gist(self) -> tuple[Any, ...]:
        """What is to be told soon when it changes, figures aside."""
        return self._parts.status.gist, _camera(self._parts.source)["camera"]

    def _tell(self) -> None:
        self._told = self._gist()
        self._parts.outlets.show(self.document())

    def document(self) -> Document:
        """The status document."""
        pipeline, camera = self._parts.pipeline, _camera(self._parts.source)
        if camera["camera"]["state"] != "running":
            self._parts.status.unsee()
        now_so = {
            **camera,
            "captured": pipeline.captured,
            "published": pipeline.published,
            "model": of_model(self._classifier.card, self._classifier.sha256),
            "governor": {**asdict(self._governor.effort), "reason": self._governor.reason},
            "settings": _plain(asdict(self._settings)),
            "totals": self._parts.totals.document(),
            **self._parts.outlets.document(),
        }
        return self._parts.status.document(now_so, pipeline.dropped)


def _camera(source: Source) -> Document:
    if not isinstance(source, Guarded):
        return {"camera": {"state": "running", "reason": "", "reopens": 0}}
    state = {"state": source.state, "reason": source.reason, "reopens": source.reopens}
    return {"camera": state, "camera_fps": source.camera_fps}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; none if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _plain(value: Any) -> Any:
    """Settings as JSON can write them."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, Path) else value

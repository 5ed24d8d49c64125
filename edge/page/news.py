"""News: what the daemon told last, for all who watch, and the ten minutes before."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

Document = dict[str, Any]

HISTORY_SECONDS = 600
"""How far back the charts go; one sample a second."""

FRESH_SECONDS = 5.0
"""A status older than this says nothing about now."""

LEFT_OUT = ("settings", "stage_seconds")
"""Of a status document, in what is sent several times a second: large, and seldom wanted."""


class News:
    """The newest status and picture; for the event loop's thread alone.

    status           as the daemon made it, empty before the first
    brief            the same as JSON, without LEFT_OUT
    model, restarts  the file that predictions are made with, and how often this process was started again
    version          counts the status documents
    picture          JPEG; pictures counts them
    watchers         who watch the picture just now; listeners follow the stream
    """

    def __init__(
        self, watchers_changed: Callable[[int], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`watchers_changed` is told the number of watchers when it has changed; `monotonic` gives seconds."""
        self.status: Document = {}
        self.brief = b""
        self.model, self.restarts = "", 0
        self.version = self.pictures = self.watchers = self.listeners = 0
        self.picture = b""
        self.history: deque[Document] = deque(maxlen=HISTORY_SECONDS)
        self._watchers_changed = watchers_changed
        self._monotonic = monotonic
        self._told_at = self._published_at = -float("inf")
        self._told, self._shown = asyncio.Event(), asyncio.Event()

    @property
    def age_seconds(self) -> float:
        """Of the status; infinite before the first."""
        return self._monotonic() - self._told_at

    @property
    def unwell(self) -> str:
        """Why the daemon does not do its work, one sentence; empty when it does, or is paused."""
        if self.age_seconds > FRESH_SECONDS:
            return "the daemon does not answer"
        camera = self.status["camera"]
        if camera["state"] == "paused":
            return ""
        if camera["state"] != "running":
            return f"the camera is {camera['state']}"
        return "" if self._monotonic() - self._published_at <= FRESH_SECONDS else "no pictures are read"

    def told(self, message: bytes) -> None:
        """Take in what Page.show sent."""
        # What is no number in JSON is none here: a browser would refuse the whole document.
        given = json.loads(message, parse_constant=lambda _: None)
        before, self.status = self.status, given["status"]
        self.model, self.restarts = given["model"], given["restarts"]
        now = self._told_at = self._monotonic()
        if before.get("published") != self.status["published"] or before.get("boot") != self.status["boot"]:
            self._published_at = now
        brief = {name: value for name, value in self.status.items() if name not in LEFT_OUT}
        self.brief = to_json(brief)
        self.version += 1
        self._remember(now)
        self._told = _rung(self._told)

    def shown(self, picture: bytes) -> None:
        """Take in what Page.show_picture sent."""
        self.picture = picture
        self.pictures += 1
        self._shown = _rung(self._shown)

    async def next_status(self) -> None:
        """Wait for a newer one."""
        await self._told.wait()

    async def next_picture(self) -> None:
        """Wait for a newer one."""
        await self._shown.wait()

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """One more watches the picture, in this block."""
        self._watch(1)
        try:
            yield
        finally:
            self._watch(-1)

    def _watch(self, more: int) -> None:
        self.watchers += more
        if not self.watchers:
            self.picture = b""  # an old one is not shown to the next
        self._watchers_changed(self.watchers)

    def _remember(self, now: float) -> None:
        if self.history and now - self.history[-1]["at"] < 1:
            return
        status = self.status
        self.history.append(
            {
                "at": now,
                "label": status["label"],
                "group": status["group"],
                "confidence": status["confidence"],
                "faces": len(status["faces"]),
                "fps": status["fps"],
                "age_ms": {name: status["age_ms"].get(name, 0) for name in ("p50", "p95")},
            }
        )

    def past(self) -> list[Document]:
        """The history, oldest first, with `seconds_ago` in place of when it was."""
        now = self._monotonic()
        return [{"seconds_ago": round(now - each["at"], 1)} | _without(each, "at") for each in self.history]


def to_json(document: Any) -> bytes:
    """As compact JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def _without(document: Document, name: str) -> Document:
    return {each: value for each, value in document.items() if each != name}


def _rung(bell: asyncio.Event) -> asyncio.Event:
    """Wake all who wait for `bell`; the one for the next time."""
    bell.set()
    return asyncio.Event()

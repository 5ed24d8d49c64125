"""Outlets: all ways by which events and the status leave the process, as the settings ask."""

import logging
import sys
from collections import deque
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import config
from edge.classifier import model_file
from edge.record import Sink
from edge.sinks import JsonLines

if TYPE_CHECKING:  # each is imported when it is asked for
    from edge.mqtt import Publisher
    from edge.page.host import Page
    from edge.store import Store

log = logging.getLogger("emotion_edge")

Document = dict[str, Any]


class Outlets:
    """Opens what the settings ask for, to be closed by `opened`; EmotionEdgeError for what cannot be.

    sinks   where records go
    page    the web page; none if there is none
    orders  commands of the broker are appended here
    """

    def __init__(self, settings: config.Settings, orders: deque[str], opened: ExitStack) -> None:
        self.sinks: list[Sink] = [opened.enter_context(closing(JsonLines(settings.events.path or sys.stdout)))]
        self.page: Page | None = None
        self._store: Store | None = None
        self._publisher: Publisher | None = None
        if settings.store.path or settings.mqtt.host:
            self._keep(settings.store, opened)
        if settings.mqtt.host and self._store:
            self._publish(settings, self._store, orders, opened)
        if settings.page.address:
            self._serve(settings, opened)

    def show(self, status: Document) -> None:
        """Tell all who want to know."""
        if self._publisher:
            self._publisher.show(status)
        if self.page:
            self.page.show(status)

    @property
    def heard(self) -> bool:
        """Whether anybody wants to know the status."""
        return self._publisher is not None or self.page is not None

    def poll(self) -> None:
        """Look after the page's process; to be called several times a second."""
        if self.page:
            self.page.poll()

    def adopt(self, settings: config.Model) -> None:
        """Predict by another model."""
        if self.page:
            self.page.model = model_file(settings.file)

    def document(self) -> Document:
        """The parts of the status document that are about these."""
        return {"store": self._of_store(), "mqtt": self._of_broker()}

    def _keep(self, settings: config.Store, opened: ExitStack) -> None:
        from edge.store import Store

        if settings.path is None:
            import tempfile

            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="emotion-edge-"))
            settings = replace(settings, path=Path(folder) / "events.db")
            log.warning("events that the broker does not take wait until the end of this run only: set [store] path")
        self._store = opened.enter_context(closing(Store(settings)))
        self.sinks.append(self._store)

    def _publish(self, settings: config.Settings, store: "Store", orders: deque[str], opened: ExitStack) -> None:
        from edge.mqtt import Publisher

        self._publisher = Publisher(settings.mqtt, settings.events.device, store, orders.append)
        opened.enter_context(closing(self._publisher))

    def _serve(self, settings: config.Settings, opened: ExitStack) -> None:
        from edge.page.host import Page

        store = self._store.path if self._store else None
        self.page = opened.enter_context(closing(Page(settings.page, store, model_file(settings.model.file))))

    def _of_store(self) -> Document:
        if self._store is None:
            return {"path": None, "held": 0, "lost": 0, "last_seq": 0}
        store = self._store
        return {"path": str(store.path), "held": store.held, "lost": store.lost, "last_seq": store.committed_seq}

    def _of_broker(self) -> Document:
        if self._publisher is None:
            return {"connected": False, "queue_depth": 0, "dropped": 0, "reason": "no broker is set"}
        return {name: getattr(self._publisher, name) for name in ("connected", "queue_depth", "dropped", "reason")}

"""Publisher: tells an MQTT broker what the daemon sees, and hears its commands, on a thread of its own."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion

from edge import config, discovery
from edge.errors import EmotionEdgeError
from edge.mqtt.link import Link, Wake
from edge.mqtt.login import login
from edge.mqtt.outbox import Outbox
from edge.mqtt.session import LONG_AGO, NEVER, Pace, Session, Trouble
from edge.store import Store

__all__ = ["Pace", "Publisher"]

log = logging.getLogger("emotion_edge")

MISC_SECONDS = 5.0
"""The connection is looked after at least this often."""

HURRY_SHARE = 0.75
"""At a stop the last events have so much of the time; what is left is for "offline"."""


class Publisher:
    """Publishes the store's events and the newest status; connects, and connects again, for as long as it is open.

    An event is published with QoS 1 until the broker acknowledges it, in the order of `seq`, which is its key: after a
    lost connection what was in flight comes again (one event in quiet times, link.WINDOW at most). A broker that has
    acknowledged an event answers for it: a subscriber who wants those that come while it is away needs a session that
    the broker keeps.
    """

    def __init__(
        self,
        settings: config.Mqtt,
        device: str,
        store: Store,
        do: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        """Begins to connect; SettingsError for a password or certificate file that cannot be used.

        device  the name that the settings give this device
        do      is called with each command that comes (session.COMMANDS), on the publisher's thread; returns at once
        """
        self._topics = discovery.topics(settings, device)
        self._login = login(settings, discovery.device_id(device))
        self._do, self._pace = do, pace or Pace()
        self._outbox = Outbox(store)
        self._wake, self._trouble = Wake(), Trouble()
        self._status: Mapping[str, Any] = {}
        self._closing_at = NEVER  # until then, close() waits
        self._version = MQTTProtocolVersion.MQTTv5  # in 3.1.1 nobody tells a publisher that it is denied a topic
        self._up_at = LONG_AGO
        self._delay = self._pace.retry
        if self._login.context is None and settings.host not in config.LOOPBACK:
            log.warning("mqtt: not encrypted, everybody in the network can read it: broker=%s", self._login.place)
        store.listen(self._wake.ring)
        self._thread = Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """The broker has accepted us, and we have not lost it since."""
        return self._up_at > LONG_AGO

    @property
    def reason(self) -> str:
        """What is wrong, for people, one line; empty when all is well."""
        return self._trouble.reason

    @property
    def queue_depth(self) -> int:
        """Events that wait to be acknowledged."""
        return self._outbox.depth

    @property
    def dropped(self) -> int:
        """Events that will never be published, because the store had to let them go first."""
        return self._outbox.dropped

    def show(self, status: Mapping[str, Any]) -> None:
        """The newest status document, which nobody changes any more; returns at once."""
        self._status = status
        self._wake.ring()

    def close(self) -> None:
        """Publish what can be within Pace.closing, then "offline", and disconnect. Before the store is closed."""
        if not self._closing:
            self._closing_at = time.monotonic() + self._pace.closing
        self._wake.ring()
        self._thread.join(self._pace.closing + 1.0)
        if not self._thread.is_alive():  # else a name server holds it up, and it ends with the process
            self._wake.close()

    @property
    def _closing(self) -> bool:
        return self._closing_at < NEVER

    def _run(self) -> None:
        while True:
            try:
                self._connect()
            except Exception as error:  # noqa: BLE001  # the thread's boundary; the next try may do better
                self._trouble.begins(f"a fault in the publisher: {error!r}", "connection")
            if self._closing:
                break
            self._rest()
        self._outbox.close()

    def _connect(self) -> None:
        """One connection, from the first try to its end."""
        link = Link(self._login, self._version, (self._topics.availability, "offline"), self._wake)
        try:
            if link.open(self._pace.answer) and self._accepted(link):
                self._talk(link)
        finally:
            link.close()
            self._outbox.rewind_to_before(time.monotonic())
        if link.outdated and self._version != MQTTProtocolVersion.MQTTv311:
            self._version = MQTTProtocolVersion.MQTTv311
        elif not self._closing:
            self._trouble.begins(link.why, "connection")

    def _accepted(self, link: Link) -> bool:
        """Whether the broker takes us; until then we say nothing."""
        deadline = time.monotonic() + self._pace.answer
        while not link.up:
            left = min(deadline, self._closing_at) - time.monotonic()
            if left <= 0:
                link.why = f"{self._login.place} takes the connection and does not answer: is that a broker?"
            if left <= 0 or not link.step(left):
                return False
        return True

    def _talk(self, link: Link) -> None:
        """From the broker's acceptance to the end."""
        session = Session(link, self._topics, self._outbox, self._do, self._trouble, self._pace)
        self._up_at = now = time.monotonic()
        self._trouble.all_end()
        version, tls = link.version, "yes" if self._login.context else "no"
        self._trouble.say(logging.INFO, f"connected broker={self._login.place} tls={tls} version={version}")
        try:
            while link.step(self._seconds_until(session.due_at(), now)):
                now = time.monotonic()
                session.work(self._status, now)
                if self._closing and self._said_goodbye(session, now):
                    link.leave()
        finally:
            session.settle(time.monotonic())
            if time.monotonic() - self._up_at >= self._pace.lasted:
                self._delay = self._pace.retry
            self._up_at = LONG_AGO

    def _seconds_until(self, due_at: float, now: float) -> float:
        for limit in (self._hurry_at, self._closing_at):
            due_at = min(due_at, limit) if limit > now else due_at
        return min(MISC_SECONDS, max(0.0, due_at - now))

    @property
    def _hurry_at(self) -> float:
        return self._closing_at - self._pace.closing * (1 - HURRY_SHARE)

    def _said_goodbye(self, session: Session, now: float) -> bool:
        return session.leave(in_a_hurry=now >= self._hurry_at) or now >= self._closing_at

    def _rest(self) -> None:
        """Before the next try; meanwhile, count what the store lets go."""
        until = time.monotonic() + min(self._delay * random.uniform(1, 2), self._pace.retry_most)
        self._delay = min(self._delay * 2, self._pace.retry_most / 2)
        while not self._closing and (left := until - time.monotonic()) > 0:
            self._trim()
            self._wake.wait(left)

    def _trim(self) -> None:
        try:
            self._outbox.trim()
        except EmotionEdgeError as error:
            self._trouble.begins(str(error), "store")

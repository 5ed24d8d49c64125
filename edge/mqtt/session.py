"""Session: what is said on one connection to the broker, and when."""

import json
import logging
import platform
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge import board, discovery
from edge.errors import EmotionEdgeError
from edge.mqtt.link import Heard, Link
from edge.mqtt.outbox import Outbox

log = logging.getLogger("emotion_edge")

COMMANDS = ("pause", "resume", "reload", "snapshot-metrics")

STATE_SECONDS = 0.2
"""States are at least this far apart."""

SAME_LINE_SECONDS = 60.0
"""The log has the same line at most this often."""

LONG_AGO, NEVER = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, seconds; tests are in a hurry.

    retry       before the first new try to connect, up to twice as long by chance; each further one waits longer
    retry_most  before any new try
    lasted      a connection that held so long was a good one: the next try does not wait longer than the first
    answer      how long a broker may take to answer
    state       a state is told at least this often
    metrics     how often metrics are told
    birth       Home Assistant, when it starts, is answered within so long: many devices do so at that moment
    denied      how long what the broker, or the store, refuses waits for the next try
    closing     how long a stop may take to say the last events and "offline"
    """

    retry: float = 1.0
    retry_most: float = 120.0
    lasted: float = 10.0
    answer: float = 10.0
    state: float = 30.0
    metrics: float = 60.0
    birth: float = 5.0
    denied: float = 30.0
    closing: float = 2.0


class Trouble:
    """What is wrong, for people; the log has it when it is new, and then once a minute."""

    def __init__(self) -> None:
        self._now = {"connection": "not connected yet"}  # by what it is about
        self._said_at: dict[str, float] = {}

    @property
    def reason(self) -> str:
        """One of those that there are, in one line; empty: all is well."""
        return next(iter(self._now.values()), "")

    def begins(self, reason: str, about: str) -> None:
        """This is wrong, instead of what was with the same thing."""
        self._now = {**self._now, about: reason}  # another thread reads it
        self.say(logging.WARNING, reason)

    def ends(self, about: str) -> None:
        """Nothing is wrong with that any more."""
        if about in self._now:
            self._now = {each: reason for each, reason in self._now.items() if each != about}

    def all_end(self) -> None:
        """A new beginning."""
        self._now = {}

    def say(self, level: int, line: str) -> None:
        """To the log, unless it had the same line within SAME_LINE_SECONDS."""
        now = time.monotonic()
        self._said_at = {said: at for said, at in self._said_at.items() if now - at < SAME_LINE_SECONDS}
        if line not in self._said_at:
            self._said_at[line] = now
            log.log(level, "mqtt: %s", line)


class Session:
    """Says what is due and hears what comes, on the publisher's thread.

    Retained words wait here, the newest for each topic, until the link has room; events wait in the outbox.
    """

    def __init__(
        self,
        link: Link,
        topics: discovery.Topics,
        outbox: Outbox,
        do: Callable[[str], None],
        trouble: Trouble,
        pace: Pace,
    ) -> None:
        self._link, self._topics, self._outbox = link, topics, outbox
        self._do, self._trouble, self._pace = do, trouble, pace
        self._unsaid: dict[str, str] = {}  # by topic
        self._status: Mapping[str, Any] = {}
        self._announced: tuple[Any, ...] = ()  # what the announcement was made of
        self._run = ""
        self._gist: tuple[Any, ...] = ()
        self._stated_at = self._measured_at = self._held_until = LONG_AGO
        self._greet_at = NEVER
        self._leaving = False
        self._welcome = False  # the broker takes our events; until we know, they go one by one, to stay in order
        link.listen([each for each in (topics.command, topics.availability, topics.birth) if each])
        self._greet()

    def _greet(self) -> None:
        """Say all that is retained: a broker that was killed has forgotten it."""
        self._greet_at, self._stated_at = NEVER, LONG_AGO
        self._announced, self._run = (), ""
        self._unsaid[self._topics.availability] = "online"

    def work(self, status: Mapping[str, Any], now: float) -> None:
        """Hear what came, say what is due and fits. `status`: the newest; empty if there is none yet."""
        self._hear(now)
        self.settle(now)
        if not self._leaving:
            self._compose(status, now)
        self._say()
        if now >= self._held_until:
            self._send(now)

    def _compose(self, status: Mapping[str, Any], now: float) -> None:
        """What is due besides events."""
        if now >= self._greet_at:
            self._greet()
        if status:
            self._status = status
            self._announce()
            self._state(now)
            self._measure(now)

    def due_at(self) -> float:
        """When there is something to do even if nothing comes."""
        if self._leaving:
            return NEVER
        held = self._held_until if self._held_until > LONG_AGO else NEVER
        if not self._status:
            return min(self._greet_at, held)
        state_seconds = STATE_SECONDS if discovery.gist(self._status) != self._gist else self._pace.state
        return min(self._stated_at + state_seconds, self._measured_at + self._pace.metrics, self._greet_at, held)

    def leave(self, in_a_hurry: bool) -> bool:
        """Say "offline" once the events are out, or without waiting for them; True when the broker has heard it."""
        if not self._leaving and (in_a_hurry or not self._outbox.depth):
            self._leaving = True
            self._held_until = NEVER
            self._unsaid = {self._topics.availability: "offline"}
            self._say()
        return self._leaving and not self._unsaid and self._link.idle

    def _hear(self, now: float) -> None:
        for topic in self._link.denied:
            self._trouble.begins(f"the broker does not let us listen to {topic}: allow it there", topic)
        self._link.denied.clear()
        while self._link.heard:
            heard = self._link.heard.popleft()
            if heard.retained:  # an old command, or what we have just answered by connecting
                if heard.topic == self._topics.command:
                    self._trouble.say(logging.WARNING, f"a retained command was passed over: {_quoted(heard)}")
            elif heard.topic == self._topics.command:
                self._obey(heard, now)
            elif heard.topic == self._topics.birth and heard.payload == b"online":
                self._greet_at = min(self._greet_at, now + random.uniform(0, self._pace.birth))
            elif heard.topic == self._topics.availability and heard.payload == b"offline" and not self._leaving:
                # The will of a connection of before that the broker has only now given up.
                self._unsaid[heard.topic] = "online"

    def _obey(self, heard: Heard, now: float) -> None:
        command = heard.payload.decode("ascii", "replace")
        if command not in COMMANDS:
            self._trouble.say(logging.WARNING, f"unknown command {_quoted(heard)}: there are: {', '.join(COMMANDS)}")
            return
        log.info("mqtt command=%s", command)
        if command == "snapshot-metrics":
            self._measured_at = LONG_AGO
        self._do(command)

    def settle(self, now: float) -> None:
        """Keep account of what the broker has acknowledged or refused."""
        while self._link.landed:
            key, refusal = self._link.landed.popleft()
            topic = self._topics.event if isinstance(key, int) else str(key)
            if refusal:
                reason = f"the broker refuses what we publish on {topic}: {refusal}; allow it there"
                self._trouble.begins(reason, topic)
            else:
                self._trouble.ends(topic)
            if isinstance(key, int) and refusal:
                self._hold(now)
            elif isinstance(key, int):
                self._welcome = self._outbox.landed(key, now) or self._welcome
            elif refusal:
                self._greet_at = min(self._greet_at, now + self._pace.denied)

    def _hold(self, now: float) -> None:
        """The events wait; the rest goes on."""
        self._held_until, self._welcome = now + self._pace.denied, False
        self._outbox.rewind()

    def _announce(self) -> None:
        """The entities, and whether it runs, where they changed."""
        of = self._status["device"], self._status["version"], self._status["model"]
        if of != self._announced and self._topics.announcement:
            entities = discovery.announcement(self._status, self._topics, board.model() or platform.machine())
            self._unsaid[self._topics.announcement] = _json(entities)
        self._announced = of
        if (run := discovery.run_state(self._status)) != self._run:
            self._run = self._unsaid[self._topics.run] = run

    def _state(self, now: float) -> None:
        gist = discovery.gist(self._status)
        if now - self._stated_at >= (STATE_SECONDS if gist != self._gist else self._pace.state):
            self._gist, self._stated_at = gist, now
            self._unsaid[self._topics.state] = _json(discovery.state(self._status))

    def _measure(self, now: float) -> None:
        if now - self._measured_at >= self._pace.metrics:
            self._measured_at = now
            self._link.toss(self._topics.metrics, _json(discovery.metrics(self._status)))

    def _say(self) -> None:
        while self._unsaid and self._link.room > 0:
            topic = next(iter(self._unsaid))
            self._link.publish(topic, self._unsaid.pop(topic), retain=True, key=topic)

    def _send(self, now: float) -> None:
        """As many events as the link has room for."""
        self._held_until = LONG_AGO
        try:
            while self._fits() and (record := self._outbox.take()):
                self._link.publish(self._topics.event, record.line, retain=False, key=record.seq)
        except EmotionEdgeError as error:
            self._trouble.begins(str(error), "store")
            self._hold(now)
        else:
            self._trouble.ends("store")

    def _fits(self) -> bool:
        return self._link.room > 0 and (self._welcome or not self._outbox.in_flight)


def _quoted(heard: Heard) -> str:
    return repr(heard.payload[:40])[1:]


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)

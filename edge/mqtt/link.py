"""Link: one connection to an MQTT broker, driven by its owner's own thread."""

import select
import socket
import ssl
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.mqtt.login import Login, why_not

WINDOW = 20
"""At most so many publications wait for the broker's acknowledgement: what mosquitto takes by default, and the most
duplicates that a lost connection can cause."""

KEEPALIVE_SECONDS = 20
"""The broker hears of us this often, or says "offline" for us after half as long again."""


class Wake:
    """Ends the wait of the one thread that waits for sockets; rung from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)

    def fileno(self) -> int:
        return self._ear.fileno()

    def ring(self) -> None:
        """Never waits; after close() nothing hears it."""
        with self._lock, suppress(BlockingIOError, OSError):  # it rings already, or was closed
            self._bell.send(b"\0")

    def hush(self) -> None:
        """Forget the rings so far."""
        with suppress(BlockingIOError):
            while self._ear.recv(4096):
                pass

    def wait(self, seconds: float) -> None:
        """Until it rings, that long at most."""
        select.select([self._ear], [], [], seconds)
        self.hush()

    def close(self) -> None:
        """Only when nobody waits any more."""
        with self._lock:
            self._ear.close()
            self._bell.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """A message from the broker; `retained`: it is an old one, kept for those who come later."""

    topic: str
    payload: bytes
    retained: bool


class Link:
    """From open() to the end of one connection; what was heard and acknowledged lies in `heard` and `landed`.

    up        the broker has accepted us
    why       why it ended or was refused, for people; empty as long as it works
    outdated  the broker refuses version 5
    heard     messages, the oldest first; the owner takes them out
    landed    keys of acknowledged publications with the broker's refusal in words, empty for none; likewise
    denied    topics that the broker does not let us listen to

    paho's client does the protocol, on the thread that calls step(); its callbacks only note things here. Its own
    queue stays empty, so what is in flight ends with the link.
    """

    def __init__(self, login: Login, version: MQTTProtocolVersion, will: tuple[str, str], wake: Wake) -> None:
        """`will` is a topic and what the broker says there, retained, should we vanish."""
        self.up, self.outdated, self.why = False, False, ""
        self.heard: deque[Heard] = deque()
        self.landed: deque[tuple[Hashable, str]] = deque()
        self.denied: list[str] = []
        self._login, self._version, self._wake = login, version, wake
        self._flying: dict[int, Hashable] = {}
        self._window = WINDOW
        self._asked: dict[int, Sequence[str]] = {}
        self._client = self._made(will)

    def _made(self, will: tuple[str, str]) -> Client:
        login = self._login
        client = Client(
            CallbackAPIVersion.VERSION2, login.client_id, protocol=self._version, reconnect_on_failure=False
        )
        client.max_inflight_messages = 0  # no limit of its own: ours is `room`
        client.username_pw_set(login.user, login.password)
        client.will_set(*will, qos=1, retain=True)
        if login.context:
            client.tls_set_context(login.context)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_message
        return client

    @property
    def room(self) -> int:
        """So many publications may be sent now."""
        return self._window - len(self._flying) if self.up else 0

    @property
    def idle(self) -> bool:
        """Everything sent was acknowledged."""
        return not self._flying and not self._client.want_write()

    @property
    def version(self) -> str:
        """Of the protocol."""
        return "5" if self._version == MQTTProtocolVersion.MQTTv5 else "3.1.1"

    def open(self, seconds: float) -> bool:
        """Connect and ask to be accepted; False when there is no connection within `seconds` for each step of it."""
        self._client.connect_timeout = seconds
        try:
            self._client.connect(self._login.host, self._login.port, KEEPALIVE_SECONDS)
        except (OSError, ValueError) as error:
            self.why = why_not(error, self._login)
            return False
        sock = self._client.socket()
        if isinstance(sock, socket.socket):  # small messages go at once, not after the acknowledgement of the last
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def step(self, seconds: float) -> bool:
        """Wait for the broker or a ring, `seconds` at most, and do what is due; False when the link has ended."""
        sock = self._client.socket()
        if sock is None:
            return False
        self._await(sock, 0.0 if _pending(sock) else seconds)
        while self._client.socket() is not None:
            self._client.loop_read()
            if not _pending(self._client.socket()):
                break
        if self._client.want_write():
            self._client.loop_write()
        self._client.loop_misc()
        return self._client.socket() is not None

    def _await(self, sock: Any, seconds: float) -> None:
        ready = select.poll()
        ready.register(self._wake, select.POLLIN)
        ready.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        ready.poll(seconds * 1000)
        self._wake.hush()

    def publish(self, topic: str, payload: bytes | str, retain: bool, key: Hashable) -> None:
        """Send with QoS 1; `key` comes back in `landed`. Only while there is room."""
        sent = self._client.publish(topic, payload, 1, retain)
        self._flying[sent.mid] = key

    def toss(self, topic: str, payload: bytes | str) -> None:
        """Send with QoS 0, not retained: nobody says whether it arrived."""
        self._client.publish(topic, payload)

    def listen(self, topics: Sequence[str]) -> None:
        """Ask for what others say on these topics."""
        asked: list[Any] = [(topic, 1) for topic in topics]
        if self._version == MQTTProtocolVersion.MQTTv5:
            asked = [(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in topics]
        _, mid = self._client.subscribe(asked)
        if mid is not None:
            self._asked[mid] = topics

    def leave(self) -> None:
        """Say goodbye, so that the broker does not say the will."""
        self._client.disconnect()

    def close(self) -> None:
        """Drop the connection, if there is one; without leave() before, the broker says the will."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _on_connect(self, _: Client, __: Any, ___: ConnectFlags, code: ReasonCode, found: Properties | None) -> None:
        if code.is_failure:
            self.why = f"the broker refuses the connection: {_words(code, found)}"
            self.outdated = code.getName() == "Unsupported protocol version"
            if "uthorized" in self.why or "user name" in self.why:
                self.why += "; check [mqtt] user and password_file"
        else:
            self.up = True
            self._window = min(WINDOW, getattr(found, "ReceiveMaximum", WINDOW))

    def _on_disconnect(
        self, _: Client, __: Any, flags: DisconnectFlags, code: ReasonCode, found: Properties | None
    ) -> None:
        encrypted = "no TLS" if self._login.context else "TLS"
        if self.why:
            pass  # we know better
        elif flags.is_disconnect_packet_from_server:
            self.why = f"the broker ended the connection: {_words(code, found)}"
        elif self.up:
            self.why = "the connection was lost"
        else:
            self.why = f"the broker hung up without a word: does it expect {encrypted} there? See [mqtt] tls and port"
        self.up = False

    def _on_publish(self, _: Client, __: Any, mid: int, code: ReasonCode, found: Properties | None) -> None:
        if mid in self._flying:
            self.landed.append((self._flying.pop(mid), _words(code, found) if code.is_failure else ""))

    def _on_subscribe(self, _: Client, __: Any, mid: int, codes: list[ReasonCode], ___: Properties | None) -> None:
        topics = self._asked.pop(mid, ())
        self.denied += [topic for topic, code in zip(topics, codes, strict=False) if code.is_failure]

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))


def _pending(sock: Any) -> bool:
    """Whether TLS holds bytes that no poll tells of."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _words(code: ReasonCode, found: Properties | None) -> str:
    """The broker's own words, on one line."""
    more = "".join(each for each in getattr(found, "ReasonString", "") if each.isprintable())[:200]
    return f"{code} ({more})" if more else str(code)

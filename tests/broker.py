"""A real mosquitto on a port of this machine, with TLS and passwords where wanted; and one who listens to it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import SHUT_RDWR, SHUT_WR, create_connection, create_server, socket
from threading import Condition, Event, Thread
from typing import Any

import pytest
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
MOSQUITTO = shutil.which("mosquitto", path=PLACES)

PATIENCE_SECONDS = 30
"""Whoever waits longer than this waits for something that does not come."""

USER, PASSWORD = "edge", "s3cret: Ünïcode"

ACCESS = """
user edge
topic readwrite emotion-edge/#
topic readwrite homeassistant/#
user viewer
topic readwrite #
user mute
topic readwrite emotion-edge/+/availability
topic readwrite emotion-edge/+/state
"""
"""Who may do what: `mute` may not publish events."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate authority of our own, and what it signed for the broker."""

    authority: Path
    key: Path
    good: Path
    expired: Path
    elsewhere: Path
    """For another name."""


def openssl(folder: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made by openssl, good for two days."""
    folder = tmp_path_factory.mktemp("certificates")
    here, there = "subjectAltName=DNS:localhost,IP:127.0.0.1", "subjectAltName=DNS:elsewhere.invalid"
    for name in ("authority", "broker"):
        openssl(folder, f"ecparam -name prime256v1 -genkey -noout -out {name}.key")
    openssl(folder, "req -x509 -new -key authority.key -subj /CN=authority -days 2 -out authority.pem")
    for name, names, days in (("good", here, "2"), ("expired", here, "-1"), ("elsewhere", there, "2")):
        openssl(folder, f"req -new -key broker.key -subj /CN=broker -out asked -addext {names}")
        sign = "x509 -req -in asked -CA authority.pem -CAkey authority.key -CAcreateserial -copy_extensions copy"
        openssl(folder, f"{sign} -days {days} -out {name}.pem")
    made = [folder / f"{name}.pem" for name in ("authority", "good", "expired", "elsewhere")]
    return Certificates(made[0], folder / "broker.key", *made[1:])


class Broker:
    """One mosquitto, which can be killed and started again on the same port."""

    def __init__(self, folder: Path, lines: tuple[str, ...], secret: bool, lasting: bool) -> None:
        """`lines` for its configuration; `secret`: it wants a password, and knows ACCESS; `lasting`: what it holds for
        a listener outlives it."""
        folder.mkdir()
        with create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._configuration = folder / "mosquitto.conf"
        if secret:
            lines = (*lines, *self._secrets(folder))
        if lasting:
            # Without limits it writes a message to a listener that is there before it acknowledges it to the publisher.
            limits = "max_inflight_messages 0", "max_queued_messages 0", "queue_qos0_messages true"
            saving = "persistence true", f"persistence_location {folder}/", "autosave_on_changes true"
            lines = (*lines, *limits, *saving, "autosave_interval 1")
        if os.getuid() == 0:
            lines = (*lines, "user root")
        own = f"listener {self.port} 127.0.0.1", "log_dest stderr", f"allow_anonymous {str(not secret).lower()}"
        self._configuration.write_text("\n".join([*own, *lines, ""]))
        self.said: list[str] = []
        self._ready = Event()
        self._process: subprocess.Popen[str] | None = None

    def tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def reconfigure(self, access: str) -> None:
        """Who may do what, from now on."""
        self._configuration.with_name("access").write_text(access)
        self.tell(signal.SIGHUP)

    @staticmethod
    def _secrets(folder: Path) -> tuple[str, str]:
        passwords, access = folder / "passwords", folder / "access"
        passwords.touch(0o600)
        for user, password in ((USER, PASSWORD), ("viewer", "v1ew"), ("mute", PASSWORD)):
            subprocess.run(["mosquitto_passwd", "-b", passwords, user, password], check=True, timeout=60)
        access.write_text(ACCESS)
        access.chmod(0o600)
        return f"password_file {passwords}", f"acl_file {access}"

    def start(self) -> None:
        """Returns when it takes connections."""
        assert MOSQUITTO and self._process is None
        self._ready.clear()
        command = [MOSQUITTO, "-c", str(self._configuration)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
        self._reader = Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        assert self._ready.wait(PATIENCE_SECONDS), self.said

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.said.append(line)
                if line.rstrip().endswith("running"):
                    self._ready.set()

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Killed, by SIGKILL, it has no time to save anything."""
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(PATIENCE_SECONDS)
            self._reader.join(PATIENCE_SECONDS)
        self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Makes brokers, as Broker() does; they end with the test."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made: list[Broker] = []

    def make(*lines: str, secret: bool = False, lasting: bool = False, started: bool = True) -> Broker:
        made.append(Broker(tmp_path / f"broker{len(made)}", lines, secret, lasting))
        if started:
            made[-1].start()
        return made[-1]

    yield make
    for broker in made:
        broker.end()


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes
    retained: bool
    qos: int
    at: float
    """When it came, seconds of time.monotonic()."""


class Listener:
    """Keeps what comes on all topics; connects again by itself, and the broker keeps its session meanwhile.

    With `qos` 0 it acknowledges nothing, and so reads to its end what a broker wrote before it was killed: whoever has
    just written to a dead peer loses what it has not read yet.
    """

    def __init__(
        self, broker: Broker, topic: str = "#", authority: Path | None = None, secret: bool = False, qos: int = 1
    ) -> None:
        self.messages: list[Message] = []
        self._topic, self._qos = topic, qos
        self._changed = Condition()
        self._there = False
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            f"listener-{id(self)}",
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        if authority:
            self._client.tls_set(str(authority))
        if secret:
            self._client.username_pw_set("viewer", "v1ew")
        self._client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]  # seconds; fractions do work
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_subscribe, self._client.on_message = self._on_subscribe, self._on_message
        self._client.connect("localhost", broker.port)
        self._client.loop_start()
        self.await_presence()

    def _on_connect(self, client: Client, _: Any, __: ConnectFlags, code: ReasonCode, ___: Properties | None) -> None:
        assert not code.is_failure, code
        client.subscribe(self._topic, self._qos)

    def _on_subscribe(self, *_: Any) -> None:
        with self._changed:
            self._there = True
            self._changed.notify_all()

    def _on_disconnect(self, *_: Any) -> None:
        with self._changed:
            self._there = False
            self._changed.notify_all()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        with self._changed:
            self.messages.append(
                Message(message.topic, bytes(message.payload), message.retain, message.qos, time.monotonic())
            )
            self._changed.notify_all()

    def await_presence(self) -> None:
        """Until the broker has us among its listeners."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._there, PATIENCE_SECONDS), "the listener found no broker"

    def await_absence(self) -> None:
        """Until we have noticed that the broker is gone."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._there, PATIENCE_SECONDS)

    def until(self, true: Callable[[list[Message]], Any]) -> list[Message]:
        """All messages so far, once this is true of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: true(self.messages), PATIENCE_SECONDS), self.messages[-10:]
            return list(self.messages)

    def say(self, topic: str, payload: str, retain: bool = False) -> None:
        """Publish; returns when the broker has it."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_SECONDS)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Makes listeners, as Listener() does; they end with the test."""
    made: list[Listener] = []

    def start(*words: Any, **options: Any) -> Listener:
        made.append(Listener(*words, **options))
        return made[-1]

    yield start
    for listener in made:
        listener.close()


class OldDoor:
    """In front of a broker: turns version 5 away, as brokers do that know only 3.1.1, and lets 3.1.1 through."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._server = create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.turned_away = 0
        self._sockets = [self._server]
        Thread(target=self._stand, daemon=True).start()

    def _stand(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self._server.accept()
                self._sockets.append(guest)
                hello = guest.recv(4096)
                version = hello[hello.index(b"MQTT") + 4]
                if version == 5:
                    self.turned_away += 1
                    guest.sendall(b"\x20\x02\x00\x01")
                    guest.close()
                else:
                    self._let_in(guest, hello)

    def _let_in(self, guest: socket, hello: bytes) -> None:
        inside = create_connection(("127.0.0.1", self._broker.port))
        self._sockets.append(inside)
        inside.sendall(hello)
        for one, other in ((guest, inside), (inside, guest)):
            Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket, other: socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(SHUT_WR)

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(SHUT_RDWR)
            each.close()

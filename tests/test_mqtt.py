"""The publisher with a real mosquitto: nothing lost, nothing claimed that is not so, and every trouble in one line."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from socket import create_server
from threading import enumerate as enumerate_threads
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edge import config
from edge.errors import SettingsError
from edge.mqtt import Pace, Publisher
from edge.mqtt.link import WINDOW, Link, Wake
from edge.mqtt.login import login
from edge.mqtt.outbox import CONSUMER, DOUBT_RECORDS, Outbox
from edge.record import Recorder
from edge.store import Store
from tests.broker import (
    ACCESS,
    PASSWORD,
    PATIENCE_SECONDS,
    USER,
    Broker,
    Certificates,
    Listener,
    Message,
    OldDoor,
    certificates,
    listen,
    mosquitto,
)
from tests.test_discovery import announced, check, status
from tests.test_record import EVENT, MODEL

__all__ = ["certificates", "listen", "mosquitto"]  # fixtures

BASE = "emotion-edge/emo_kitchen"

HURRY = Pace(retry=0.05, retry_most=0.2, birth=0.05, denied=0.1)
"""A test does not wait for minutes."""


class Device:
    """What the daemon has to do with a broker: a recorder, its store, a publisher."""

    def __init__(
        self,
        folder: Path,
        settings: config.Mqtt,
        pace: Pace = HURRY,
        name: str = "emo kitchen",
        keep_mb: float = 64.0,
    ) -> None:
        self.store = Store(config.Store(path=folder / f"{name}.db", keep_mb=keep_mb))
        self._recorder = Recorder(name, MODEL, [self.store])
        self.commands: list[str] = []
        try:
            self.publisher = Publisher(settings, name, self.store, self.commands.append, pace)
        except BaseException:
            self.store.close()
            raise

    def happens(self, times: int = 1) -> None:
        """So many events."""
        for _ in range(times):
            self._recorder.write(EVENT)

    def close(self) -> None:
        self.publisher.close()
        self.store.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Callable[..., Device]]:
    """Makes devices, as Device() does; they stop with the test."""
    made: list[Device] = []

    def make(settings: config.Mqtt | int, **options: Any) -> Device:
        given = config.Mqtt(host="localhost", port=settings) if isinstance(settings, int) else settings
        made.append(Device(tmp_path, given, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def until(true: Callable[[], object]) -> None:
    """Wait until this is so; that it is not, in the end, is a failure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def said(messages: list[Message], topic: str) -> list[str]:
    """What was said on a topic of the device."""
    return [message.payload.decode() for message in messages if message.topic == f"{BASE}/{topic}"]


def sequence(messages: list[Message]) -> list[int]:
    return [json.loads(payload)["seq"] for payload in said(messages, "event")]


def event(seq: int) -> Callable[[list[Message]], bool]:
    """Tells whether this event has come; looks at each message once."""
    looked = 0

    def true(messages: list[Message]) -> bool:
        nonlocal looked
        fresh, looked = messages[looked:], len(messages)
        return seq in sequence(fresh)

    return true


def test_who_comes_finds_all_that_is_to_know(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    here = device(broker.port)
    here.publisher.show(status(label="happy"))
    listen(broker).until(lambda messages: said(messages, "state"))
    late = listen(broker)
    kept = late.until(lambda messages: len(messages) == 4)
    assert all(message.retained and message.qos == 1 for message in kept)
    assert said(kept, "availability") == ["online"] and said(kept, "run") == ["ON"]
    assert json.loads(said(kept, "state")[0])["label"] == "happy"
    (announcement,) = (each.payload for each in kept if each.topic == "homeassistant/device/emo_kitchen/config")
    shown = json.loads(announcement)
    assert shown["dev"].pop("mdl")
    ours = announced()
    ours["device"].pop("model")
    check(ours)
    assert shown["cmps"].keys() == ours["components"].keys() and shown["dev"]["name"] == ours["device"]["name"]
    assert here.publisher.connected and here.publisher.reason == ""


def test_events_come_once_each_in_order_and_are_not_retained(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    here.happens(500)
    messages = listener.until(event(500))
    assert sequence(messages) == list(range(1, 501))
    assert json.loads(said(messages, "event")[0])["label"] == EVENT.label
    assert all(each.qos == 1 and not each.retained for each in messages if each.topic.endswith("/event"))
    until(lambda: here.publisher.queue_depth == 0)
    assert listen(broker).until(lambda messages: messages) and here.publisher.dropped == 0
    assert not said(listen(broker).until(lambda messages: messages), "event")


@pytest.mark.parametrize(("kills", "events"), [(3, 200), pytest.param(20, 2000, marks=pytest.mark.long)])
def test_a_broker_that_is_killed_again_and_again_costs_no_event(
    mosquitto: Callable[..., Broker],
    listen: Callable[..., Listener],
    device: Callable[..., Device],
    certificates: Certificates,
    tmp_path: Path,
    kills: int,
    events: int,
) -> None:
    """With TLS and a password. The listener, which the broker kills off as well, drops what it has seen, by seq."""
    broker = mosquitto(*tls(certificates), "log_type all", secret=True, lasting=True)
    listener = listen(broker, authority=certificates.authority, secret=True, qos=0)
    here = device(secure(broker, certificates, tmp_path))
    here.publisher.show(status())
    returns: list[float] = []
    for kill in range(kills):
        before = len(listener.messages)
        here.happens(events // (kills + 1))
        seen = before + 1 + 7 * kill % (events // (kills + 1))  # in the midst of them, each time elsewhere
        listener.until(so_many(seen))
        broker.end(signal.SIGKILL)
        listener.await_absence()
        broker.start()
        began = time.monotonic()
        listener.await_presence()
        listener.until(online_since(began))
        returns.append(time.monotonic() - began)
    here.happens(events - kills * (events // (kills + 1)))
    messages = listener.until(event(events))
    came = sequence(messages)
    assert list(dict.fromkeys(came)) == list(range(1, events + 1))
    assert max(returns) < 5, returns
    assert here.publisher.dropped == 0
    until(lambda: here.publisher.queue_depth == 0)
    ours = published(broker) - events
    print(f"kills={kills} slowest return {max(returns):.2f} s; repeated by us {ours}, by anybody {len(came) - events}")
    assert 0 <= ours <= kills * (WINDOW + DOUBT_RECORDS)


def published(broker: Broker) -> int:
    """How many events the broker was given, by its own log."""
    return sum("Received PUBLISH from emo_kitchen" in line and "/event'" in line for line in broker.said)


def so_said(topic: str, words: list[str]) -> Callable[[list[Message]], bool]:
    return lambda messages: said(messages, topic) == words


def so_many(count: int) -> Callable[[list[Message]], bool]:
    return lambda messages: len(messages) >= count


def online_since(moment: float) -> Callable[[list[Message]], bool]:
    """Tells whether the entities are available again."""
    online = f"{BASE}/availability", b"online"
    return lambda messages: any((each.topic, each.payload) == online for each in messages if each.at >= moment)


def test_in_quiet_times_a_lost_connection_repeats_one_event_at_most(
    mosquitto: Callable[..., Broker],
    listen: Callable[..., Listener],
    device: Callable[..., Device],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.mqtt.outbox.DOUBT_SECONDS", 0.0)  # the last event lies longer back than that
    broker = mosquitto("log_type all", lasting=True)
    listener, here = listen(broker, qos=0), device(broker.port)
    kills = 3
    for kill in range(1, kills + 1):
        here.happens()
        listener.until(event(kill))
        broker.end(signal.SIGKILL)
        listener.await_absence()
        broker.start()
        listener.await_presence()
    here.happens()
    came = sequence(listener.until(event(kills + 1)))
    assert list(dict.fromkeys(came)) == list(range(1, kills + 2))
    assert published(broker) <= kills + 1 + kills


def tls(certificates: Certificates, certificate: str = "good") -> tuple[str, ...]:
    return f"certfile {getattr(certificates, certificate)}", f"keyfile {certificates.key}"


def secure(broker: Broker, certificates: Certificates, folder: Path, **changes: Any) -> config.Mqtt:
    """Settings with TLS and the right password."""
    secret = folder / "password"
    secret.write_text(PASSWORD + "\nand no more\n")
    usual = config.Mqtt("localhost", broker.port, True, certificates.authority, USER, secret)
    return replace(usual, **changes)


def test_events_wait_for_a_broker_that_is_not_there_at_the_start(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto(lasting=True)
    listener = listen(broker)  # the broker remembers it
    broker.end()
    here = device(broker.port)
    here.happens(50)
    until(lambda: "no broker listens at localhost" in here.publisher.reason)
    assert not here.publisher.connected and here.publisher.queue_depth == 50
    here.close()  # nobody has heard them; the next life of the daemon says them
    again = device(broker.port)
    again.happens()
    broker.start()
    assert sequence(listener.until(event(51))) == list(range(1, 52))
    assert again.publisher.connected


def test_what_was_acknowledged_is_not_said_again_by_the_next_life(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener = listen(broker)
    for life in range(3):
        here = device(broker.port)
        here.happens(10)
        here.close()
        listener.until(so_said("availability", ["online", "offline"] * (life + 1)))
    assert sequence(listener.messages) == list(range(1, 31))


def test_what_the_store_had_to_let_go_is_counted(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto(lasting=True)
    listener = listen(broker)
    here = device(broker.port, keep_mb=1.0)
    here.happens()
    listener.until(event(1))
    broker.end()
    here.happens(4000)
    until(lambda: here.store.committed_seq == 4001)
    broker.start()
    came = list(dict.fromkeys(sequence(listener.until(event(4001)))))
    until(lambda: here.publisher.queue_depth == 0)
    assert came == [1, *range(came[1], 4002)]
    assert here.publisher.dropped == 4001 - len(came) > 100


def test_a_broker_that_takes_the_connection_and_says_nothing_is_no_broker(device: Callable[..., Device]) -> None:
    with create_server(("127.0.0.1", 0)) as mute:
        here = device(mute.getsockname()[1], pace=replace(HURRY, answer=0.2))
        until(lambda: "does not answer" in here.publisher.reason)
        assert not here.publisher.connected


def test_a_broker_that_says_nothing_does_not_hold_up_the_end(device: Callable[..., Device]) -> None:
    with create_server(("127.0.0.1", 0)) as mute:
        here = device(mute.getsockname()[1], pace=replace(HURRY, answer=1000.0, closing=0.2))
        guest, _ = mute.accept()
        with guest:
            here.close()
            assert not any(each.name == "mqtt" for each in enumerate_threads())


def test_an_acknowledgement_with_the_last_breath_of_a_broker_counts(device: Callable[..., Device]) -> None:
    """A peer that speaks just enough of version 5; a real broker cannot be made to die right there."""
    with create_server(("127.0.0.1", 0)) as server:
        here = device(server.getsockname()[1])
        here.happens()
        guest, _ = server.accept()
        with guest:
            guest.sendall(b"\x20\x03\x00\x00\x00")  # accepted
            heard, topic = b"", f"{BASE}/event".encode()
            while topic not in heard or not heard.endswith(b"}"):
                heard += guest.recv(4096)
            number = heard[heard.index(topic) + len(topic) :][:2]
            guest.sendall(b"\x40\x02" + number)
    until(lambda: not here.publisher.connected and here.publisher.queue_depth == 0)


@pytest.mark.parametrize(("most", "room"), [(3, 3), (500, WINDOW)])
def test_no_more_is_in_flight_than_the_broker_wants(mosquitto: Callable[..., Broker], most: int, room: int) -> None:
    where = login(config.Mqtt("localhost", mosquitto(f"max_inflight_messages {most}").port), "kitchen")
    with closing(Wake()) as wake, closing(Link(where, MQTTProtocolVersion.MQTTv5, ("a", ""), wake)) as link:
        assert link.room == 0 and link.open(PATIENCE_SECONDS)
        until(lambda: link.step(0.1) and link.up)
        assert link.room == room
        link.publish("a", "1", retain=False, key="first")
        link.publish("a", "2", retain=False, key="second")
        assert link.room == room - 2 and not link.idle
        until(lambda: link.step(0.1) and link.idle)
        assert list(link.landed) == [("first", ""), ("second", "")] and link.room == room


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"\x20\x7f", b"\x40\x02\x00\x01", b""]
)
def test_an_answer_that_is_no_mqtt_is_a_refusal(device: Callable[..., Device], answer: bytes) -> None:
    with create_server(("127.0.0.1", 0)) as stranger:
        here = device(stranger.getsockname()[1], pace=replace(HURRY, answer=0.5))
        for _ in range(3):
            guest, _ = stranger.accept()
            with guest:
                guest.recv(4096)
                guest.sendall(answer)
        until(lambda: here.publisher.reason not in ("", "not connected yet"))
        assert not here.publisher.connected
        assert "fault" not in here.publisher.reason


def test_a_wrong_password_is_no_connection_and_is_told_once_in_the_brokers_words(
    mosquitto: Callable[..., Broker],
    listen: Callable[..., Listener],
    device: Callable[..., Device],
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = mosquitto(*tls(certificates), secret=True)
    listener = listen(broker, authority=certificates.authority, secret=True)
    wrong = tmp_path / "wrong"
    wrong.write_text("sesame-0pen\n")
    here = device(secure(broker, certificates, tmp_path, password_file=wrong))
    here.publisher.show(status())

    def refusals() -> int:
        assert not here.publisher.connected
        return sum("not authorised" in line for line in broker.said)

    until(lambda: refusals() >= 4)
    assert "Not authorized" in here.publisher.reason and "[mqtt] user and password_file" in here.publisher.reason
    lines = [each.getMessage() for each in caplog.records]
    assert sum("Not authorized" in line for line in lines) == 1 and not any(
        "connected broker" in line for line in lines
    )
    assert "sesame" not in caplog.text and "sesame" not in here.publisher.reason
    assert listener.messages == []


@pytest.mark.parametrize(
    ("certificate", "trusted", "complaint"),
    [
        ("good", False, r"not trusted: nobody we trust has signed it \(.*\): set \[mqtt\] ca_file"),
        ("expired", True, r"not trusted: its certificate has expired: renew it"),
        ("elsewhere", True, r"not trusted: its certificate is for another name: set \[mqtt\] host"),
    ],
    ids=["a wrong authority", "an expired certificate", "another name"],
)
def test_a_certificate_that_is_not_the_brokers_is_no_connection(
    mosquitto: Callable[..., Broker],
    device: Callable[..., Device],
    certificates: Certificates,
    tmp_path: Path,
    certificate: str,
    trusted: bool,
    complaint: str,
) -> None:
    broker = mosquitto(*tls(certificates, certificate), secret=True)
    authority = certificates.authority if trusted else None
    here = device(secure(broker, certificates, tmp_path, ca_file=authority))
    until(lambda: re.search(complaint, here.publisher.reason))
    assert not here.publisher.connected
    assert not any("New client connected" in line for line in broker.said)


def test_tls_and_the_right_password_connect(
    mosquitto: Callable[..., Broker],
    device: Callable[..., Device],
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "emotion_edge")
    broker = mosquitto(*tls(certificates), secret=True)
    here = device(secure(broker, certificates, tmp_path))
    until(lambda: here.publisher.connected)
    assert here.publisher.reason == ""
    assert "tls=yes version=5" in caplog.text and PASSWORD not in caplog.text


def test_one_that_speaks_tls_and_one_that_does_not_say_so(
    mosquitto: Callable[..., Broker], device: Callable[..., Device], certificates: Certificates, tmp_path: Path
) -> None:
    plain, coded = mosquitto(), mosquitto(*tls(certificates))
    to_plain = device(secure(plain, certificates, tmp_path), name="to plain")
    to_coded = device(coded.port, name="to coded")
    until(lambda: "does the broker expect it there? See [mqtt] tls" in to_plain.publisher.reason)
    until(lambda: "does it expect TLS there? See [mqtt] tls" in to_coded.publisher.reason)
    assert not to_plain.publisher.connected and not to_coded.publisher.connected


def test_a_host_without_an_address_is_told(device: Callable[..., Device]) -> None:
    unknown, impossible = (device(config.Mqtt(host), name=host) for host in ("nobody.invalid", "a..b"))
    until(lambda: "no address is known for 'nobody.invalid': check [mqtt] host" in unknown.publisher.reason)
    until(lambda: "no address is known for 'a..b'" in impossible.publisher.reason)


def test_what_the_broker_forbids_is_told_and_waits_until_it_is_allowed(
    mosquitto: Callable[..., Broker],
    listen: Callable[..., Listener],
    device: Callable[..., Device],
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = mosquitto(*tls(certificates), secret=True)
    listener = listen(broker, authority=certificates.authority, secret=True)
    here = device(secure(broker, certificates, tmp_path, user="mute"))
    here.happens(3)
    refused = f"refuses what we publish on {BASE}/event: Not authorized"
    until(lambda: refused in here.publisher.reason)
    here.publisher.show(status())
    assert not sequence(listener.until(lambda messages: said(messages, "state")))
    assert here.publisher.connected and here.publisher.queue_depth == 3
    broker.reconfigure(ACCESS.replace("user mute", "user mute\ntopic readwrite #"))
    assert sequence(listener.until(event(3))) == [1, 2, 3]
    until(lambda: here.publisher.queue_depth == 0 and here.publisher.reason == "")
    assert caplog.text.count(refused) == 1


def test_a_broker_that_knows_no_version_5_is_spoken_to_in_the_one_before(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, door = listen(broker), OldDoor(broker)
    try:
        here = device(door.port)
        here.happens(50)
        here.publisher.show(status())
        messages = listener.until(lambda messages: 50 in sequence(messages) and said(messages, "state"))
        assert sequence(messages) == list(range(1, 51)) and door.turned_away == 1
        listener.say(f"{BASE}/cmd", "pause")
        until(lambda: here.commands == ["pause"])
        here.close()
        assert said(listener.until(lambda messages: "offline" in said(messages, "availability")), "availability")
    finally:
        door.close()


def test_a_broker_that_hangs_is_left_and_found_again(
    mosquitto: Callable[..., Broker],
    listen: Callable[..., Listener],
    device: Callable[..., Device],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.mqtt.link.KEEPALIVE_SECONDS", 1)
    monkeypatch.setattr("edge.mqtt.MISC_SECONDS", 0.1)
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port, pace=replace(HURRY, answer=0.5))
    until(lambda: here.publisher.connected)
    broker.tell(signal.SIGSTOP)
    here.happens()
    until(lambda: not here.publisher.connected)
    assert here.publisher.queue_depth == 1
    broker.tell(signal.SIGCONT)
    assert set(sequence(listener.until(event(1)))) == {1}
    until(lambda: here.publisher.connected and here.publisher.queue_depth == 0)


def test_a_store_that_cannot_be_read_is_told_and_the_state_goes_on(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    until(lambda: here.publisher.connected)
    here.store.path.unlink()
    here.happens()
    until(lambda: "No such file" in here.publisher.reason)
    here.publisher.show(status())
    listener.until(lambda messages: said(messages, "state"))
    assert here.publisher.connected and here.publisher.queue_depth == 1


def test_two_devices_share_a_broker(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener = listen(broker)
    kitchen, hall = device(broker.port, name="kitchen"), device(broker.port, name="hall")
    for each, times in ((kitchen, 3), (hall, 5)):
        each.happens(times)
    kitchen.publisher.show(status(device="kitchen"))
    hall.publisher.show(status(device="hall"))
    topics = listener.until(lambda messages: sum(each.topic.endswith("/event") for each in messages) == 8)
    assert sum(each.topic == "emotion-edge/kitchen/event" for each in topics) == 3
    listener.say("emotion-edge/hall/cmd", "pause")
    until(lambda: hall.commands == ["pause"])
    kitchen.close()
    listener.until(lambda messages: last_words(messages)["kitchen"] == b"offline")
    assert last_words(listener.messages) == {"kitchen": b"offline", "hall": b"online"}
    assert kitchen.commands == [] and hall.publisher.connected


def last_words(messages: list[Message]) -> dict[str, bytes]:
    """The availability of each device."""
    return {each.topic.split("/")[1]: each.payload for each in messages if each.topic.endswith("/availability")}


LIFE = """
import sys, time
from pathlib import Path
from tests.test_mqtt import Device, config
device = Device(Path(sys.argv[1]), config.Mqtt(host="localhost", port=int(sys.argv[2])))
device.happens(3)
time.sleep(1000)
"""


def test_the_broker_says_offline_for_a_process_that_was_killed(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], tmp_path: Path
) -> None:
    broker = mosquitto()
    listener = listen(broker)
    places = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", LIFE, str(tmp_path), str(broker.port)], env=places) as process:
        listener.until(event(3))
        assert said(listener.messages, "availability") == ["online"]
        process.kill()
    listener.until(lambda messages: said(messages, "availability") == ["online", "offline"])


def test_a_pause_goes_there_and_back(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    here.publisher.show(status())
    listener.until(lambda messages: said(messages, "run") == ["ON"])
    listener.say(f"{BASE}/cmd", "pause")
    until(lambda: here.commands == ["pause"])
    here.publisher.show(status(camera={"state": "paused", "reason": "", "reopens": 0}))
    listener.until(lambda messages: said(messages, "run") == ["ON", "OFF"])
    listener.say(f"{BASE}/cmd", "resume")
    until(lambda: here.commands == ["pause", "resume"])
    here.publisher.show(status())
    listener.until(lambda messages: said(messages, "run") == ["ON", "OFF", "ON"])


def test_only_commands_that_are_meant_now_are_obeyed(
    mosquitto: Callable[..., Broker],
    listen: Callable[..., Listener],
    device: Callable[..., Device],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = mosquitto()
    listener = listen(broker)
    listener.say(f"{BASE}/cmd", "pause", retain=True)
    here = device(broker.port)
    until(lambda: "a retained command was passed over: 'pause'" in caplog.text)
    for word in ("Pause", "rm -rf /", "", "x" * 10_000, "\0", "reload"):
        listener.say(f"{BASE}/cmd", word)
    until(lambda: here.commands)
    assert here.commands == ["reload"]
    assert "unknown command 'rm -rf /': there are: pause, resume, reload, snapshot-metrics" in caplog.text
    assert "x" * 41 not in caplog.text


def test_metrics_come_at_times_and_when_asked_for(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    here.publisher.show(status(captured=7))
    (first,) = said(listener.until(lambda messages: said(messages, "metrics")), "metrics")
    assert json.loads(first)["captured"] == 7
    listener.say(f"{BASE}/cmd", "snapshot-metrics")
    messages = listener.until(lambda messages: len(said(messages, "metrics")) == 2)
    assert here.commands == ["snapshot-metrics"]
    assert not any(each.retained or each.qos for each in messages if each.topic.endswith("metrics"))
    often = device(broker.port, name="often", pace=replace(HURRY, metrics=0.02))
    often.publisher.show(status(device="often"))
    listener.until(lambda messages: sum(each.topic == "emotion-edge/often/metrics" for each in messages) > 3)


def test_a_state_comes_at_a_change_and_not_for_every_digit(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    for tenths in range(100):
        here.publisher.show(status(label="happy", fps=tenths / 10))
        here.happens()
    listener.until(lambda messages: said(messages, "state") and 100 in sequence(messages))
    here.publisher.show(status(label="sad"))
    states = said(listener.until(lambda messages: '"label":"sad"' in said(messages, "state")[-1]), "state")
    assert [json.loads(each)["label"] for each in states] == ["happy", "sad"]


def test_states_that_change_fast_are_told_five_times_a_second_and_the_last_one_always(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    until(lambda: here.publisher.connected)
    began = time.monotonic()
    for count in range(300):
        here.publisher.show(status(label="sad" if count % 2 else "happy"))
        time.sleep(0.002)
    here.publisher.show(status(label="fear"))
    states = said(listener.until(lambda messages: '"label":"fear"' in "".join(said(messages, "state")[-1:])), "state")
    assert len(states) <= 2 + (time.monotonic() - began) / 0.2


def test_a_state_is_told_again_after_a_while(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port, pace=replace(HURRY, state=0.05))
    here.publisher.show(status())
    listener.until(lambda messages: len(said(messages, "state")) >= 4)


def test_home_assistant_is_answered_when_it_starts(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    here.publisher.show(status())
    listener.until(lambda messages: said(messages, "state"))
    announcements = "homeassistant/device/emo_kitchen/config"
    assert sum(each.topic == announcements for each in listener.messages) == 1
    listener.say("homeassistant/status", "offline")
    listener.say("homeassistant/status", "online")
    heard = listener.until(lambda messages: len(said(messages, "state")) == 2)
    assert sum(each.topic == announcements for each in heard) == 2
    assert said(heard, "availability") == ["online"] * 2 and said(heard, "run") == ["ON"] * 2


def test_a_will_that_comes_late_does_not_stand(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    """The broker may give up a connection of a former life long after the next has begun."""
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    until(lambda: here.publisher.connected)
    listener.until(lambda messages: said(messages, "availability") == ["online"])
    listener.say(f"{BASE}/availability", "offline", retain=True)
    listener.until(lambda messages: said(messages, "availability") == ["online", "offline", "online"])


def test_another_model_is_announced_before_its_first_state(
    mosquitto: Callable[..., Broker], listen: Callable[..., Listener], device: Callable[..., Device]
) -> None:
    broker = mosquitto()
    listener, here = listen(broker), device(broker.port)
    here.publisher.show(status())
    listener.until(lambda messages: said(messages, "state"))
    here.publisher.show(status(model=status()["model"] | {"labels": ["happy", "sad"], "version": "2"}, label="sad"))
    messages = listener.until(lambda messages: len(said(messages, "state")) == 2)
    later = [each for each in messages if each.topic == "homeassistant/device/emo_kitchen/config"][1]
    assert json.loads(later.payload)["cmps"]["emotion"]["options"] == ["none", "uncertain", "happy", "sad"]
    assert later.at <= messages[-1].at and messages.index(later) < len(messages) - 1


def test_to_others_than_this_machine_plain_text_is_a_warning(
    device: Callable[..., Device], caplog: pytest.LogCaptureFixture
) -> None:
    device(config.Mqtt(host="127.0.0.2", tls=False))
    assert caplog.text.count("not encrypted, everybody in the network can read it") == 1
    caplog.clear()
    device(config.Mqtt(host="127.0.0.1"), name="here")
    assert "encrypted" not in caplog.text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot read it: No such file"),
        (b"", "expected 1 to 1024 bytes in its first line"),
        (b"\nsecret", "expected 1 to 1024 bytes"),
        (b"s" * 1025, "expected 1 to 1024 bytes"),
        (b"s\xff", "expected text in UTF-8"),
    ],
)
def test_a_password_file_that_is_none_is_refused_in_one_line(
    device: Callable[..., Device], tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(complaint)) as caught:
        device(config.Mqtt(host="localhost", user="edge", password_file=path))
    assert str(caught.value).startswith(f"[mqtt] password_file = '{path}'") and "\n" not in str(caught.value)


def test_a_password_without_a_user_is_refused(device: Callable[..., Device], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(SettingsError, match=r"without a user: expected user too"):
        device(config.Mqtt(host="localhost", password_file=tmp_path / "secret"))


def test_a_file_of_authorities_that_is_none_is_refused(device: Callable[..., Device], tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("no certificate")
    for path, complaint in ((tmp_path / "ca", "expected certificates in PEM"), (tmp_path / "none", "cannot read it")):
        with pytest.raises(SettingsError, match=complaint):
            device(config.Mqtt(host="broker.invalid", ca_file=path))


@contextmanager
def outbox_of(events: int, folder: Path) -> Iterator[tuple[Outbox, Store]]:
    """An outbox, and the store that it reads, with so many events that are on the disk."""
    with closing(Store(config.Store(path=folder / "events.db"))) as store:
        recorder = Recorder("kitchen", MODEL, [store])
        for _ in range(events):
            recorder.write(EVENT)
        until(lambda: store.committed_seq == events)
        with closing(Outbox(store)) as outbox:
            yield outbox, store


def test_places_move_in_the_order_of_the_records(tmp_path: Path) -> None:
    with outbox_of(5, tmp_path) as (outbox, store):
        taken = [record.seq for _ in range(4) if (record := outbox.take())]
        outbox.landed(2, 10.0)
        assert (taken, store.acknowledged(CONSUMER), outbox.depth) == ([1, 2, 3, 4], 0, 5)
        outbox.landed(1, 10.0)
        assert (store.acknowledged(CONSUMER), outbox.depth, outbox.dropped) == (2, 3, 0)
        outbox.rewind()
        again = [record.seq for _ in range(9) if (record := outbox.take())]
        assert again == [3, 4, 5]
        for seq in (99, 3, 3, 5, 4):
            outbox.landed(seq, 20.0)
        assert (store.acknowledged(CONSUMER), outbox.depth, outbox.dropped) == (5, 0, 0)


def test_of_many_that_landed_just_before_only_the_last_go_out_again(tmp_path: Path) -> None:
    with outbox_of(50, tmp_path) as (outbox, _):
        while record := outbox.take():
            outbox.landed(record.seq, 10.0)
        outbox.rewind_to_before(10.0)
        first = outbox.take()
        assert first and first.seq == 51 - DOUBT_RECORDS


def test_what_landed_just_before_the_connection_broke_goes_out_again(tmp_path: Path) -> None:
    with outbox_of(5, tmp_path) as (outbox, store):

        def taken() -> list[int]:
            return [record.seq for _ in range(9) if (record := outbox.take())]

        assert taken() == [1, 2, 3, 4, 5]
        for seq, landed_at in ((1, 10.0), (2, 10.5), (4, 11.2), (3, 11.2)):
            outbox.landed(seq, landed_at)
        outbox.rewind_to_before(11.6)
        assert taken() == [3, 4, 5]
        for seq in (3, 4, 5):
            outbox.landed(seq, 12.0)
        assert (store.acknowledged(CONSUMER), outbox.depth, outbox.dropped) == (5, 0, 0)
        outbox.rewind_to_before(13.1)
        assert taken() == []

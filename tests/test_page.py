"""Page: a process of its own that is fed, watched over, started again, and never waited for."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from edge import config
from edge.classifier import SHIPPED
from edge.errors import OutputError
from edge.page import host
from edge.page.channel import Inlet, Outlet, channel
from edge.page.host import Page
from edge.page.news import News
from tests.page_feeder import Feeder, ask, await_health, fed, page_at, picture, status, until

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def feeder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeder]:
    """One page for all tests that only look at it."""
    with page_at(tmp_path_factory.mktemp("page")) as page, fed(page) as feeder:
        yield feeder


def frames(page: Page, count: int) -> list[bytes]:
    """So many pictures of the stream."""
    found, rest = [], b""
    with httpx.stream("GET", page.url + "picture", timeout=50) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
        for part in answer.iter_raw():
            rest += part
            while (end := rest.find(b"\r\n--picture\r\n", 20)) >= 0:
                head, _, content = rest[:end].partition(b"\r\n\r\n")
                assert f"Content-Length: {len(content)}".encode() in head
                found.append(content)
                rest = rest[end:]
            if len(found) >= count:
                return found[:count]
    raise AssertionError("the stream ended")


def pixels_of(jpeg: bytes) -> NDArray[np.uint8]:
    """(height, width, 3), in OpenCV's order."""
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


# ---- what it tells


def test_the_state_is_the_newest_status_and_its_age(tmp_path: Path) -> None:
    with page_at(tmp_path) as page:
        for number in range(3):
            page.show(status(number))
        await_health(page)
        told = ask(page, "/api/state").json()
        assert 0 <= told.pop("age_seconds") < 50
        assert told == status(2)


def test_before_the_first_status_nothing_is_made_up(tmp_path: Path) -> None:
    with page_at(tmp_path) as page:
        for path in ("/api/state", "/metrics", "/v1/models/emotion-8"):
            answer = ask(page, path)
            assert answer.status_code == 503 and "has told" in answer.json()["error"].replace(
                "has not told", "has told"
            )
        health = ask(page, "/healthz")
        assert (health.status_code, health.json()) == (503, {"ok": False, "reason": "the daemon does not answer"})
        assert ask(page, "/api/history").json() == {"samples": []}


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    with page_at(tmp_path) as page:
        page.show(status(temperature_celsius=float("nan"), fps=float("inf")))
        await_health(page)
        answer = ask(page, "/api/state")
        assert json.loads(answer.content, parse_constant=pytest.fail)["temperature_celsius"] is None


@pytest.mark.parametrize(
    ("camera", "code", "reason"),
    [
        ("running", 200, ""),
        ("paused", 200, ""),
        ("lost", 503, "the camera is lost"),
        ("ended", 503, "the camera is ended"),
    ],
)
def test_health_is_that_of_the_camera(feeder: Feeder, camera: str, code: int, reason: str) -> None:
    feeder.changed = {"camera": {"state": camera, "reason": "unplugged", "reopens": 0}}

    def told() -> bool:
        answer = ask(feeder.page, "/healthz")
        return (answer.status_code, answer.json()) == (code, {"ok": not reason, "reason": reason})

    try:
        until(told)
    finally:
        feeder.changed = {}


def test_a_daemon_that_publishes_nothing_or_says_nothing_is_unwell() -> None:
    now = 100.0
    news = News(lambda count: None, monotonic=lambda: now)

    def tell(published: int) -> None:
        news.told(json.dumps({"status": status(published=published), "model": "", "restarts": 0}).encode())

    tell(7)
    assert news.unwell == ""
    now += 4.9
    tell(7)
    assert news.unwell == ""
    now += 0.2
    tell(7)
    assert news.unwell == "no pictures are read"
    tell(8)
    assert news.unwell == ""
    now += 5.1
    assert news.unwell == "the daemon does not answer"


def test_the_history_has_a_sample_a_second(feeder: Feeder) -> None:
    until(lambda: len(ask(feeder.page, "/api/history").json()["samples"]) >= 3)
    samples = ask(feeder.page, "/api/history").json()["samples"]
    ages = [each["seconds_ago"] for each in samples]
    assert ages == sorted(ages, reverse=True)
    assert all(before - after >= 0.9 for before, after in pairwise(ages))
    assert {"label", "group", "confidence", "faces", "fps", "age_ms"} <= set(samples[-1])


def test_the_stream_tells_each_status_without_what_is_large(feeder: Feeder) -> None:
    uptimes: list[float] = []
    with httpx.stream("GET", feeder.page.url + "api/stream", timeout=50) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
                assert "settings" not in told and "stage_seconds" not in told
                uptimes.append(told["uptime_seconds"])
            if len(uptimes) == 3:
                break
    assert uptimes == sorted(set(uptimes))


# ---- the picture


def test_pictures_are_made_only_while_somebody_watches(feeder: Feeder) -> None:
    until(lambda: not feeder.page.watched)
    before = feeder.pictures
    first, second = frames(feeder.page, 2)
    decoded = [pixels_of(each) for each in (first, second)]
    assert [each.shape for each in decoded] == [(480, 640, 3)] * 2
    assert np.abs(decoded[0].astype(int) - decoded[1].astype(int)).max() > 50
    assert feeder.pictures > before
    until(lambda: not feeder.page.watched)


def test_colours_survive_the_way(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 255
    with page_at(tmp_path) as page:
        await_start(page)
        shown = threading.Thread(target=show_while_watched, args=(page, red))
        shown.start()
        (content,) = frames(page, 1)
        shown.join()
    blue, green, red_value = pixels_of(content)[24, 32]
    assert red_value > 240 and blue < 15 and green < 15


def show_while_watched(page: Page, pixels: Any) -> None:
    until(lambda: page.watched)
    page.show_picture(pixels)


def await_start(page: Page) -> None:
    until(lambda: ask(page, "/healthz").status_code in (200, 503))


def test_a_forbidden_picture_is_refused_and_never_made(tmp_path: Path) -> None:
    with page_at(tmp_path, picture=False) as page, fed(page) as feeder:
        answer = ask(page, "/picture")
        assert answer.status_code == 403 and "[page]" in answer.json()["error"]
        assert not page.watched and feeder.pictures == 0


def test_a_ninth_watcher_is_refused_and_has_a_place_when_one_leaves(feeder: Feeder) -> None:
    url = feeder.page.url + "picture"
    with httpx.Client(timeout=50) as client:
        watching = [client.send(client.build_request("GET", url), stream=True) for _ in range(8)]
        assert [each.status_code for each in watching] == [200] * 8
        ninth = client.get(url)
        assert ninth.status_code == 503 and "8 clients" in ninth.json()["error"] and ninth.headers["retry-after"]
        watching.pop().close()
        until(lambda: _status_of(client, url) == 200)
        for each in watching:
            each.close()
    until(lambda: not feeder.page.watched)


def _status_of(client: httpx.Client, url: str) -> int:
    with client.stream("GET", url) as answer:
        return answer.status_code


def test_no_more_than_fifteen_pictures_a_second_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def jpeg(pixels: Any) -> bytes:
        made.append(pixels)
        return b"picture"

    monkeypatch.setattr(host, "jpeg", jpeg)
    now = 100.0
    page = Page(config.Page(address="127.0.0.1", port=0), None, SHIPPED, monotonic=lambda: now)
    try:
        for _ in range(300):
            now += 1 / 100
            page.show_picture(picture())
    finally:
        page.close()
    assert 43 <= len(made) <= 46


def test_a_wide_picture_is_made_smaller_and_the_worst_one_fits_the_channel() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    for pixels in (noise, noise[:800, :800], noise[:, :4]):
        jpeg = host.jpeg(pixels)
        height, width = pixels_of(jpeg).shape[:2]
        assert max(height, width) <= 800 and abs(width / height - pixels.shape[1] / pixels.shape[0]) < 0.01
        ours, theirs = channel()
        with ours, theirs:
            Outlet(ours).put(jpeg)
            assert Inlet(theirs).newest() == jpeg


# ---- the channel


def test_the_newest_message_wins_and_nobody_waits() -> None:
    ours, theirs = channel()
    with ours, theirs:
        outlet, inlet = Outlet(ours), Inlet(theirs)
        for number in range(5000):
            outlet.put(b"%d" % number * 100)
        assert outlet.stuck
        inlet.newest()
        outlet.flush()
        assert not outlet.stuck
        assert inlet.newest() == b"4999" * 100
        assert inlet.newest() == b""


def test_a_message_beyond_all_room_is_refused_and_the_next_one_goes() -> None:
    ours, theirs = channel()
    with ours, theirs:
        outlet = Outlet(ours)
        with pytest.raises(ValueError, match="10000000 bytes"):
            outlet.put(bytes(10_000_000))
        assert not outlet.stuck
        outlet.put(b"small")
        assert Inlet(theirs).newest() == b"small"


def test_an_end_that_is_gone_is_noticed_by_the_reader_and_ignored_by_the_writer() -> None:
    ours, theirs = channel()
    with ours:
        theirs.close()
        outlet = Outlet(ours)
        outlet.put(b"nobody reads this")
        assert not outlet.stuck
        with pytest.raises(EOFError):
            Inlet(ours).newest()


# ---- its life


def test_a_killed_page_is_started_again_on_the_same_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host, "FIRST_PAUSE_SECONDS", 0.1)
    with page_at(tmp_path) as page, fed(page) as feeder:
        for restarts in (1, 2):
            killed = page.pid
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: page.pid not in (0, killed))
            await_health(page)
            assert page.restarts == restarts
        assert f'emotion_edge_restarts_total{{process="page"}} {restarts}.0' in ask(page, "/metrics").text
        assert feeder.error is None
    assert caplog.text.count("page's process ended: code=-9") == 2


def test_the_pause_before_a_start_doubles_up_to_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, starts = 0.0, []
    monkeypatch.setattr(sys, "executable", "/bin/false")  # a process that ends at once
    page = Page(config.Page(address="127.0.0.1", port=0), None, SHIPPED, monotonic=lambda: now)
    try:
        for _ in range(8):
            until(lambda: _has_ended(page))
            died, restarts = now, page.restarts
            while page.restarts == restarts:
                now += 0.5
                page.poll()
            starts.append(now - died)
    finally:
        page.close()
    assert starts == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(caplog.records) == 8


def _has_ended(page: Page) -> bool:
    page.poll()
    return not page.pid


def test_a_page_that_hangs_is_replaced_and_nobody_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "HUNG_SECONDS", 0.2)
    monkeypatch.setattr(host, "FIRST_PAUSE_SECONDS", 0.1)
    with page_at(tmp_path) as page:
        page.show(status())
        await_health(page)
        stopped = page.pid
        os.kill(stopped, signal.SIGSTOP)

        def replaced() -> bool:
            for number in range(20):  # a stopped process takes nothing: these come back at once, or the test hangs
                page.show(status(number))
            page.poll()
            return page.pid not in (0, stopped)

        until(replaced)
        assert not psutil.pid_exists(stopped)
        await_health(page)


DAEMON = """
import sys, time
from pathlib import Path
from edge import config
from edge.page.host import Page
from edge.page.news import News
page = Page(config.Page(address="127.0.0.1", port=0), None, Path("model"))
print(page.url, page.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("hangs", [False, True])
def test_the_page_ends_with_the_daemon_however_that_ends(end: signal.Signals, hangs: bool) -> None:
    places = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, env=places, text=True) as daemon:
        assert daemon.stdout is not None
        url, pid = daemon.stdout.readline().split()
        assert httpx.get(url + "healthz", timeout=50).status_code == 503
        if hangs:
            os.kill(int(pid), signal.SIGSTOP)
        daemon.send_signal(end)
        daemon.wait()
    until(lambda: not psutil.pid_exists(int(pid)))


def test_a_closed_page_has_ended_and_its_port_is_free(tmp_path: Path) -> None:
    with page_at(tmp_path) as page:
        pid, port = page.pid, int(page.url.split(":")[2].strip("/"))
    assert not psutil.pid_exists(pid)
    page.poll()
    page.show(status())
    assert page.pid == 0 and not page.watched
    with page_at(tmp_path, port=port) as again:
        assert again.url == page.url


def test_what_the_page_is_told_cannot_be_seen_by_other_programs(tmp_path: Path) -> None:
    with page_at(tmp_path, token=True) as page:
        process = psutil.Process(page.pid)
        await_start(page)
        assert "battery" not in " ".join(process.cmdline()) + " ".join(process.environ().values())


# ---- what cannot be


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=rf"port = {port}: cannot listen there: Address already in use; expected"):
            Page(config.Page(address="127.0.0.1", port=port), None, SHIPPED)


def test_an_address_of_another_machine_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef")
    for address, why in (("203.0.113.7", "Cannot assign requested address"), ("no.such.name.invalid", "Name")):
        with pytest.raises(OutputError, match=rf"cannot listen there: .*{why}"):
            Page(config.Page(address=address, port=0, token_file=tmp_path / "token"), None, SHIPPED)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short\n", b"fifteen-letters", b"with spaces in between it", b"\xff" * 20]
)
def test_a_file_without_a_token_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(OutputError, match=r"token: no token in its first line: expected 16 or more .*openssl rand"):
        Page(config.Page(address="127.0.0.1", port=0, token_file=tmp_path / "token"), None, SHIPPED)


def test_a_token_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="none: cannot read the token: No such file or directory"):
        Page(config.Page(address="127.0.0.1", port=0, token_file=tmp_path / "none"), None, SHIPPED)


def test_a_certificate_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    wrong: dict[str, Any] = {"certificate": tmp_path / "bad.pem", "key": tmp_path / "bad.pem"}
    settings: dict[str, Any]
    for settings, what in (
        ({"certificate": tmp_path / "bad.pem"}, "key is missing: expected certificate and key"),
        ({"key": tmp_path / "bad.pem"}, "certificate is missing: expected certificate and key"),
        (wrong, r"bad\.pem: cannot be used for TLS"),
        ({**wrong, "certificate": tmp_path / "none"}, "none, .*cannot be used for TLS: No such file"),
    ):
        with pytest.raises(OutputError, match=what) as caught:
            Page(config.Page(address="127.0.0.1", port=0, **settings), None, SHIPPED)
        assert "\n" not in str(caught.value)


def test_a_document_too_large_for_the_channel_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with page_at(tmp_path) as page:
        for _ in range(3):
            page.show(status(device="x" * 1_000_000))
    assert len(caplog.records) == 1 and "does not fit" in caplog.text

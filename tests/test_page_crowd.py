"""What many clients, idle, slow and hostile ones, do to the page and the daemon behind it; and what lands on disk."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from edge.page.host import Page
from edge.page.server import MOST_CLIENTS
from tests.page_feeder import ask, fed, page_at, until
from tests.test_page_guard import BEARER, connected, head_of

ROOT = Path(__file__).parents[1]

IDLE, SLOW = 500, 50

MORE_BYTES = 20_000_000
"""What the page's process may grow by."""


@pytest.mark.long
@pytest.mark.parametrize("tls", [False, True])
def test_a_crowd_is_bounded_and_neither_the_page_nor_the_daemon_suffers(tmp_path: Path, tls: bool) -> None:
    """500 connections that say nothing, or one byte, each opened anew when it is dropped, and 50 that say a byte at a
    time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    settings: dict[str, Any] = certificate(tmp_path) if tls else {}
    with page_at(tmp_path, token=True, **settings) as page, fed(page) as feeder, ExitStack() as opened:
        assert ask(page, "/metrics", headers=BEARER).status_code == 200
        process = psutil.Process(page.pid)
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        before = process.memory_info().rss
        leave = threading.Event()
        crowd = [threading.Thread(target=besiege, args=(page, leave, number)) for number in range(11)]
        for each in crowd:
            each.start()
        for each in crowd:
            opened.callback(each.join)
        opened.callback(leave.set)
        fed_before = feeder.statuses
        for _ in range(20):
            until(lambda: answered(page))
            assert len(process.net_connections()) <= MOST_CLIENTS + 8  # it listens, too; and some are just closing
        assert process.memory_info().rss - before <= MORE_BYTES
        until(lambda: feeder.statuses >= fed_before + 50)
        assert page.restarts == 0 and page.pid == process.pid
    assert feeder.error is None


def answered(page: Page) -> bool:
    """Whether an honest client gets its answer in the crowd; it may need to try more than once."""
    with suppress(httpx.HTTPError):
        return ask(page, "/api/state", headers=BEARER).status_code == 200
    return False


def besiege(page: Page, leave: threading.Event, number: int) -> None:
    """One of eleven, each with fifty connections that are kept open as long as they last: idle ones, of which the odd
    say a byte at first, and once slow ones."""
    clients: list[socket.socket] = []
    slow = number == 10
    head = head_of(page, "GET", "/api/state")
    for turn in count():
        if leave.wait(0.05):
            break
        while len(clients) < 50:
            clients.append(connected(page))
            with suppress(OSError):
                clients[-1].send(b"G" * (number % 2))
        for client in list(clients):
            try:
                client.setblocking(False)
                if slow:
                    client.send(head[turn % len(head) :][:1])
                if client.recv(1) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                client.close()
                clients.remove(client)
    for client in clients:
        client.close()


def certificate(folder: Path) -> dict[str, Any]:
    made = {"certificate": folder / "page.crt", "key": folder / "page.key"}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    files = ["-keyout", str(made["key"]), "-out", str(made["certificate"])]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return made


WATCHED = """
import sys
from pathlib import Path
from tests.page_feeder import fed, page_at
from tests.test_page import frames
with page_at(Path(sys.argv[1])) as page, fed(page):
    assert len(frames(page, 20)) == 20
"""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt install strace)")
def test_no_picture_reaches_the_disk(tmp_path: Path) -> None:
    """Of all files that the daemon's side and the page open while somebody watches, none is opened for writing."""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=open,openat,openat2,creat,memfd_create", "-o", str(trace)]
    places = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    run = [sys.executable, "-c", WATCHED, str(tmp_path)]
    subprocess.run([*command, *run], env=places, check=True, timeout=100, capture_output=True)
    opened = trace.read_text().splitlines()
    assert any("edge/page" in line and "/site." in line for line in opened)  # its source, or what was compiled of it
    assert any("edge/page/static" in line for line in opened)
    written = [line for line in opened if ("O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line)]
    assert [line for line in written if '"/dev/null"' not in line and "/dev/tty" not in line] == []

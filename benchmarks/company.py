"""Company: what may hang on a daemon: a broker, a screen, people who watch its page."""

import os
import shutil
import socket
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread

from edge.errors import EmotionEdgeError

PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

SLOW_BYTES, SLOW_SECONDS = 2048, 0.5
"""A slow watcher takes so much, then waits so long: a picture in ten seconds."""


def program(name: str, package: str) -> str:
    """Where it is; EmotionEdgeError if it is not installed."""
    if found := shutil.which(name, path=PLACES):
        return found
    raise EmotionEdgeError(f"{name} is not installed: apt install {package}")


@contextmanager
def broker(folder: Path) -> Generator[int, None, None]:
    """A mosquitto that anybody on this machine may use; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n")
    command = [program("mosquitto", "mosquitto"), "-c", str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, ended(process):
        assert process.stderr is not None
        if not any("running" in line for line in process.stderr):
            raise EmotionEdgeError("mosquitto did not start")
        yield port


@contextmanager
def screen() -> Generator[str, None, None]:
    """An X server without a monitor; its name for DISPLAY."""
    read, write = os.pipe()
    command = [program("Xvfb", "xvfb"), "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as process, ended(process):
        os.close(write)
        with open(read) as told:
            yield f":{told.readline().strip()}"


@contextmanager
def watchers(port: int, many: int, slow: bool) -> Generator[None, None, None]:
    """So many clients ask for the page's picture; those whom it turns away ask again."""
    leave = Event()
    with ExitStack() as opened:
        for _ in range(many):
            thread = Thread(target=_watch, args=(port, slow, leave))
            thread.start()
            opened.callback(thread.join)
        opened.callback(leave.set)
        yield


def _watch(port: int, slow: bool, leave: Event) -> None:
    while not leave.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as wire:
            wire.sendall(f"GET /picture HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            while not leave.is_set() and wire.recv(SLOW_BYTES if slow else 1 << 20):
                leave.wait(SLOW_SECONDS * slow)
        leave.wait(SLOW_SECONDS)


IDLE, SLOW = 500, 50
"""Connections of a siege: those that say nothing, and those that say a byte a second."""

TURNS_A_SECOND = 50
"""Each of them has one in a second: strangers do not all come at the same moment."""


@contextmanager
def siege(port: int) -> Generator[None, None, None]:
    """Connections to the page that ask for nothing that they ever get; each that it drops is opened again."""
    leave = Event()
    thread = Thread(target=_besiege, args=(port, leave))
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def _besiege(port: int, leave: Event) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # other machines have no claim on this one's processor
    head = f"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Patience: {'x' * 600}\r\n".encode()
    wires: list[socket.socket | None] = [None] * (IDLE + SLOW)
    for turn in count():
        for number in range(turn % TURNS_A_SECOND, len(wires), TURNS_A_SECOND):
            wires[number] = wire = _kept(wires[number], port)
            if wire and number < SLOW:
                with suppress(OSError):
                    wire.send(head[turn // TURNS_A_SECOND % len(head) :][:1])
        if leave.wait(1 / TURNS_A_SECOND):
            break
    for wire in filter(None, wires):
        wire.close()


def _kept(wire: socket.socket | None, port: int) -> socket.socket | None:
    """It, or a new one if the other end shut it; None while none can be had."""
    if wire and _is_open(wire):
        return wire
    if wire:
        wire.close()
    with suppress(OSError):
        return socket.create_connection(("127.0.0.1", port), timeout=1)
    return None


def _is_open(wire: socket.socket) -> bool:
    try:
        return wire.recv(1, socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@contextmanager
def ended(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> Generator[None, None, None]:
    """Ends it at the end of the block."""
    try:
        yield
    finally:
        process.kill()

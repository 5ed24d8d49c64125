"""Notify: how systemd is told that a service is ready, alive, and how it fares, by the sd_notify protocol."""

import logging
import os
import socket
import time
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("emotion_edge")

STATUS_LETTERS = 200
"""A status is cut to so many: `systemctl status` shows it on one line."""

OFTEN = 4
"""The watchdog is fed at most this many times in its limit. A hang is noticed after three quarters of it, at least."""

WAIT_SECONDS = 1.0
"""How long a systemd that has no time to listen is waited for."""


def headline(document: Mapping[str, Any]) -> str:
    """The status document in one line, for `systemctl status`."""
    camera = document["camera"]
    if camera["state"] != "running":
        return " ".join(["camera", camera["state"], camera["reason"]])
    return f"label={document['label']} faces={len(document['faces'])} fps={document['fps']:.1f} {camera['reason']}"


class Systemd:
    """The systemd that started this process as a service, or nobody: then nothing is said, and `listens` is false.

    For one thread. What we start ourselves is not told where to say anything: it leaves the environment.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes NOTIFY_SOCKET, WATCHDOG_USEC (microseconds) and WATCHDOG_PID out of `environment`."""
        address = environment.pop("NOTIFY_SOCKET", "")
        limit, process = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        self.listens = address.startswith(("/", "@"))
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._limit_seconds = float(limit or 0) / 1e6 if process in ("", str(os.getpid())) else 0.0
        self._ready = False
        self._status = ""
        self._progress: object = None
        self._fed_at = float("-inf")

    def ready(self) -> None:
        """The service has started, which is said until it was heard."""
        if not self._ready:
            self._ready = self._say("READY=1")

    def show(self, status: str) -> None:
        """One line for `systemctl status`; the same again is not said."""
        line = " ".join(status.split())[:STATUS_LETTERS]
        if line != self._status:
            self._status = line
            self._say(f"STATUS={line}")

    def feed(self, progress: object, now: float) -> None:
        """To be called often: the watchdog is fed if `progress` has changed since it was the last time.

        now  time.monotonic(), seconds
        """
        if self._limit_seconds and progress != self._progress and now - self._fed_at >= self._limit_seconds / OFTEN:
            self._progress, self._fed_at = progress, now
            self._say("WATCHDOG=1")

    @contextmanager
    def reloading(self) -> Generator[None, None, None]:
        """In this block settings are read again, to be adopted or refused."""
        if self._ready:
            self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        yield
        if self._ready:
            self._say("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    def _say(self, what: str) -> bool:
        """Whether it was heard."""
        if not self.listens:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(WAIT_SECONDS)
                line.sendto(what.encode(errors="replace"), self._address)
        except OSError as error:
            log.debug("systemd was not told: what=%r error=%r", what, str(error))
            return False
        return True

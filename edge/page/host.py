"""Page: the daemon's side of the web page. It starts the page's process, feeds it, and starts it again if it ends."""

import json
import logging
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import config, start
from edge.errors import OutputError
from edge.page.channel import Inlet, Outlet, channel
from edge.page.terms import Terms

log = logging.getLogger("emotion_edge")

PICTURES_A_SECOND = 15.0
"""No more are made, however fast the camera is."""

WIDEST_PX = 800
"""Wider pictures are made smaller: enough for a page, and never too large for the channel."""

JPEG_QUALITY = 75
"""0 to 100."""

LEAST_TOKEN = 16
"""Characters that a token must have: of 16 random letters nobody guesses one in a lifetime."""

MOST_TOKEN_BYTES = 4096

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Before the process is started again; each time twice as long."""

SETTLED_SECONDS = 60.0
"""A process that lived so long had no trouble in starting: the next pause is the first again."""

HUNG_SECONDS = 30.0
"""A process that does not read for so long, while there is something to read, is ended."""

BACKLOG = 1024
"""Connections that wait to be accepted, for example while the process starts, or because they have not said a word."""

SILENT_SECONDS = 30
"""For so long the kernel keeps a connection that says nothing (tcp(7), TCP_DEFER_ACCEPT): a crowd that only connects
costs no process any time. The page's own deadline comes after it."""

SEND_BUFFER_BYTES = 128 * 1024
"""What the kernel keeps for one client: about two pictures. Its own choice of megabytes would show a slow client the
past, and cost them for each client."""


class Page:
    """The page as the daemon sees it; for one thread, the main one, but for `watched` and `show_picture`.

    Nothing here waits for the page's process, and none of its troubles reaches the daemon: an ended process is started
    again from `poll`, after a pause that grows, and counted in `restarts`. The port stays open meanwhile.
    `model` is the file that predictions are made with; it may be set anew.
    """

    def __init__(
        self,
        settings: config.Page,
        store: Path | None,
        model: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """OutputError when the port cannot be had, or what the settings name cannot be used.

        store      file of the record of events
        monotonic  gives seconds
        """
        self.model, self.restarts = model, 0
        self._monotonic = monotonic
        _check_certificate(settings)
        token = _token(settings.token_file) if settings.token_file else ""
        self._listener = _listening(settings.address, settings.port)
        self._terms = _terms(settings, token, self._listener.getsockname()[1], store)
        self.url = _url(self._terms)
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._start_at = -1.0
        self._pictured_at = -1.0
        self._status: Mapping[str, Any] = {}
        self._complained = False
        self._child: _Child | None = None
        try:
            self._child = _Child(self._listener, self._terms, monotonic())
        except OSError as error:
            self._listener.close()
            raise OutputError(
                f"the page's process cannot be started: {error.strerror}; is there memory left?"
            ) from error
        log.info("page url=%s pid=%d token=%s", self.url, self._child.pid, "needed" if token else "none")

    @property
    def pid(self) -> int:
        """Of the page's process; 0 while there is none."""
        return self._child.pid if self._child else 0

    @property
    def watched(self) -> bool:
        """Whether somebody watches the picture just now."""
        return self._child is not None and self._child.watched

    def show(self, status: Mapping[str, Any]) -> None:
        """Hand over the newest status document, as JSON can write it."""
        self._status = status
        if self._child:
            self._put(self._child.documents, self._message())

    def show_picture(self, picture: NDArray[np.uint8]) -> None:
        """Hand over a picture, (height, width, 3) RGB; of more than PICTURES_A_SECOND some are passed over."""
        now = self._monotonic()
        if self._child is None or now - self._pictured_at < 1 / PICTURES_A_SECOND:
            return
        self._pictured_at = now
        self._put(self._child.pictures, jpeg(picture))

    def poll(self) -> None:
        """See how the process is; to be called several times a second."""
        now = self._monotonic()
        if self._child is None:
            if now >= self._start_at:
                self._restart(now)
        elif (why := self._child.trouble(now)) is not None:
            self._mourn(self._child, why, now)

    def close(self) -> None:
        """End the process and close the port."""
        if self._child:
            self._child.end()
            self._child = None
        self._start_at = float("inf")
        self._listener.close()

    def _put(self, outlet: Outlet, message: bytes) -> None:
        try:
            outlet.put(message)
        except ValueError as error:
            if not self._complained:
                log.warning("page: %s does not fit the channel and is not shown; this is said once", error)
            self._complained = True

    def _mourn(self, child: "_Child", why: str, now: float) -> None:
        child.end()
        self._child = None
        if now - child.began_at > SETTLED_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        log.warning("page's process ended: %s restarts=%d next_in=%gs", why, self.restarts, self._pause_seconds)
        self._start_at = now + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)

    def _restart(self, now: float) -> None:
        try:
            self._child = _Child(self._listener, self._terms, now)
        except OSError as error:
            log.warning("page's process cannot be started: error=%r", error.strerror)
            self._start_at = now + LONGEST_PAUSE_SECONDS
            return
        self.restarts += 1
        if self._status:
            self._put(self._child.documents, self._message())

    def _message(self) -> bytes:
        told = {"status": self._status, "model": str(self.model), "restarts": self.restarts}
        return json.dumps(told, separators=(",", ":")).encode()


class _Child:
    """One life of the page's process, with the channels that feed it."""

    def __init__(self, listener: socket.socket, terms: Terms, now: float) -> None:
        self.began_at = now
        ours_for_documents, documents = channel()
        ours_for_pictures, pictures = channel()
        self._ends = ours_for_documents, ours_for_pictures
        self.documents, self.pictures = Outlet(ours_for_documents), Outlet(ours_for_pictures)
        self._watchers = Inlet(ours_for_pictures, message_bytes=16)
        self._watched = False
        self._stuck_at: float | None = None
        with closing(documents), closing(pictures):
            try:
                self._process = _started((listener, documents, pictures), terms)
            except OSError:
                self._close()
                raise
        self.pid = self._process.pid

    @property
    def watched(self) -> bool:
        with suppress(EOFError):
            if said := self._watchers.newest():
                self._watched = said != b"0"
            return self._watched
        return False

    def trouble(self, now: float) -> str | None:
        """What is wrong with the process; None when all is well."""
        if (code := self._process.poll()) is not None:
            return f"code={code}"
        self.documents.flush()
        if not self.documents.stuck:
            self._stuck_at = None
        elif self._stuck_at is None:
            self._stuck_at = now
        elif now - self._stuck_at > HUNG_SECONDS:
            return "it hung"
        return None

    def end(self) -> None:
        """There is nothing in it to be saved."""
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for each in self._ends:
            each.close()


def _started(ends: tuple[socket.socket, ...], terms: Terms) -> "subprocess.Popen[bytes]":
    """The process, with its own copies of `ends`. In a group of its own: Ctrl-C is for the daemon alone."""
    numbers = [each.fileno() for each in ends]
    process = subprocess.Popen(
        start.command("edge.page", *map(str, numbers)),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=numbers,
        process_group=0,
        env=start.environment(),
    )
    assert process.stdin is not None
    with suppress(OSError), process.stdin as told:  # it may have ended already: poll() sees that
        told.write(terms.to_line())
    return process


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    both = address == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror  # below 0: of a name
        raise OutputError(
            f"[page] address = {address!r}, port = {port}: cannot listen there: {why}; "
            "expected an address of this machine and a port that is free, or port = 0 for any"
        ) from error
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_DEFER_ACCEPT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_SECONDS)
    return listener


def _token(path: Path) -> str:
    """The first line of the file."""
    try:
        with path.open("rb") as file:
            line = file.read(MOST_TOKEN_BYTES).partition(b"\n")[0].strip()
    except OSError as error:
        raise OutputError(f"{path}: cannot read the token: {error.strerror}; expected the [page] token_file") from error
    token = line.decode("ascii", "replace")
    if not (len(token) >= LEAST_TOKEN and token.isascii() and token.isprintable() and " " not in token):
        raise OutputError(
            f"{path}: no token in its first line: expected {LEAST_TOKEN} or more letters and digits; "
            f"make one with: openssl rand -hex 32 > {path}"
        )
    return token


def _check_certificate(settings: config.Page) -> None:
    certificate, key = settings.certificate, settings.key
    if (certificate is None) != (key is None):
        missing = "key" if key is None else "certificate"
        raise OutputError(f"[page] {missing} is missing: expected certificate and key, or neither")
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:
        why = error.strerror or error
        raise OutputError(
            f"{certificate}, {key}: cannot be used for TLS: {why}; "
            "expected a certificate (PEM) and its key, which no password protects"
        ) from error


def _terms(settings: config.Page, token: str, port: int, store: Path | None) -> Terms:
    return Terms(
        token=token,
        address=settings.address,
        port=port,
        hosts=settings.hosts,
        picture=settings.picture,
        certificate=str(settings.certificate or ""),
        key=str(settings.key or ""),
        store=str(store or ""),
        log_level=log.getEffectiveLevel(),
    )


def _url(terms: Terms) -> str:
    """What to type into a browser; an address that stands for all is told by this machine's name."""
    host = socket.gethostname() if terms.address in ("0.0.0.0", "::") else terms.address
    return f"{terms.scheme}://{f'[{host}]' if ':' in host else host}:{terms.port}/"


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """An RGB picture as the page shows it, not wider or higher than WIDEST_PX."""
    height, width = picture.shape[:2]
    if (widest := max(height, width)) > WIDEST_PX:
        scale = WIDEST_PX / widest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])

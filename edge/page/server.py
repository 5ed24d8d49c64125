"""Server: uvicorn with bounds on how many connect, how long a request may take, and how long a client may not read."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.page.terms import Terms

MOST_CLIENTS, MOST_TLS_CLIENTS = 64, 40
"""Connections at a time. When one more comes, the one that has kept us waiting longest for its request is dropped. With
TLS each takes a third of a megabyte, most of it asyncio's."""

REQUEST_SECONDS = 10.0
"""Within so long from connecting, or from the last answer, a request must be there as a whole."""

HANDSHAKE_SECONDS = 5.0
"""And TLS agreed on."""

SEND_SECONDS = 2.0
"""What is sent must have left within so long, or the client is dropped: one that does not read holds up nobody."""

HEAD_BYTES = 16 * 1024
"""Request line and headers of one request."""

ACCEPT_PAUSE_SECONDS = 1.0
"""After the system has no room for one more connection."""


class Server(uvicorn.Server):
    """Serves `app` on the socket `listener`, with TLS if there is a context for it."""

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            uvicorn.Config(
                cast(Any, app),  # uvicorn and Starlette each have their own types for the same protocol
                loop="asyncio",
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_graceful_shutdown=1,
            )
        )
        self._listener, self._tls = listener, tls
        self._most = MOST_TLS_CLIENTS if tls else MOST_CLIENTS
        self._welcoming: dict[asyncio.Task[None], float] = {}  # and since when

    def stop(self) -> None:
        """End now."""
        self.should_exit = self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept by ourselves: uvicorn's own way counts a connection only after its first request."""
        self.servers = []
        self._open()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        await super().shutdown(sockets)

    def _open(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptors, no memory: it would be tried again at once, for ever
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(ACCEPT_PAUSE_SECONDS, self._open)
            return
        if not self._make_room():
            client.close()
            return
        task = asyncio.create_task(self._welcome(client))
        self._welcoming[task] = asyncio.get_running_loop().time()
        task.add_done_callback(lambda _: self._welcoming.pop(task, None))

    async def _welcome(self, client: socket.socket) -> None:
        """Agree on TLS, if there is any; a Connection goes on from there."""
        loop = asyncio.get_running_loop()
        seconds = HANDSHAKE_SECONDS if self._tls else None
        with suppress(OSError):
            await loop.connect_accepted_socket(self._connection, client, ssl=self._tls, ssl_handshake_timeout=seconds)

    def _connection(self) -> "Connection":
        return Connection(self.config, self.server_state, {})

    def _make_room(self) -> bool:
        connections = cast(set[Connection], self.server_state.connections)
        if len(connections) + len(self._welcoming) < self._most:
            return True
        waiting: list[tuple[float, Callable[[], None]]] = [
            (each.waiting_since, each.drop) for each in connections if each.waiting
        ]
        waiting += [(since, partial(self._turn_away, task)) for task, since in self._welcoming.items()]
        if not waiting:
            return False
        min(waiting, key=lambda each: each[0])[1]()
        return True

    def _turn_away(self, task: "asyncio.Task[None]") -> None:
        del self._welcoming[task]
        task.cancel()


class Connection(H11Protocol):
    """One client, with a deadline for its requests and one for its reading."""

    waiting_since = 0.0
    _request_due: asyncio.TimerHandle | None = None
    _sending_due: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is the client's turn: the request is not there as a whole."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def drop(self) -> None:
        """At once, whatever was not sent."""
        self.connections.discard(self)
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        # To be told as soon as the kernel does not take everything, and again when it has. (With high=0 asyncio's TLS
        # takes an empty buffer for a full one.)
        transport.set_write_buffer_limits(high=1, low=0)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._request_due, self._sending_due):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        self._expect_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._sending_due = self.loop.call_later(SEND_SECONDS, self.drop)

    def resume_writing(self) -> None:
        if self._sending_due:
            self._sending_due.cancel()
        super().resume_writing()

    def _expect_request(self) -> None:
        if self.waiting and self._request_due is None:
            self.waiting_since = self.loop.time()
            self._request_due = self.loop.call_later(REQUEST_SECONDS, self.drop)
        elif not self.waiting and self._request_due is not None:
            self._request_due.cancel()
            self._request_due = None


def tls_context(terms: Terms) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with the certificate of the settings; none without one."""
    if not terms.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(terms.certificate, terms.key, password="")
    return context

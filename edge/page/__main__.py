"""The page's process, as `edge.page.host` starts it: sockets' numbers as arguments, Terms on standard input."""

import asyncio
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable

from edge.lifeline import end_with_parent
from edge.page.channel import Inlet, Outlet
from edge.page.news import News
from edge.page.records import Records
from edge.page.server import Server, tls_context
from edge.page.site import application
from edge.page.terms import Terms

NICENESS = 10
"""Behind the daemon, when there is not enough processor for both."""

COMPLAIN_SECONDS = 60.0
"""A fault of ours is logged at most this often."""

COLLECT_OFTEN = (300, 2, 1)
"""Thresholds of the garbage collector. A TLS connection leaves a quarter of a megabyte in reference cycles: at Python's
own thresholds a crowd that connects and is dropped, again and again, costs 47 MB, at these 14."""


def main() -> None:
    """Serve until the daemon ends us, or is gone."""
    end_with_parent()
    os.nice(NICENESS)
    listener, documents, pictures = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    terms = Terms.from_line(sys.stdin.buffer.readline())
    _log_to_stderr(terms.log_level)
    asyncio.run(serve(terms, listener, documents, pictures))


async def serve(terms: Terms, listener: socket.socket, documents: socket.socket, pictures: socket.socket) -> None:
    """Serve the page on `listener`, with what comes through the other two."""
    watchers = Outlet(pictures)
    news = News(lambda count: watchers.put(b"%d" % count))
    server = Server(application(terms, news, Records(terms.store)), listener, tls_context(terms))

    def told(message: bytes) -> None:
        news.told(message)
        watchers.flush()

    gc.freeze()
    gc.set_threshold(*COLLECT_OFTEN)
    loop = asyncio.get_running_loop()
    for end, take in ((documents, told), (pictures, news.shown)):
        loop.add_reader(end, _take, Inlet(end), take, server)
    await server.serve()


def _take(inlet: Inlet, take: Callable[[bytes], None], server: Server) -> None:
    try:
        if message := inlet.newest():
            take(message)
    except EOFError:
        server.stop()


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s page: %(message)s")
    # What strangers on the network can cause is not for the log; a fault of ours is, but not once for each request.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.ERROR)
    server.addFilter(Seldom())


class Seldom(logging.Filter):
    """Lets one record pass in COMPLAIN_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at = -COMPLAIN_SECONDS

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._passed_at < COMPLAIN_SECONDS:
            return False
        self._passed_at = now
        return True


if __name__ == "__main__":
    main()

"""Streams: the answers that go on for as long as a client stays, each client with the newest only."""

from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from edge.page.news import News
from edge.page.records import Records

RETRY_MS = 2000
"""How long a browser waits before it connects again."""

EVENTS_AT_ONCE = 200
"""Of the record, in one go."""

BOUNDARY = "picture"

NOTHING = b""
"""Sent before the next thing is chosen: the server takes it only when all before has left, so it is chosen late."""


class PictureStream(StreamingResponse):
    """The picture as Motion JPEG, for as long as somebody looks: only then are pictures made."""

    def __init__(self, news: News) -> None:
        super().__init__(_pictures(news), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self._news = news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._news.watching():
            await super().__call__(scope, receive, send)


class StatusStream(StreamingResponse):
    """Server-sent events: `state` with each status, `event` with each new record, and its number as id."""

    def __init__(self, news: News, records: Records, seq: int | None) -> None:
        """`seq` is the last record that the client has; None for one that wants only what is new."""
        super().__init__(_told(news, records, seq), media_type="text/event-stream")
        self._news = news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._news.listeners += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._news.listeners -= 1


async def _pictures(news: News) -> AsyncGenerator[bytes, None]:
    """A browser shows a picture when it sees the boundary after it."""
    yield f"--{BOUNDARY}\r\n".encode()
    seen = -1
    while True:
        yield NOTHING
        while seen == news.pictures or not news.picture:
            await news.next_picture()
        seen, picture = news.pictures, news.picture
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        yield head.encode() + picture + f"\r\n--{BOUNDARY}\r\n".encode()


async def _told(news: News, records: Records, seq: int | None) -> AsyncGenerator[bytes, None]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    if seq is None:
        seq = await records.last_seq() if records.kept else 0
    seen = 0
    while True:
        yield NOTHING
        while seen == news.version:
            await news.next_status()
        seen = news.version
        yield b"event: state\ndata: " + news.brief + b"\n\n"
        if records.kept and news.status["store"]["last_seq"] > seq:
            for each in await records.after(seq, EVENTS_AT_ONCE):
                seq = each.seq
                yield b"event: event\nid: %d\ndata: %s\n\n" % (seq, each.line)

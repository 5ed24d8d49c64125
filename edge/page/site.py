"""Site: what is at each address of the page and API."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.page.door import COOKIE, SESSION_SECONDS, Door, TooManyError
from edge.page.guard import Guard, refused, too_many
from edge.page.metrics import CONTENT_TYPE, exposition
from edge.page.news import News, to_json
from edge.page.openapi import document
from edge.page.records import Records
from edge.page.serving import Serving
from edge.page.streams import PictureStream, StatusStream
from edge.page.terms import Terms

STATIC = Path(__file__).parent / "static"

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

MOST_WATCHERS, MOST_LISTENERS = 8, 32
"""Clients that may watch the picture, and follow the stream, at a time."""

BODY_BYTES = 4 * 1024 * 1024
"""Of a request for predictions."""

FORM_BYTES = 8 * 1024

MOST_EVENTS, DEFAULT_EVENTS = 500, 100
"""In one page of the record, whose records have about 450 bytes."""

GREATEST_SEQ = 2**53 - 1
"""Numbers beyond this are not the same in every language."""

NOT_YET = "the daemon has told nothing yet"

Answer = Callable[[Request], Awaitable[Response]]


class Site:
    """The answers; what they are made of is given."""

    def __init__(self, terms: Terms, news: News, records: Records, door: Door) -> None:
        self._terms, self._news, self._records, self._door = terms, news, records, door
        self._serving = Serving(news)

    def routes(self) -> list[BaseRoute]:
        """All there are."""
        model = "/v1/models/{name}"
        return [
            *(Route(f"/{name}", static(file)) for name, file in FILES.items()),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
            Route("/picture", self.picture),
            Route("/openapi.json", self.openapi),
            Route("/api/state", self.state),
            Route("/api/history", self.history),
            Route("/api/events", self.events),
            Route("/api/stream", self.stream),
            Route(model + ":predict", self.predict, methods=["POST"]),
            Route(model + "/metadata", self.model_metadata),
            Route(model, self.model_state),
        ]

    async def state(self, _: Request) -> Response:
        self._expect_status()
        age = {"age_seconds": round(self._news.age_seconds, 3)}
        return _json(to_json(self._news.status | age))

    async def history(self, _: Request) -> Response:
        return _json(to_json({"samples": self._news.past()}))

    async def health(self, _: Request) -> Response:
        why = self._news.unwell
        return JSONResponse({"ok": not why, "reason": why}, 503 if why else 200)

    async def metrics(self, _: Request) -> Response:
        self._expect_status()
        return Response(exposition(self._news.status, self._news.restarts), media_type=CONTENT_TYPE)

    async def openapi(self, _: Request) -> Response:
        return _json(to_json(document(needs_token=not self._door.open)))

    async def events(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query, "limit", 1, MOST_EVENTS) or DEFAULT_EVENTS
        after, before = _number(query, "after", 0, GREATEST_SEQ), _number(query, "before", 0, GREATEST_SEQ)
        if after is None:
            found = await self._records.before(before, limit)
            onward = {"before": found[-1].seq} if found else {}
        else:
            found = await self._records.after(after, limit)
            found = [each for each in found if before is None or each.seq < before]
            onward = {"after": found[-1].seq, **({} if before is None else {"before": before})} if found else {}
        link = f"/api/events?{urlencode(onward | {'limit': limit})}" if len(found) == limit else None
        return _json(b'{"events":[%s],"next":%s}' % (b",".join(each.line for each in found), to_json(link)))

    async def stream(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._news.listeners >= MOST_LISTENERS:
            raise HTTPException(503, f"{MOST_LISTENERS} clients follow the stream already", {"Retry-After": "10"})
        last = request.headers.get("last-event-id", "")
        seq = int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else None
        return StatusStream(self._news, self._records, seq)

    async def picture(self, request: Request) -> Response:
        if not self._terms.picture:
            raise HTTPException(403, "the picture may not be seen: picture = false under [page] in the settings")
        if request.method == "HEAD":
            return Response(media_type="multipart/x-mixed-replace")
        if self._news.watchers >= MOST_WATCHERS:
            raise HTTPException(503, f"{MOST_WATCHERS} clients watch the picture already", {"Retry-After": "10"})
        return PictureStream(self._news)

    async def model_state(self, request: Request) -> Response:
        return JSONResponse(await self._serving.state(request.path_params["name"]))

    async def model_metadata(self, request: Request) -> Response:
        return JSONResponse(await self._serving.metadata(request.path_params["name"]))

    async def predict(self, request: Request) -> Response:
        name, body = request.path_params["name"], await _body(request, BODY_BYTES)
        return JSONResponse(await self._serving.predict(name, body))

    async def login(self, request: Request) -> Response:
        form = dict(parse_qsl((await _body(request, FORM_BYTES)).decode("latin-1")))
        token = form.get("token", "")
        if not token:
            raise HTTPException(400, "expected a form with the field token")
        address = request.client.host if request.client else ""
        try:
            if not self._door.open and not self._door.knows(token, address):
                page = (STATIC / "login.html").read_text("utf-8")
                return HTMLResponse(page.replace("<!-- wrong -->", WRONG), 401, {"WWW-Authenticate": "Bearer"})
        except TooManyError as error:
            return too_many(error)
        answer = RedirectResponse("/", 303)
        if not self._door.open:
            answer.set_cookie(COOKIE, self._door.new_session(), SESSION_SECONDS, **self._cookie_manners())
        return answer

    async def logout(self, _: Request) -> Response:
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE, **self._cookie_manners())
        return answer

    def _cookie_manners(self) -> dict[str, Any]:
        return {"path": "/", "httponly": True, "samesite": "strict", "secure": self._terms.scheme == "https"}

    def _expect_status(self) -> None:
        if not self._news.status:
            raise HTTPException(503, NOT_YET)


FILES = {"": "index.html"} | {name: name for name in ("page.js", "charts.js", "page.css", "icon.svg")}
"""Address and file."""

WRONG = '<p role="alert">That is not the token.</p>'


def application(terms: Terms, news: News, records: Records) -> Starlette:
    """The page and API, guarded."""
    door = Door(terms.token)
    app = Starlette(
        routes=Site(terms, news, records, door).routes(),
        middleware=[Middleware(Guard, terms=terms, door=door, login_page=str(STATIC / "login.html"))],
        exception_handlers={HTTPException: _sorry, ClientDisconnect: _gone},
    )
    app.router.redirect_slashes = False
    return app


def static(name: str) -> Answer:
    """Answers with a file of the page, which stands in memory."""
    path = STATIC / name
    content, kind = path.read_bytes(), TYPES[path.suffix]

    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer


async def _sorry(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refused(error.status_code, error.detail, dict(error.headers or {}))


async def _gone(_: Request, __: Exception) -> Response:
    """To a client that left before its request was there: nobody reads this."""
    return Response(status_code=400)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _number(query: QueryParams, name: str, least: int, most: int) -> int | None:
    """A whole number of the query; None when it is not there."""
    given = query.getlist(name)
    if not given:
        return None
    text = given[0]
    if len(given) == 1 and text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise HTTPException(400, f"{name}: expected a whole number from {least} to {most}")


async def _body(request: Request, most_bytes: int) -> bytes:
    """What the client sent with the request; one that says it is too large is not read at all."""
    too_large = HTTPException(413, f"expected at most {most_bytes} bytes", {"Connection": "close"})
    if int(request.headers.get("content-length", 0)) > most_bytes:  # the server has seen to it that it is a number
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise too_large
    return bytes(body)

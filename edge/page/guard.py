"""Guard: stands in front of all addresses and turns away what is misdirected, forged or unknown."""

import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.config import LOOPBACK
from edge.page.door import COOKIE, Door, TooManyError
from edge.page.terms import Terms

PUBLIC = ("/healthz", "/login", "/page.css", "/icon.svg")
"""What needs no token; everything else does."""

EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that stand for all of this machine's."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with that, browsers call the origin of our own login form "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On each answer, where it does not say otherwise itself."""


class Guard:
    """Asks of each request, in this order: is it meant for us, is it our own page's, does it come from who may."""

    def __init__(self, app: ASGIApp, terms: Terms, door: Door, login_page: str) -> None:
        self._app, self._door, self._login_page = app, door, login_page
        self._scheme, self._port = terms.scheme, terms.port
        self._hosts = names_of(terms)
        self._everywhere = terms.address in EVERYWHERE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        refusal = self._misdirected(request) or _forged(request) or self._unknown(request)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refusal or self._app)(scope, receive, dressed)

    def _misdirected(self, request: Request) -> Response | None:
        """Another name than ours: a page elsewhere, whose name was made to lead here (DNS rebinding)."""
        host = request.headers.get("host", "").lower()
        server = request.scope.get("server") or ("", 0)
        address = server[0].removeprefix("::ffff:")  # how IPv4 looks to a socket for both
        if host in self._hosts or (self._everywhere and host in written(address, self._port, self._scheme)):
            return None
        return refused(421, "this machine is not called that: add the name to hosts under [page] in the settings")

    def _unknown(self, request: Request) -> Response | None:
        if self._door.open or request.url.path in PUBLIC:
            return None
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        address = request.client.host if request.client else ""
        try:
            if kind.lower() == "bearer" and self._door.knows(token.strip(), address):
                return None
        except TooManyError as error:
            return too_many(error)
        if not kind and self._door.knows_session(cookie_parser(request.headers.get("cookie", "")).get(COOKIE, "")):
            return None
        challenge = {"WWW-Authenticate": 'Bearer realm="emotion-edge"'}
        if request.url.path == "/":
            return FileResponse(self._login_page, 401, challenge)
        return refused(401, "expected the header Authorization: Bearer TOKEN", challenge)


def _forged(request: Request) -> Response | None:
    """What another site's page asks a browser for (CSRF); other programs send none of these headers."""
    headers = request.headers
    site = headers.get("sec-fetch-site", "same-origin")
    follows_a_link = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not follows_a_link:
        return refused(403, "not from another site's page")
    if request.method not in ("GET", "HEAD") and not _is_own(headers, request.scope["scheme"]):
        return refused(403, "not from another origin")
    return None


def _is_own(headers: Headers, scheme: str) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return True
    said = urlsplit(origin.lower())
    return said.netloc == headers.get("host", "").lower() and said.scheme in (scheme, "https")


def names_of(terms: Terms) -> frozenset[str]:
    """What the Host header may be."""
    names = {*LOOPBACK, terms.address}
    if terms.address not in LOOPBACK:
        names |= {socket.gethostname(), f"{socket.gethostname()}.local"}
    ours = {each for name in names for each in written(name, terms.port, terms.scheme)}
    for each in terms.hosts:
        ours |= {each} if _has_port(each) else written(each, terms.port, terms.scheme)
    return frozenset(each.lower() for each in ours)


def written(name: str, port: int, scheme: str) -> set[str]:
    """A name or address as the Host header has it; the scheme's own port may be left out."""
    bracketed = f"[{name}]" if ":" in name else name
    usual = port == {"http": 80, "https": 443}[scheme]
    return {f"{bracketed}:{port}", *([bracketed] if usual else [])}


def _has_port(name: str) -> bool:
    last = name.rpartition(":")[2]
    return last.isdecimal() and name.count(":") == 1


def refused(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that says no, in a sentence."""
    return JSONResponse({"error": why}, status, headers)


def too_many(error: TooManyError) -> Response:
    """The answer to an address that must wait."""
    return refused(429, "too many wrong tokens: wait", {"Retry-After": str(error.seconds)})

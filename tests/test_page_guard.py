"""Who is let in to the page: tokens, sessions, names, origins, TLS, and bounds for those who misuse it."""

import re
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.routing import Route

from edge.page.allowance import Allowance
from edge.page.door import MOST_ADDRESSES, Door, TooManyError
from edge.page.guard import PUBLIC, names_of
from edge.page.host import Page
from edge.page.news import News
from edge.page.records import Records
from edge.page.site import BODY_BYTES, FORM_BYTES, application
from edge.page.terms import Terms
from tests.page_feeder import TOKEN, Feeder, ask, fed, page_at

BEARER = {"Authorization": f"Bearer {TOKEN}"}

TERMS = Terms(TOKEN, "127.0.0.1", 8088, (), True, "", "", "", 20)


@pytest.fixture(scope="module")
def feeder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeder]:
    """One page that needs a token."""
    with page_at(tmp_path_factory.mktemp("page"), token=True) as page, fed(page) as feeder:
        yield feeder


@pytest.fixture
def page(feeder: Feeder) -> Page:
    return feeder.page


def routes() -> list[tuple[str, str]]:
    """(method, address) of all that the page answers, as its own router has them."""
    app = application(TERMS, News(lambda count: None), Records(""))
    found = []
    for route in app.routes:
        assert isinstance(route, Route) and route.methods
        path = route.path.replace("{name}", "emotion-8")
        found += [(method, path) for method in sorted(route.methods)]
    return found


ROUTES = routes()


# ---- tokens


def test_the_router_was_asked_for_its_addresses() -> None:
    assert len(ROUTES) > 20 and {path for _, path in ROUTES} >= {"/", "/picture", "/api/state", *PUBLIC}


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "emotion_edge_session=a.b"}])
def test_every_address_but_the_public_ones_gives_401_without_a_token(sent: dict[str, str], tmp_path: Path) -> None:
    with page_at(tmp_path, token=True) as page, fed(page), httpx.Client(base_url=page.url, timeout=50) as client:
        for method, path in [*ROUTES, ("GET", "/nowhere"), ("POST", "/api/state"), ("GET", "//api/state")]:
            expected = 401 if path not in PUBLIC else None
            answer = client.request(method, path, headers=sent)
            if answer.status_code == 429 and sent.get("Authorization"):
                assert path not in PUBLIC
            elif expected:
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"].startswith("Bearer")
            else:
                assert answer.status_code in (200, 400, 405), (method, path)


def test_with_the_token_every_address_answers(page: Page) -> None:
    for method, path in ROUTES:
        with httpx.stream(method, page.url.rstrip("/") + path, headers=BEARER, timeout=50) as answer:
            assert answer.status_code in (200, 303, 400, 404) and answer.status_code != 401, (method, path)


@pytest.mark.parametrize("path", ["/healthz/", "/healthz/../api/state", "/page.css/../api/state", "/login%2f..%2f"])
def test_no_spelling_of_an_address_passes_for_a_public_one(page: Page, path: str) -> None:
    """Sent as it stands: a client library would tidy it up."""
    host, port = page.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=50) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_the_page_without_a_token_is_the_form_that_asks_for_it(page: Page) -> None:
    answer = ask(page, "/")
    assert answer.status_code == 401 and 'action="/login"' in answer.text
    assert ask(page, "/page.css").status_code == 200


def test_a_browser_gets_a_cookie_for_the_token(page: Page) -> None:
    with httpx.Client(base_url=page.url) as browser:
        answer = browser.post("/login", data={"token": TOKEN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie and "Secure" not in cookie
        assert TOKEN not in cookie
        assert browser.get("/").status_code == 200 and browser.get("/api/state").status_code == 200
        assert browser.post("/logout").status_code == 303
        assert not browser.cookies and browser.get("/").status_code == 401


def test_a_session_outlives_the_process_and_ends_with_the_token() -> None:
    session = Door(TOKEN).new_session()
    assert Door(TOKEN).knows_session(session)
    assert not Door(TOKEN + "x").knows_session(session)
    number, _, signature = session.partition(".")
    for forged in ("", ".", number, f"{number}.", f".{signature}", f"{number}0.{signature}", f"{number}.{signature}é"):
        assert not Door(TOKEN).knows_session(forged)


def test_a_wrong_token_in_the_form_is_told_so(page: Page) -> None:
    answer = ask(page, "/login", "POST", data={"token": "wrong"})
    assert answer.status_code == 401 and 'role="alert"' in answer.text
    assert ask(page, "/login", "POST", data={}).status_code == 400


def test_a_token_in_an_address_is_not_taken(page: Page) -> None:
    assert ask(page, "/api/state", params={"token": TOKEN}).status_code == 401


def test_wrong_tokens_make_an_address_wait_and_a_right_one_too() -> None:
    now = 0.0
    door = Door(TOKEN, monotonic=lambda: now)
    for _ in range(10):
        assert not door.knows("wrong", "10.0.0.1")
    for token in ("wrong", TOKEN):
        with pytest.raises(TooManyError) as caught:
            door.knows(token, "10.0.0.1")
        assert caught.value.seconds == 6
    assert door.knows(TOKEN, "10.0.0.2")
    assert door.knows_session(door.new_session())
    now = 6.0
    assert door.knows(TOKEN, "10.0.0.1")


def test_only_so_many_addresses_are_remembered() -> None:
    door = Door(TOKEN)
    for number in range(MOST_ADDRESSES + 50):
        for _ in range(10):
            door.knows("wrong", str(number))
    with pytest.raises(TooManyError):
        door.knows(TOKEN, "60")
    assert door.knows(TOKEN, "0")


def test_too_many_wrong_tokens_are_429_with_how_long_to_wait(tmp_path: Path) -> None:
    with page_at(tmp_path, token=True) as page, fed(page), httpx.Client(base_url=page.url) as client:
        codes = [client.get("/api/state", headers={"Authorization": "Bearer no"}).status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2
        refused = client.post("/login", data={"token": TOKEN})
        assert refused.status_code == 429 and 1 <= int(refused.headers["retry-after"]) <= 6
        assert client.get("/api/state").status_code == 401


def test_an_allowance_comes_back_with_time() -> None:
    now = 0.0
    allowance = Allowance(3, 0.5, monotonic=lambda: now)
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    assert allowance.seconds_until(2) == 4
    now = 4.0
    assert allowance.take(2) and not allowance.take()
    now = 1000.0
    assert allowance.left == 3


# ---- names and origins


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("LOCALHOST:{port}", True),
        ("[::1]:{port}", True),
        ("emo.lan:{port}", True),
        ("emo.example.org:443", True),
        ("emo.example.org", False),
        ("127.0.0.1", False),
        ("127.0.0.1:1", False),
        ("evil.example:{port}", False),
        ("127.0.0.1.evil.example:{port}", False),
        ("localhost:{port}@evil.example", False),
        ("", False),
    ],
)
def test_only_the_names_of_this_machine_are_answered(tmp_path: Path, host: str, known: bool) -> None:
    terms = Terms(TOKEN, "127.0.0.1", 8088, ("emo.lan", "emo.example.org:443"), True, "", "", "", 20)
    assert (host.format(port=8088).lower() in names_of(terms)) == known


def test_beyond_this_machine_its_own_name_is_known_and_a_port_of_the_scheme_may_be_left_out() -> None:
    name = socket.gethostname().lower()
    assert {f"{name}:443", name, f"{name}.local"} <= names_of(
        Terms(TOKEN, "0.0.0.0", 443, (), True, "certificate", "key", "", 20)
    )
    assert f"{name}:8088" not in names_of(TERMS)


def test_another_name_is_refused_everywhere(page: Page) -> None:
    for method, path in [*ROUTES, ("GET", "/nowhere")]:
        answer = ask(page, path, method, headers=BEARER | {"Host": "evil.example:80"})
        assert answer.status_code == 421, (method, path)


def test_on_all_addresses_the_one_that_was_called_is_a_name(tmp_path: Path) -> None:
    with page_at(tmp_path, token=True, address="0.0.0.0") as page, fed(page):
        port = page.url.split(":")[2].strip("/")
        for address, code in (("127.0.0.1", 200), ("127.0.0.2", 200), ("evil.example", 421), ("127.0.0.3", 421)):
            to = address if address == "127.0.0.2" else "127.0.0.1"
            answer = httpx.get(f"http://{to}:{port}/healthz", headers={"Host": f"{address}:{port}"}, trust_env=False)
            assert answer.status_code == code, address


FOREIGN: list[tuple[dict[str, str], str]] = [
    ({"Origin": "http://evil.example"}, "POST"),
    ({"Origin": "null"}, "POST"),
    ({"Origin": "http://127.0.0.1:1"}, "POST"),
    ({"Sec-Fetch-Site": "cross-site"}, "POST"),
    ({"Sec-Fetch-Site": "same-site"}, "POST"),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, "POST"),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, "GET"),
    ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, "GET"),
]


@pytest.mark.parametrize(("sent", "asked"), FOREIGN)
def test_what_another_sites_page_asks_for_is_refused(page: Page, sent: dict[str, str], asked: str) -> None:
    for method, path in ROUTES:
        if method == asked:
            answer = ask(page, path, method, headers=BEARER | sent)
            assert answer.status_code == 403, (method, path)


def test_a_link_from_another_site_may_be_followed_and_our_own_page_may_ask(page: Page) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    own = {"Sec-Fetch-Site": "same-origin", "Origin": page.url.rstrip("/")}
    assert ask(page, "/", headers=BEARER | link).status_code == 200
    assert ask(page, "/logout", "POST", headers=BEARER | own).status_code == 303


def test_each_answer_has_the_headers_that_keep_it_to_itself(page: Page) -> None:
    for path, sent in (
        ("/", BEARER),
        ("/api/state", BEARER),
        ("/nowhere", BEARER),
        ("/api/state", {}),
        ("/healthz", {}),
    ):
        headers = ask(page, path, headers=sent).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers and "server" not in headers


def test_the_page_names_no_other_site() -> None:
    for path in (Path(__file__).parents[1] / "edge" / "page" / "static").iterdir():
        addresses = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"']*", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tls")
    made = {"certificate": folder / "page.crt", "key": folder / "page.key"}
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(made["key"]), "-out", str(made["certificate"])]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return made


def test_with_a_certificate_it_speaks_tls_and_the_cookie_is_for_tls_only(
    tmp_path: Path, certificate: dict[str, Any]
) -> None:
    trusted = ssl.create_default_context(cafile=certificate["certificate"])
    with page_at(tmp_path, token=True, **certificate) as page, fed(page), httpx.Client(verify=trusted) as client:
        assert page.url.startswith("https://")
        assert client.get(page.url + "api/state", headers=BEARER).status_code == 200
        answer = client.post(page.url + "login", data={"token": TOKEN}, headers={"Origin": page.url.rstrip("/")})
        assert answer.status_code == 303 and "Secure" in answer.headers["set-cookie"]
        with client.stream("GET", page.url + "picture", headers=BEARER, timeout=50) as stream:
            assert b"\xff\xd8" in next(each for each in stream.iter_raw() if len(each) > 100)


def test_old_tls_and_no_tls_are_not_answered(tmp_path: Path, certificate: dict[str, Any]) -> None:
    with page_at(tmp_path, **certificate) as page, fed(page):
        port = int(page.url.split(":")[2].strip("/"))
        for version in ("-tls1_1", "-tls1_2"):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-cipher", "ALL:@SECLEVEL=0"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
            assert ("Cipher is (NONE)" in done.stdout) == (version == "-tls1_1"), done.stdout
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")


# ---- bounds


def connected(page: Page) -> socket.socket:
    host, port = page.url.split("/")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=50)


def head_of(page: Page, method: str, path: str, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {page.url.split('/')[2]}", f"Authorization: Bearer {TOKEN}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(("path", "most"), [("/v1/models/emotion-8:predict", BODY_BYTES), ("/login", FORM_BYTES)])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(page: Page, path: str, most: int) -> None:
    with connected(page) as client:
        client.sendall(head_of(page, "POST", path, f"Content-Length: {most + 1}"))
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_end_is_not_read_for_long(page: Page) -> None:
    """The answer may get lost: who hangs up on somebody who is still talking resets the connection."""
    with connected(page) as client, suppress(ConnectionError):
        client.sendall(head_of(page, "POST", "/v1/models/emotion-8:predict", "Transfer-Encoding: chunked"))
        sent = 0
        while not select.select([client], [], [], 0)[0]:
            client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
            sent += 65536
            assert sent < 64 * 1024 * 1024
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_headers_that_are_too_large_are_refused(page: Page) -> None:
    with connected(page) as client:
        with suppress(ConnectionError):
            client.sendall(head_of(page, "GET", "/healthz", "X: " + "x" * 4_000_000))
        with suppress(ConnectionError):
            assert not client.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_keeps_us_waiting_is_dropped_for_a_new_one(page: Page) -> None:
    with ExitStack() as waiting:
        first, *others = [waiting.enter_context(connected(page)) for _ in range(91)]
        for client in (first, *others):
            client.sendall(b"GET /heal")
        assert ask(page, "/healthz").status_code == 200
        assert dropped(first)
        assert sum(map(dropped, others)) < 40


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="this system has no deferred accept")
def test_clients_that_say_nothing_take_nobodys_place(page: Page) -> None:
    """They wait in the kernel: the page's process does not hear of them before they speak."""
    process = psutil.Process(page.pid)
    with ExitStack() as idle:
        silent = [idle.enter_context(connected(page)) for _ in range(300)]
        assert ask(page, "/healthz").status_code == 200
        assert len(process.net_connections()) <= 8
        assert not any(map(dropped, silent))
        silent[0].sendall(head_of(page, "GET", "/healthz"))
        assert silent[0].recv(65536).startswith(b"HTTP/1.1 200 ")


def dropped(client: socket.socket) -> bool:
    """Whether the other end has closed the connection."""
    if not select.select([client], [], [], 0)[0]:
        return False
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.long
@pytest.mark.parametrize(
    "begun", ["", "GET / HT", "POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\na"]
)
def test_a_request_that_never_ends_is_dropped_after_a_while(page: Page, begun: str) -> None:
    """It sends a byte now and then, so that no silence betrays it."""
    with connected(page) as client:
        began = time.monotonic()
        client.sendall(begun.format(host=page.url.split("/")[2]).encode())
        while not select.select([client], [], [], 0.5)[0]:
            client.sendall(b"a" if begun else b"")
            assert time.monotonic() - began < 60
        assert dropped(client)
        assert time.monotonic() - began > 5


@pytest.mark.long
def test_an_answered_client_that_begins_anew_and_stops_is_dropped(page: Page) -> None:
    with connected(page) as client:
        client.sendall(head_of(page, "GET", "/healthz"))
        answer = b""
        while b'"ok"' not in answer:
            answer += client.recv(65536)
        client.sendall(b"GET /heal")
        assert select.select([client], [], [], 50)[0] and dropped(client)


@pytest.mark.long
def test_a_watcher_that_never_reads_is_dropped_and_ten_others_see_the_picture_move(page: Page, feeder: Feeder) -> None:
    """Ten follow: eight with the picture, as many as may, one of which never reads; and three the stream."""
    with ExitStack() as all_of_them:
        deaf = all_of_them.enter_context(connected(page))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(head_of(page, "GET", "/picture"))
        client = all_of_them.enter_context(httpx.Client(timeout=50, headers=BEARER))
        paths = ["picture"] * 7 + ["api/stream"] * 3
        streams = [all_of_them.enter_context(client.stream("GET", page.url + path)).iter_raw() for path in paths]
        received = [0] * len(streams)
        while not _has_left(page, 7):
            for number, stream in enumerate(streams):
                received[number] += len(next(stream))
        assert all(received)
        before = feeder.statuses
        for number, stream in enumerate(streams):
            for _ in range(5):
                received[number] += len(next(stream))
        assert feeder.error is None and feeder.statuses >= before


def _has_left(page: Page, watchers: int) -> bool:
    """Whether a picture's place is free: then the one that does not read has been dropped."""
    with httpx.stream("GET", page.url + "picture", headers=BEARER, timeout=50) as answer:
        return answer.status_code == 200

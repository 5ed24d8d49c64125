"""A real browser without a screen, driven over its DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.page_feeder import until

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-default-browser-check"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--disable-dev-shm-usage",
    ),
    *("--disable-default-apps", "--mute-audio", "--ignore-certificate-errors", "--remote-debugging-port=0"),
)

MESSAGE_BYTES = 64 * 1024 * 1024


class Tab:
    """One tab. What fails in the page's own script is in `errors`."""

    def __init__(self, link: ClientConnection) -> None:
        self._link, self._numbers = link, count(1)
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": arguments}))
        while True:
            message = json.loads(self._link.recv(timeout=50))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(message["params"]["exceptionDetails"]["exception"].get("description", "?"))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["source"] == "security":
            self.errors.append(message["params"]["entry"]["text"])

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def open(self, url: str) -> None:
        self.do("Page.navigate", url=url)

    def wait(self, script: str) -> None:
        """Until an expression is true; a page that is just being loaded is asked again."""

        def true() -> bool:
            try:
                return bool(self.evaluate(script))
            except AssertionError:
                return False

        try:
            until(true)
        except TimeoutError as error:
            raise TimeoutError(f"never true: {script}; errors: {self.errors}") from error

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def size(self, width: int, height: int, phone: bool = False) -> None:
        scale = 2 if phone else 1
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone)

    def colours(self, scheme: str) -> None:
        """ "light" or "dark", as the system would say."""
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, **how: Any) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.do("Page.captureScreenshot", **({"format": "png"} | how))["data"])


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A fresh Chromium with one tab, its files in `folder`; skips the test where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here (apt install chromium)")
    places = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    with (folder / "log").open("w") as log:
        command = [program, *FLAGS, f"--user-data-dir={folder}/profile", "about:blank"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | places, start_new_session=True)
        try:
            with connect(_tab_address(folder), max_size=MESSAGE_BYTES) as link:
                yield Tab(link)
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _tab_address(folder: Path) -> str:
    """Where its one tab listens, once it is there."""
    told = folder / "profile" / "DevToolsActivePort"
    until(lambda: told.exists() and told.read_text().count("\n"))
    port = told.read_text().splitlines()[0]
    found: list[str] = []

    def there() -> bool:
        tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
        found[:] = [each["webSocketDebuggerUrl"] for each in tabs if each["type"] == "page"]
        return bool(found)

    until(there)
    return found[0]

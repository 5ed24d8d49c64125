"""The page in a real browser: what a person sees of it, with a mouse, a keyboard, a phone."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge import config
from edge.page import host
from edge.record import Recorder
from edge.store import Store
from tests.browser import Tab, browser
from tests.page_feeder import TOKEN, Feeder, fed, page_at, until
from tests.test_page_api import EVENT

PIXELS = """(() => {
  const picture = document.querySelector("#frame img"), canvas = document.createElement("canvas");
  if (!picture?.naturalWidth) return "";
  [canvas.width, canvas.height] = [64, 48];
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, 64, 48);
  return pen.getImageData(0, 0, 64, 48).data.join();
})()"""
"""What the picture shows just now, as text."""

LIVE = 'document.querySelector("#link")?.textContent === "live"'


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="module")
def shown(tab: Tab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tab, Feeder, Recorder]]:
    """A browser that looks at a page beside a store with 30 events."""
    folder = tmp_path_factory.mktemp("page")
    with closing(Store(config.Store(path=folder / "events.db"))) as store:
        recorder = Recorder("emo-kitchen", "model", [store])
        for _ in range(30):
            recorder.write(EVENT)
        until(lambda: store.committed_seq == 30)
        with page_at(folder, store=store.path) as page, fed(page) as feeder:
            tab.open(page.url)
            tab.wait(LIVE)
            yield tab, feeder, recorder


def test_the_picture_moves(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, _, _ = shown
    seen: set[str] = set()

    def two() -> bool:
        seen.add(str(tab.evaluate(PIXELS)))
        return len(seen - {""}) >= 2

    until(two)
    assert len((seen - {""}).pop().split(",")) == 64 * 48 * 4


def test_labels_change_and_charts_fill(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, _, _ = shown
    assert tab.text("#device") == "emo-kitchen"
    first = tab.text("#headline")
    assert first in ("happy", "neutral", "surprise", "uncertain")
    tab.wait(f'document.querySelector("#headline").innerText !== "{first}"')
    tab.wait('document.querySelectorAll("#timeline rect").length >= 3')
    for chart in ("fps", "delay"):
        tab.wait(f'document.querySelector("#{chart} polyline")?.getAttribute("points").split(" ").length >= 3')
    assert "Shares of the time" in str(tab.evaluate('document.querySelector("#timeline svg").ariaLabel'))
    assert tab.errors == []


def test_an_uncertain_face_is_said_to_be_so_with_the_reason(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, _, _ = shown
    tab.wait('document.querySelector("#faces h3")?.innerText === "Face 7: uncertain: too blurred to read"')
    tab.wait('/^Face 7: happy, [0-9]+ %$/.test(document.querySelector("#faces h3")?.innerText)')
    assert "An expression is not a feeling" in tab.text("#now")


def test_health_and_settings_are_told(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, _, _ = shown
    health = tab.text("#health")
    for words in (
        "running",
        "2 times",
        "connection refused",
        "52.1 °C",
        "was: under-voltage",
        "90 MB",
        "every 2. picture",
    ):
        assert words in health
    assert "connection refused" in tab.text("#health .bad")
    tab.evaluate('document.querySelector("summary").click()')
    assert "[camera]" in tab.text("#settings") and "/dev/video0" in tab.text("#settings")


def test_events_are_listed_and_a_new_one_comes_by_itself(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, feeder, recorder = shown
    tab.wait('document.querySelectorAll("#events li").length === 20')
    assert "Face 7 is now happy, 83 %" in tab.text("#events li:first-child")
    tab.evaluate('document.querySelector("#older").click()')
    tab.wait('document.querySelectorAll("#events li").length === 30')
    assert tab.evaluate('document.querySelector("#older").hidden') is True
    recorder.write(EVENT)
    feeder.changed = {"store": {"path": "events.db", "held": 0, "lost": 0, "last_seq": 31}}
    tab.wait('document.querySelectorAll("#events li").length === 31')


def test_the_picture_can_be_hidden_by_keyboard_and_is_not_made_then(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, feeder, _ = shown
    until(lambda: feeder.page.watched)
    tab.evaluate("document.activeElement.blur()")
    press(tab, "Tab")
    assert tab.evaluate("document.activeElement.id") == "toggle"
    press(tab, "Enter")
    until(lambda: not feeder.page.watched)
    assert "not made while nobody looks" in tab.text("#hint")
    press(tab, "Enter")
    until(lambda: feeder.page.watched)


def press(tab: Tab, key: str) -> None:
    code = {"Tab": 9, "Enter": 13}[key]
    text = {"text": "\r"} if key == "Enter" else {}
    tab.do("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
    tab.do("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)


def test_everything_has_a_name_for_those_who_cannot_see_it(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, _, _ = shown
    tree = tab.do("Accessibility.getFullAXTree")["nodes"]
    kinds = {"button", "image", "link", "region", "heading", "textbox"}
    named = [each for each in tree if not each["ignored"] and each["role"]["value"] in kinds]
    assert len(named) > 15
    assert [each["role"]["value"] for each in named if not each.get("name", {}).get("value")] == []


@pytest.mark.parametrize("width", [360, 320, 700, 1000, 1400])
def test_nothing_is_wider_than_the_screen(shown: tuple[Tab, Feeder, Recorder], width: int) -> None:
    tab, _, _ = shown
    tab.size(width, 780)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    heights = "[...document.querySelectorAll('button')].map((each) => each.offsetHeight).filter(Boolean)"
    assert min(tab.evaluate(heights)) >= 32  # for a finger


def test_dark_is_dark_and_light_is_light(shown: tuple[Tab, Feeder, Recorder]) -> None:
    tab, _, _ = shown
    ground = {}
    for scheme in ("light", "dark"):
        tab.colours(scheme)
        colour = str(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        ground[scheme] = sum(int(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(","))
    assert ground["light"] > 650 and ground["dark"] < 120


@pytest.mark.long
def test_it_says_when_there_is_no_news_and_comes_back_by_itself(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with page_at(tmp_path) as page, fed(page):
        tab.open(page.url)
        tab.wait(LIVE)
        tab.wait(f"{PIXELS} !== ''")
        monkeypatch.setattr(host, "FIRST_PAUSE_SECONDS", 0.1)
        os.kill(page.pid, signal.SIGSTOP)  # as after a power cut: the connection stands, nothing comes
        tab.wait('document.querySelector("#link").textContent.startsWith("no news since")')
        assert tab.evaluate('document.body.classList.contains("stale")') is True
        os.kill(page.pid, signal.SIGKILL)
        tab.wait(LIVE)
        tab.wait(f"{PIXELS} !== ''")
        tab.open("about:blank")


def test_a_forbidden_picture_is_explained(tab: Tab, tmp_path: Path) -> None:
    settings = {"page": {"picture": False}}
    with page_at(tmp_path, picture=False) as page, fed(page, settings=settings):
        tab.open(page.url)
        tab.wait(LIVE)
        tab.wait('document.querySelector("#hint").innerText.includes("settings forbid it")')
        assert tab.evaluate('document.querySelector("#toggle").hidden') is True
        tab.open("about:blank")


def own_address() -> str:
    """An address of this machine that browsers do not trust as they trust 127.0.0.1; empty if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return ""
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("address", ["127.0.0.1", own_address()])
def test_a_wrong_token_is_refused_and_the_right_one_opens_the_page(tab: Tab, tmp_path: Path, address: str) -> None:
    if not address:
        pytest.skip("this machine has no address but its own")
    settings = {"page": {"token_file": "token"}}
    with page_at(tmp_path, token=True, address=address) as page, fed(page, settings=settings):
        tab.open(page.url)
        enter(tab, "wrong-but-long-enough")
        tab.wait("document.querySelector('[role=alert]')?.innerText === 'That is not the token.'")
        enter(tab, TOKEN)
        tab.wait(LIVE)
        tab.wait(f"{PIXELS} !== ''")
        assert tab.evaluate("document.cookie") == "" and TOKEN not in tab.evaluate("location.href")
        tab.evaluate("document.querySelector('#leave button').click()")
        tab.wait("document.querySelector('#token') !== null")
        assert tab.errors == []


def enter(tab: Tab, token: str) -> None:
    tab.wait("document.querySelector('#token') !== null")
    tab.evaluate(f"document.querySelector('#token').value = '{token}'; document.querySelector('.login button').click()")

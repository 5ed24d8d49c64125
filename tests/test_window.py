"""Window: real processes on a real X server, with real keys; what they show is read from the server's memory."""

import ctypes
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.render import Picture, fitted
from tests.screen import WIDTH, Screen, screenless

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys, time
import numpy as np
from edge.window import Window

window = Window()
picture = np.load(sys.argv[1])
window.show(picture)
print("shown", flush=True)
while window.show(picture):
    time.sleep(0.01)
print("closed", window.show(picture), flush=True)
window.close()
window.close()
"""


@dataclass(frozen=True)
class Shown:
    """A process that shows a picture, and its window's number."""

    process: subprocess.Popen[str]
    window: str

    def ended(self) -> None:
        """Wait for the end of the process: the person closed the window."""
        output, complaints = self.process.communicate(timeout=60)
        assert (output, complaints, self.process.returncode) == ("closed False\n", "", 0)


@contextmanager
def showing(picture: Picture, screen: Screen, folder: Path) -> Iterator[Shown]:
    np.save(folder / "picture.npy", picture)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, str(folder / "picture.npy")]
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=screen.environment(), text=True, **streams) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == "shown\n", process.stderr.read()
            found = screen.xdotool("search", "--sync", "--onlyvisible", "--pid", str(process.pid))
            yield Shown(process, found.split()[0])
        finally:
            process.kill()


def patches(height: int, width: int) -> Picture:
    """A picture in which no part is like another or its mirror image."""
    coarse = np.random.default_rng(1).integers(0, 256, (height // 20 + 1, width // 20 + 1, 3)).astype(np.uint8)
    return coarse.repeat(20, axis=0).repeat(20, axis=1)[:height, :width]


PICTURE = patches(240, 320)


def until(true: Callable[[], bool]) -> None:
    """Wait until it is true; the test's time limit is the end of patience."""
    while not true():
        time.sleep(0.01)


def place(screen: Screen, window: str) -> tuple[int, int, int, int]:
    """Left, top, width and height of the window."""
    told = dict(line.split("=") for line in screen.xdotool("getwindowgeometry", "--shell", window).split())
    return int(told["X"]), int(told["Y"]), int(told["WIDTH"]), int(told["HEIGHT"])


def arrived(picture: Picture, screen: Screen, window: str) -> bool:
    """Whether the window now shows exactly this."""
    left, top, width, height = place(screen, window)
    there = screen.picture()[top : top + height, left : left + width]
    return there.shape == picture.shape and bool((there == picture).all())


def press_close_button(screen: Screen, window: str) -> None:
    """Send WM_DELETE_WINDOW as a window manager does: section 4.2.8.1 of the ICCCM."""
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        pytest.skip("libX11 is not installed")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(x11.XOpenDisplay(screen.display.encode()))
    protocols, delete = (
        ctypes.c_ulong(x11.XInternAtom(display, name, 0)) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    # XClientMessageEvent of Xlib.h, padded to an XEvent's 24 longs: type, serial, send_event, display, window, ...
    event = struct.pack("iLiPLLi5l", 33, 0, 1, 0, int(window), protocols.value, 32, delete.value, 0, 0, 0, 0)
    assert x11.XSendEvent(display, ctypes.c_ulong(int(window)), 0, ctypes.c_long(0), event.ljust(192, b"\0"))
    x11.XCloseDisplay(display)


def test_the_picture_arrives_on_the_screen(screen: Screen, tmp_path: Path) -> None:
    with showing(PICTURE, screen, tmp_path) as shown:
        assert screen.xdotool("getwindowname", shown.window) == "emotion-edge\n"
        until(lambda: arrived(PICTURE, screen, shown.window))


@pytest.mark.parametrize("size", [(640, 300), (200, 400), (321, 241)])
def test_a_resized_window_shows_the_whole_picture_in_its_proportions(
    size: tuple[int, int], screen: Screen, tmp_path: Path
) -> None:
    with showing(PICTURE, screen, tmp_path) as shown:
        screen.xdotool("windowsize", shown.window, *map(str, size))
        until(lambda: arrived(fitted(PICTURE, *size), screen, shown.window))


def test_a_picture_larger_than_the_screen_opens_a_smaller_window(screen: Screen, tmp_path: Path) -> None:
    with showing(patches(1500, 3000), screen, tmp_path) as shown:
        until(lambda: place(screen, shown.window)[2:] == (round(0.9 * WIDTH), round(0.45 * WIDTH)))


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_q_and_escape_close_the_window(key: str, screen: Screen, tmp_path: Path) -> None:
    with showing(PICTURE, screen, tmp_path) as shown:
        screen.xdotool("windowfocus", "--sync", shown.window, "key", key)
        shown.ended()


def test_the_close_button_closes_the_window(screen: Screen, tmp_path: Path) -> None:
    with showing(PICTURE, screen, tmp_path) as shown:
        press_close_button(screen, shown.window)
        shown.ended()


def test_another_key_does_not_close_the_window(screen: Screen, tmp_path: Path) -> None:
    with showing(PICTURE, screen, tmp_path) as shown:
        # The window learns of its new size after it has learned of the keys.
        screen.xdotool(
            "windowfocus", "--sync", shown.window, "key", "a", "space", "windowsize", shown.window, "400", "300"
        )
        until(lambda: arrived(fitted(PICTURE, 400, 300), screen, shown.window))
        assert shown.process.poll() is None


def test_signals_stay_with_python(screen: Screen, tmp_path: Path) -> None:
    with showing(PICTURE, screen, tmp_path) as shown:
        shown.process.send_signal(signal.SIGTERM)
        assert shown.process.wait(timeout=60) == -signal.SIGTERM  # SDL would have made a closed window of it


def answer(program: str, **environment: str) -> str:
    """What a program prints; it must end well and complain of nothing."""
    command = [sys.executable, "-W", "error", "-c", program]
    variables = screenless() | environment
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_nothing_but_the_display_is_started(screen: Screen) -> None:
    program = """
from edge.window import Window
window = Window()
import pygame
print(pygame.display.get_init(), pygame.mixer.get_init(), pygame.joystick.get_init(), pygame.font.get_init())
window.close()
print(pygame.display.get_init())
"""
    assert answer(program, DISPLAY=screen.display) == "True None False False\nFalse\n"


def test_importing_the_module_does_not_import_pygame() -> None:
    assert answer("import sys, edge.window; print('pygame' in sys.modules)") == "False\n"


REFUSED = """
import sys
from edge.errors import OutputError
from edge.window import Window
try:
    Window()
except OutputError as error:
    print(error)
import pygame
print(pygame.display.get_init())
"""


def test_without_pygame_the_message_says_how_to_install_it() -> None:
    program = REFUSED.replace("import sys\n", "import sys\nsys.modules['pygame'] = None\n").partition(
        "import pygame\n"
    )[0]
    (line,) = answer(program).splitlines()
    assert 'pip install "emotion-edge[window]"' in line
    assert "scripts/setup" in line


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"DISPLAY": ":65000"}, id="a display that is not there"),
        pytest.param({"WAYLAND_DISPLAY": "wayland-none"}, id="a compositor that is not there"),
        pytest.param({"DISPLAY": ":65000", "SDL_VIDEODRIVER": "dummy"}, id="a driver that shows nothing"),
        pytest.param({"SDL_VIDEODRIVER": "offscreen"}, id="another one"),
        pytest.param({"SDL_VIDEODRIVER": "nonsense"}, id="a driver that does not exist"),
    ],
)
def test_without_a_display_one_line_says_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    line, started = answer(REFUSED, XDG_RUNTIME_DIR=str(tmp_path), **environment).splitlines()
    assert line.startswith("no display for a window") and "leave out --window" in line
    assert started == "False"


@pytest.mark.skipif(Path("/dev/dri").exists(), reason="this machine's console may be a screen")
def test_without_any_screen_one_line_says_what_to_do() -> None:
    line, started = answer(REFUSED).splitlines()
    assert line.startswith("no display for a window") and "leave out --window" in line
    assert started == "False"

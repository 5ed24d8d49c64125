"""Window: shows pictures on the screen, until the person closes it."""

import os
import sys

import numpy as np

from edge.errors import OutputError
from edge.render import Picture, fitted

TITLE = "emotion-edge"

FIRST_SIZE = (640, 480)
"""Width and height of the window until the first picture comes, pixels."""

SCREEN_SHARE = 0.9
"""The window opens as large as its first picture, but at most this share of the screen."""

SCREENLESS = ("dummy", "offscreen")
"""SDL's drivers that show nothing."""


class Window:
    """Opens a window; OutputError without pygame or without a display. All calls belong to one thread, the main one.

    Only SDL's video part is started: no sound, no joystick, and signals stay with Python.
    """

    def __init__(self) -> None:
        os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
        os.environ["SDL_NO_SIGNAL_HANDLERS"] = "1"
        if sys.platform == "linux" and not os.environ.get("SDL_VIDEODRIVER"):
            os.environ["SDL_VIDEODRIVER"] = _drivers()
        try:
            import pygame
        except ImportError as error:
            raise OutputError(
                'no window without pygame: pip install "emotion-edge[window]" (in a checkout: scripts/setup), '
                "or leave out --window"
            ) from error
        self._pygame = pygame
        self._closed = self._shown = False
        try:
            self._open()
        except BaseException:
            pygame.display.quit()
            raise

    def show(self, picture: Picture) -> bool:
        """Show `picture` as large as fits, on black; false once the person pressed q or Esc or closed the window.

        picture  (height, width, 3) uint8, RGB
        """
        if self._closed or self._asked_to_close():
            return False
        if not self._shown:
            self._set_size(picture.shape[1], picture.shape[0])
            self._shown = True
        size = self._screen.get_size()
        pixels = np.ascontiguousarray(fitted(picture, *size))
        self._screen.blit(self._pygame.image.frombuffer(pixels.data, size, "RGB"), (0, 0))
        self._pygame.display.flip()
        return True

    def close(self) -> None:
        """Take the window off the screen; a second call does nothing."""
        self._closed = True
        self._pygame.display.quit()

    def _open(self) -> None:
        driver = os.environ.get("SDL_VIDEODRIVER", "")
        try:
            self._pygame.display.init()
            driver = self._pygame.display.get_driver()
            if driver in SCREENLESS:
                raise self._pygame.error(f"SDL_VIDEODRIVER={driver} shows nothing")
            self._pygame.display.set_caption(TITLE)
            self._screen = self._pygame.display.set_mode(FIRST_SIZE, self._pygame.RESIZABLE)
        except self._pygame.error as error:
            raise OutputError(
                f"no display for a window ({error}): leave out --window to run headless, or start it from a desktop"
            ) from error

    def _set_size(self, width: int, height: int) -> None:
        screen_width, screen_height = self._pygame.display.get_desktop_sizes()[0]
        scale = min(1.0, SCREEN_SHARE * screen_width / width, SCREEN_SHARE * screen_height / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        self._screen = self._pygame.display.set_mode(size, self._pygame.RESIZABLE)

    def _asked_to_close(self) -> bool:
        pygame = self._pygame
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (
                event.type == pygame.KEYDOWN and event.key in (pygame.K_q, pygame.K_ESCAPE)
            ):
                self._closed = True
            elif event.type == pygame.VIDEORESIZE:
                self._screen = pygame.display.get_surface()
        return self._closed


def _drivers() -> str:
    """SDL's drivers for the screens that are there, best first; SDL by itself falls back to one that shows nothing."""
    variables = {"x11": "DISPLAY", "wayland": "WAYLAND_DISPLAY"}
    return ",".join(driver for driver, name in variables.items() if os.environ.get(name)) or "kmsdrm"

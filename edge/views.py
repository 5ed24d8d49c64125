"""Views: the annotated picture, on the screen, in a file and on the page, if asked for."""

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge.render import Picture, draw
from edge.scene import Scene
from edge.stats import Rate

if TYPE_CHECKING:  # each is imported when it is asked for
    from edge.recording import Recording
    from edge.window import Window

CAPTION_SECONDS = 1.0
"""The rate in the picture is that of the last stretch of so long."""


class Watched(Protocol):
    """Who shows pictures to people far away."""

    @property
    def watched(self) -> bool:
        """Whether somebody watches just now."""

    def show_picture(self, picture: Picture, /) -> None:
        """Show (height, width, 3) uint8, RGB; returns at once."""
        ...


class Views:
    """Opens what was asked for; OutputError if it cannot be.

    window  show the picture until the person closes it
    record  store it in this file, as an MP4
    page    show it there too, while somebody watches
    """

    def __init__(self, window: bool, record: Path | None, page: Watched | None = None) -> None:
        self._page = page
        self._rate, self._since, self._caption = Rate(), 0.0, ""
        with ExitStack() as opened:
            self._recording = opened.enter_context(closing(_recording(record))) if record else None
            self._window = opened.enter_context(closing(_window())) if window else None
            self._opened = opened.pop_all()

    def show(self, scene: Scene, published_at: float) -> bool:
        """Draw the scene that was published at a time.monotonic(); false once the person closed the window."""
        watched = self._page is not None and self._page.watched
        if not (self._window or self._recording or watched):
            return True
        self._count(scene.frame.number, published_at)
        picture = draw(scene, self._caption)
        if self._recording:
            self._recording.write(picture, scene.frame.moment)
        if self._page and watched:
            self._page.show_picture(picture)
        return self._window is None or self._window.show(picture)

    def close(self) -> None:
        """Close the window, and make the video playable."""
        self._opened.close()

    def _count(self, number: int, now: float) -> None:
        self._rate.add(number, now)
        if now - self._since >= CAPTION_SECONDS:
            self._caption = f"{self._rate.per_second:.1f} FPS" if self._rate.per_second else ""
            self._rate.start_over()
            self._since = now


def _recording(path: Path) -> "Recording":
    from edge.recording import Recording

    return Recording(path)


def _window() -> "Window":
    from edge.window import Window

    return Window()

"""Views: the annotated picture, on the screen and in a file, if asked for."""

from contextlib import ExitStack, closing
from pathlib import Path

from edge.recording import Recording
from edge.render import draw
from edge.scene import Scene
from edge.stats import Rate
from edge.window import Window

CAPTION_SECONDS = 1.0
"""The rate in the picture is that of the last stretch of so long."""


class Views:
    """Opens what was asked for; OutputError if it cannot be.

    window  show the picture until the person closes it
    record  store it in this file, as an MP4
    """

    def __init__(self, window: bool, record: Path | None) -> None:
        self._rate, self._since, self._caption = Rate(), 0.0, ""
        with ExitStack() as opened:
            self._recording = opened.enter_context(closing(Recording(record))) if record else None
            self._window = opened.enter_context(closing(Window())) if window else None
            self._opened = opened.pop_all()

    def show(self, scene: Scene, published_at: float) -> bool:
        """Draw the scene that was published at a time.monotonic(); false once the person closed the window."""
        if not (self._window or self._recording):
            return True
        self._count(scene.frame.number, published_at)
        picture = draw(scene, self._caption)
        if self._recording:
            self._recording.write(picture, scene.frame.moment)
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

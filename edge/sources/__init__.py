"""Where frames come from: the demo clip, a video file, a camera, a folder of pictures."""

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge import config
from edge.errors import SourceError

if TYPE_CHECKING:  # a camera's process, which the system's Python may run, has no OpenCV
    from edge.events import CameraEvent
    from edge.scene import Frame


class Source(Protocol):
    """Frames, and what one can know before the first of them.

    Each iteration opens the source, yields its frames in order (numbers from 0 and moments that rise; a camera's
    numbers have gaps), and closes it, all on the thread that iterates. What cannot be read raises SourceError: files
    when the source is made, cameras and what breaks later from the iteration.
    """

    @property
    def name(self) -> str:
        """For people: the file, or the camera."""

    @property
    def live(self) -> bool:
        """It goes on in its own time, a camera or a paced film: the newest frame is the one to have."""

    @property
    def length(self) -> int | None:
        """How many frames there will be, for a progress bar; none for a camera."""

    def __iter__(self) -> "Generator[Frame, None, None]": ...


def is_camera(said: str) -> bool:
    """Whether a source's name is a camera's: its number, its device, or a Raspberry Pi camera's."""
    return said.isdecimal() or said.startswith("/dev/") or is_picamera(said)


def is_picamera(said: str) -> bool:
    """Whether a source's name is that of a camera which libcamera reads: "picamera", or "picamera:1" for its second."""
    first, colon, number = said.partition(":")
    return first == "picamera" and (number.isdecimal() if colon else True)


def open_source(
    settings: config.Camera,
    tell: "Callable[[CameraEvent], None]" = lambda event: None,
    gap: Callable[[], None] = lambda: None,
    patient: bool = False,
) -> Source:
    """The source that `settings.source` names; SourceError if there is none like it.

    A camera's is a guard.Guarded: `tell` is handed its events, `gap` called when it delivers no more for now; with
    `patient` it is waited for, also if it is not there at the start.
    """
    source = _open(settings, tell, gap, patient)
    if not settings.repeat or is_camera(settings.source):
        return source
    from edge.sources.repeated import Repeated

    return Repeated(source)


def _open(
    settings: config.Camera, tell: "Callable[[CameraEvent], None]", gap: Callable[[], None], patient: bool
) -> Source:
    # Imported when asked for, so that a look at one source does not load the others.
    from edge.sources import demo, folder, guard, video

    said, path = settings.source, os.path.expanduser(settings.source)
    if said == "demo":
        return demo.DemoClip(settings.width, settings.height, settings.fps, settings.pace)
    if is_camera(said):
        return guard.Guarded(settings, tell, gap, patient=patient)
    # os.path says no where Path raises: a name too long, a loop of links, a folder that is closed to us.
    if os.path.isdir(path) or (Path(path).suffix.lower() in folder.PICTURE_SUFFIXES and os.path.lexists(path)):
        return folder.ImageFolder(Path(path), settings.fps)
    if os.path.isfile(path):
        return video.VideoFile(Path(path), settings.pace)
    raise SourceError(
        f'no source {said!r}: expected "demo", a camera (0, /dev/video0, picamera), a video file, a picture, '
        "or a folder of them"
    )

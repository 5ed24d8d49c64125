"""Opens libcamera's virtual camera by our own code and the real picamera2, with what that camera lacks made up for.

It runs in the system's Python of a Debian Trixie root. What differs from a Raspberry Pi camera:

    no raw stream     picamera2 asks for the sensor's modes when it opens a camera: it is given one
    no RGB            it delivers NV12, of which RGB is made here; a Raspberry Pi's image processor delivers RGB
    its own buffers   of two planes, so picamera2's allocator for other cameras than a Raspberry Pi's is used
    no status         its pictures do not say whether they are whole: all but cancelled ones are taken for it
    no pace           pictures come at once: those given back before picamera2 has noted its start would be lost to it
"""

import inspect
import textwrap

import numpy as np
import picamera2
from picamera2.allocators import Allocator, LibcameraAllocator

from edge.sources import picamera


def processing():
    """picamera2's own way with requests that came back, content with pictures that say nothing."""
    names = dict(vars(picamera2.picamera2))
    source = textwrap.dedent(inspect.getsource(picamera2.Picamera2.process_requests))
    exec(source.replace("status == libcamera.FrameMetadata.Status.Success", UNLESS_CANCELLED), names)
    return names["process_requests"]


UNLESS_CANCELLED = "status != libcamera.FrameMetadata.Status.Cancelled"


class Virtual(picamera2.Picamera2):  # type: ignore[misc]
    """picamera2's own class, for a camera without raw pictures."""

    def __init__(self, number):
        super().__init__(number, allocator=Allocator())
        self.allocator = LibcameraAllocator(self.camera)

    def start_(self):
        with self.request_lock:
            super().start_()

    process_requests = processing()

    def _get_raw_modes(self):
        return [{"format": "SRGGB8", "size": (640, 480)}]


class VirtualPiCamera(picamera.PiCamera):
    """Our own class, for a camera without RGB."""

    format = "NV12"

    def _write(self, pixels, room):
        super()._write(rgb_of(pixels), room)


def rgb_of(nv12):
    """(height, width, 3) of (height * 3 / 2, width), BT.601, values 16 to 235."""
    height, width = nv12.shape[0] * 2 // 3, nv12.shape[1]
    y = 1.164 * (nv12[:height].astype(np.float32) - 16)
    colour = nv12[height:].reshape(height // 2, width // 2, 2).astype(np.float32) - 128
    blue, red = (colour[..., each].repeat(2, 0).repeat(2, 1) for each in (0, 1))
    rgb = np.stack([y + 1.596 * red, y - 0.813 * red - 0.391 * blue, y + 2.018 * blue], axis=-1)
    return rgb.clip(0, 255).astype(np.uint8)


def open_virtual(path, settings):
    """As picamera.open_picamera."""
    return picamera.open_picamera(path, settings)


picamera2.Picamera2, picamera.PiCamera = Virtual, VirtualPiCamera  # type: ignore[misc]

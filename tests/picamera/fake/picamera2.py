"""Plays picamera2 with a Raspberry Pi camera, which test machines do not have.

It keeps to the protocol of requests: a camera has so many buffers, one that was captured belongs to who captured it
until it is released, and released twice is an error; without a free buffer no picture comes. Each picture has its
number, from 1, as its red value, a green of 100 and a blue of 200; behind each line of the buffer there is padding.
What the image processor does to pictures, how lenses move and how long anything takes, it does not show.

The file that the environment variable FAKE_PICAMERA names says, as JSON, what there is:

    models    of the cameras; none: no camera
    import    an error that the import raises: its type and text
    busy      another program has the camera
    controls  name and (lowest, highest, default) of what it can do
    format    what it delivers, whatever it is asked for
    stamped   its pictures have a time stamp
    raises    the number of the picture that cannot be captured
    hangs     the number of the picture that never comes

A line for each thing that happens is appended to the log beside it.
"""

import builtins
import json
import os
import threading
import time
from pathlib import Path

import numpy as np

SCRIPT = json.loads(Path(os.environ["FAKE_PICAMERA"]).read_text())
PADDING = 32

if "import" in SCRIPT:
    raise getattr(builtins, SCRIPT["import"][0])(SCRIPT["import"][1])


def note(what, **more):
    with open(os.environ["FAKE_PICAMERA"] + ".log", "a") as log:
        log.write(json.dumps({"what": what, **more}) + "\n")


class Request:
    def __init__(self, camera, number):
        self._camera, self.number, self.released = camera, number, False

    def get_metadata(self):
        if not SCRIPT.get("stamped", True):
            return {}
        return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 20_000_000}

    def release(self):
        note("release", number=self.number, twice=self.released)
        self.released = True
        self._camera.free += 1


class MappedArray:
    def __init__(self, request, stream):
        assert stream == "main"
        self._request = request

    def __enter__(self):
        assert not self._request.released
        width, height = self._request._camera.size
        self._buffer = np.full((height, width * 3 + PADDING), 99, np.uint8)
        self.array = self._buffer[:, : width * 3].reshape(height, width, 3)
        self.array[...] = self._request.number % 256, 100, 200
        return self

    def __exit__(self, *error):
        del self.array
        self._buffer[...] = 0  # whoever still looks at it sees that it is gone


class Picamera2:
    def __init__(self, number=0):
        assert number < len(SCRIPT["models"])
        if SCRIPT.get("busy"):
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.camera_controls = SCRIPT.get("controls", {})
        self._number = 0
        note("open", number=number)

    @staticmethod
    def global_camera_info():
        return [{"Model": each, "Id": f"/base/{each}", "Num": n} for n, each in enumerate(SCRIPT["models"])]

    def create_video_configuration(self, main, raw, transform, buffer_count, queue):
        turned = [transform.hflip, transform.vflip]
        note("configure", **main, raw=raw, turned=turned, buffers=buffer_count, queue=queue)
        return {"main": main, "buffer_count": buffer_count}

    def configure(self, wanted):
        self.free, self.size = wanted["buffer_count"], tuple(wanted["main"]["size"])
        self._main = wanted["main"] | {"format": SCRIPT.get("format", wanted["main"]["format"])}

    def camera_configuration(self):
        return {"main": self._main}

    def set_controls(self, wanted):
        for name in wanted:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        note("controls", **wanted)

    def start(self):
        note("start")

    def capture_request(self):
        self._number += 1
        if self._number == SCRIPT.get("raises"):
            raise RuntimeError("the pipeline has stopped")
        if self.free == 0 or self._number == SCRIPT.get("hangs"):
            threading.Event().wait()
        time.sleep(0.01)  # its own time
        self.free -= 1
        return Request(self, self._number)

    def close(self):
        note("close", free=getattr(self, "free", None))

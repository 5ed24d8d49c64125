"""What a real V4L2 camera shows of our code: vivid, the kernel's own test camera, in a virtual device.

Run by tests/test_v4l2.py there, as root, by the Python of the installed package; writes results.json, what was found,
and ioctls.json, what the kernel answered.
"""

import fcntl
import json
import logging
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from edge import config
from edge.sources import v4l2
from edge.sources.camera import open_webcam
from edge.sources.cameras import lasting_path, list_cameras
from edge.sources.guard import Guarded
from edge.sources.watch import Limits

HERE = Path(__file__).parent

PATIENT = Limits(opening_seconds=120, silent_seconds=30, longest_delay_seconds=2)
"""With software emulation, in which a process takes long to start."""

KEPT_FORMATS = 1
"""vivid has forty formats; the answers about the first of them, YUYV, are enough to keep."""


def plug_in(number: int) -> str:
    """Load vivid as this device; udev has named it when this returns."""
    subprocess.run(["modprobe", "vivid", "n_devs=1", "node_types=0x1", f"vid_cap_nr={number}"], check=True)
    subprocess.run(["udevadm", "settle"], check=True)
    return f"/dev/video{number}"


def plug_out() -> None:
    subprocess.run(["modprobe", "--remove", "vivid"], check=True)


def recorded(path: str) -> list[tuple[int, str, str | int]]:
    """Each ioctl of a look at the camera: its code, the structure as hexadecimal digits, and the same as it came back,
    or the error's number."""
    calls: list[tuple[int, str, str | int]] = []
    real = fcntl.ioctl

    def ioctl(node: int, code: int, structure: bytearray) -> int:
        asked = structure.hex()
        is_format = code & 0xFF == v4l2.ENUM_FMT
        if is_format and int.from_bytes(structure[:4], "little") >= KEPT_FORMATS:
            raise OSError(22, "not kept")
        try:
            result = real(node, code, structure)
        except OSError as error:
            calls.append((code, asked, error.errno or 0))
            raise
        calls.append((code, asked, structure.hex()))
        return result

    fcntl.ioctl = ioctl  # type: ignore[assignment]
    v4l2.card(path), v4l2.modes(path), v4l2.exposure(path)
    fcntl.ioctl = real
    return calls


def picture(path: str, **settings: object) -> np.ndarray:
    """The tenth picture, by our own reader."""
    rooms: list[np.ndarray] = []

    def room(shape: tuple[int, ...]) -> np.ndarray:
        rooms.append(np.empty(shape, np.uint8))
        return rooms[-1]

    with closing(open_webcam(path, config.Camera(**settings))) as camera:  # type: ignore[arg-type]
        for _ in range(10):
            camera.grab()
            camera.decode(room)
    return rooms[-1]


def opencvs_picture(path: str) -> np.ndarray:
    """The tenth picture, by OpenCV alone."""
    camera = cv2.VideoCapture(path, cv2.CAP_V4L2)
    camera.set(cv2.CAP_PROP_FRAME_WIDTH, 640)
    camera.set(cv2.CAP_PROP_FRAME_HEIGHT, 480)
    for _ in range(10):
        _, pixels = camera.read()
    camera.release()
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def unplugged_and_back() -> dict[str, object]:
    """A camera that is opened by its number, unplugged, and comes back with another."""
    path = plug_in(0)
    guard = Guarded(config.Camera(source="0", frozen_seconds=0), limits=PATIENT)
    sizes = []
    with closing(iter(guard)) as frames:
        sizes.append(next(frames).pixels.shape)
        subprocess.run(["v4l2-ctl", "-d", path, "-c", "disconnect=1"], check=True)
        hand = subprocess.Popen([sys.executable, __file__, "replug"])
        until = time.monotonic() + 240
        for frame in frames:
            if guard.reopens or time.monotonic() > until:
                sizes.append(frame.pixels.shape)
                break
        hand.wait()
    return {
        "sizes": sizes,
        "reopens": guard.reopens,
        "state": guard.state,
        "there": sorted(map(str, DEV.glob("video*"))),
    }


DEV = Path("/dev")


def replug() -> None:
    """Take vivid away as soon as nobody has it open any more, and load it as another device."""
    while subprocess.run(["modprobe", "--remove", "vivid"], stderr=subprocess.DEVNULL, check=False).returncode:
        time.sleep(0.2)
    plug_in(7)


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    path = plug_in(0)
    found: dict[str, object] = {"card": asdict(v4l2.card(path)), "listed": list_cameras()}  # type: ignore[arg-type]
    found["lasting"], found["exposure"] = lasting_path(path), asdict(v4l2.exposure(path))
    modes = v4l2.modes(path)
    found["formats"] = sorted({each.format for each in modes})
    found["yuyv"] = [asdict(each) for each in modes if each.format == "YUYV"]
    found["stays_closed"] = v4l2.card("/dev/null")
    (HERE / "ioctls.json").write_text(json.dumps(recorded(path)))
    ours, theirs = picture(path), opencvs_picture(path)
    bars = slice(40, 600, 40)
    found["pictures"] = [ours.shape, theirs.shape]
    found["difference"] = int(np.abs(ours[300, bars].astype(int) - theirs[300, bars]).max())
    turned = picture(path, upside_down=True)
    found["turned"] = int(np.abs(turned[::-1, ::-1][300, bars].astype(int) - ours[300, bars]).max())
    command = [sys.executable, "-m", "edge", "cameras", "--json"]
    found["command"] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    plug_out()
    found["unplugged"] = unplugged_and_back()
    (HERE / "results.json").write_text(json.dumps(found, default=str))


if __name__ == "__main__":
    replug() if sys.argv[1:] == ["replug"] else main()

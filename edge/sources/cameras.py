"""Which cameras there are, by which names they are opened, and what each can do."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge import board, start
from edge.sources import is_picamera, v4l2
from edge.sources.v4l2 import Mode

DEVICES = Path("/sys/class/video4linux")

LINKS = Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path")
"""Where udev names cameras by maker and serial number, and by the socket that they are plugged in."""

SENSOR_SIDES = "unicam", "rp1-cfe"
"""Names of the nodes, from where they begin, that the kernel makes for a sensor on a Raspberry Pi's ribbon cable: they
have the sensor's raw values. Up to Pi 4, and Pi 5."""

INNER_NODES = (*SENSOR_SIDES, "bcm2835-isp", "bcm2835-codec", "pispbe", "rpi-hevc-dec", "rpivid")
"""And those of nodes that convert pictures and take none."""

MISSING = (
    "the system's Python has no picamera2: sudo apt install python3-picamera2 (Raspberry Pi OS; for a USB camera use "
    "its /dev/video)"
)

ASK_SECONDS = 30.0
"""How long libcamera may take to say which cameras it has; on a Pi it is seconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """A camera.

    source  what [camera] source should say: it stays the same over unplugging, where udev gives it such a name
    path    its device as the kernel numbers them now; of a Raspberry Pi camera as `source`
    name    as it calls itself
    driver  "uvcvideo" for USB cameras, "libcamera" for a Raspberry Pi camera; empty where it may not be opened
    modes   formats, sizes and rates; none where it does not say
    """

    source: str
    path: str
    name: str
    driver: str = ""
    modes: tuple[Mode, ...] = ()

    def __str__(self) -> str:
        """Its name and how it is called, then a line for each format with its sizes and highest rates."""
        known = f"{self.path}, {self.driver}" if self.driver else self.path
        forms = dict.fromkeys(each.format for each in self.modes)
        lines = (" ".join([f"    {form}", *self._sizes(form)]) for form in forms)
        return "\n".join([f"{self.source}\t{self.name} ({known})", *lines])

    def _sizes(self, form: str) -> Iterator[str]:
        for each in self.modes:
            if each.format == form:
                yield f"{each.width}x{each.height}" + (f"@{each.fps:g}" if each.fps else "")


def path_of(said: str) -> str:
    """A camera's device, by its path or number; a Raspberry Pi camera's name in full."""
    if is_picamera(said):
        return f"picamera:{number_of(said)}"
    return f"/dev/video{int(said)}" if said.isdecimal() else said


def number_of(said: str) -> int:
    """Which of libcamera's cameras is meant, from 0."""
    return int(said.partition(":")[2] or 0)


def is_there(path: str) -> bool:
    """Whether its device is there; of a Raspberry Pi camera only its opening can tell."""
    return is_picamera(path) or os.path.exists(path)


def lasting_path(path: str, links: tuple[Path, ...] = LINKS) -> str:
    """The name of a device that it will have when it is plugged in again; `path` itself where udev gives none."""
    device = os.path.realpath(path)
    names = (str(link) for folder in links if folder.is_dir() for link in sorted(folder.iterdir()))
    return path if path != device else next((name for name in names if os.path.realpath(name) == device), path)


def why_not(path: str) -> str:
    """One line on a camera that does not open."""
    if not os.path.exists(path):
        there = ", ".join(path for path, _ in list_cameras()) or "none"
        return f"no camera at {path}: there are: {there}; `emotion-edge cameras` lists them, `--source demo` needs none"
    if not may_open(path):
        return f"camera {path} may not be opened by this user: sudo usermod -aG video $USER, then log in again"
    if _sysfs(path).startswith(SENSOR_SIDES):
        return f'{path} is the raw side of a Raspberry Pi camera: expected source = "picamera"'
    return f"camera {path} does not open: another program has it, or it is no camera; `emotion-edge cameras` lists them"


def may_open(path: str) -> bool:
    """Whether this user may; for a Raspberry Pi camera that is told by its opening only."""
    return is_picamera(path) or os.access(path, os.R_OK | os.W_OK)


def list_cameras(devices: Path = DEVICES, folder: Path = Path("/dev")) -> list[tuple[str, str]]:
    """Path and name of each camera that Linux knows, without opening one for pictures; "picamera" where there is one.

    A camera's nodes for metadata, and those of codecs and the like, are left out.
    """
    nodes = sorted((int(each.name.removeprefix("video")), each) for each in devices.glob("video*") if _is_node(each))
    named = [(f"{folder}/video{number}", board.text(each / "name") or "unnamed", each) for number, each in nodes]
    found = [(path, name) for path, name, each in named if _takes_pictures(path, name, each)]
    on_ribbon = any(name.startswith(SENSOR_SIDES) for _, name, _ in named)
    return [("picamera", "Raspberry Pi camera")] * on_ribbon + found


def describe() -> Iterator[Found]:
    """Each camera with all that it says of itself; this may take seconds."""
    for path, name in list_cameras():
        if is_picamera(path):
            yield from pi_cameras() or [Found(path, path, f"{name}; {MISSING}")]
        else:
            card = v4l2.card(path)
            yield Found(lasting_path(path), path, name, card.driver if card else "", v4l2.modes(path))


def pi_cameras(python: str = start.SYSTEM_PYTHON) -> list[Found]:
    """Those that libcamera knows, as picamera2 of the system's Python says; none where it has no picamera2."""
    try:
        command = start.command("edge.sources.picamera", python=python)
        answer = subprocess.run(command, capture_output=True, timeout=ASK_SECONDS, check=True, env=start.environment())
        models = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return [Found(f"picamera:{number}", f"picamera:{number}", each, "libcamera") for number, each in enumerate(models)]


def _is_node(device: Path) -> bool:
    return device.name.removeprefix("video").isdecimal()


def _takes_pictures(path: str, name: str, device: Path) -> bool:
    if name.startswith(INNER_NODES):
        return False
    card = v4l2.card(path)
    # One that may not be opened is a camera all the same; then its first node is taken for the one with pictures.
    return card.is_camera if card else board.text(device / "index") in ("0", "")


def _sysfs(path: str) -> str:
    """The name of a node, by its path."""
    return board.text(DEVICES / os.path.basename(os.path.realpath(path)) / "name")

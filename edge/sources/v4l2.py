"""V4L2: what the kernel says of a video device, by the ioctls of linux/videodev2.h."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from struct import Struct
from typing import Any

READ, READ_WRITE = 2, 3
"""Of asm-generic/ioctl.h: who writes into the structure."""

CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE."""

CAN_CAPTURE, OF_A_PIPELINE = 0x1, 0x2000_0000
"""V4L2_CAP_VIDEO_CAPTURE; V4L2_CAP_IO_MC: of use only to who sets up all devices around it, as libcamera does."""

DISCRETE = 1
"""V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE; others are a range."""

AUTO_EXPOSURE, EXPOSURE_TIME, EXPOSURE_SLOWS = 0x9A_0901, 0x9A_0902, 0x9A_0903
"""V4L2_CID_EXPOSURE_AUTO, _ABSOLUTE and _AUTO_PRIORITY."""

AUTOMATIC = (0, 3)
"""V4L2_EXPOSURE_AUTO and _APERTURE_PRIORITY: the camera chooses the time."""

CAPABILITY = Struct("16s 32s 32s I I I 12x")  # driver, card, bus, version, capabilities, device_caps
FORMAT = Struct("I I I 32s I 16x")  # index, type, flags, description, pixelformat
SIZE = Struct("I I I 6I 8x")  # index, pixel_format, type, then width, height or the range
INTERVAL = Struct("I I I I I 6I 8x")  # index, pixel_format, width, height, type, then seconds or the range
CONTROL = Struct("I i")  # id, value
DESCRIPTION = Struct("I I 32s i i i i I 8x")  # id, type, name, lowest, highest, step, default, flags

QUERYCAP, ENUM_FMT, G_CTRL, QUERYCTRL, ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0, 2, 27, 36, 74, 75


@dataclass(frozen=True, slots=True)
class Card:
    """What a node says it is: driver, name, and the bus that it hangs on; whether it delivers pictures by itself."""

    driver: str
    name: str
    bus: str
    is_camera: bool


@dataclass(frozen=True, slots=True)
class Mode:
    """A format, such as "MJPG", a size in pixels, and the rates in frames a second, the highest first."""

    format: str
    width: int
    height: int
    rates: tuple[float, ...]

    @property
    def fps(self) -> float:
        """The highest rate; 0 where the camera does not say."""
        return self.rates[0] if self.rates else 0.0


@dataclass(frozen=True, slots=True)
class Exposure:
    """How a camera exposes: chosen by itself, the time in milliseconds, and the name of the control by which it may
    take longer than a frame, where that is on. None, or empty, where it does not say."""

    is_auto: bool | None = None
    milliseconds: float | None = None
    slowed_by: str = ""


def card(path: str) -> Card | None:
    """None for what cannot be opened, and for what is no video device."""
    with _opened(path) as node:
        said = _ask(node, READ, QUERYCAP, CAPABILITY, b"", b"", b"", 0, 0, 0)
    if said is None:
        return None
    driver, name, bus, _, _, flags = said
    return Card(_text(driver), _text(name), _text(bus), bool(flags & CAN_CAPTURE and not flags & OF_A_PIPELINE))


def modes(path: str, wanted: tuple[int, int] = (0, 0)) -> tuple[Mode, ...]:
    """What a camera offers; none where it does not say.

    Of a range of sizes it is `wanted`, if that is within, else the largest; of a range of rates both ends.
    """
    with _opened(path) as node:
        return tuple(
            Mode(_fourcc(code), width, height, tuple(sorted(_rates(node, code, width, height), reverse=True)))
            for _, _, _, _, code in _each(node, ENUM_FMT, FORMAT, CAPTURE, 0, b"", 0)
            for width, height in _sizes(node, code, wanted)
        )


def exposure(path: str) -> Exposure:
    """As it is set now."""
    with _opened(path) as node:
        auto, time, slows = (_control(node, each) for each in (AUTO_EXPOSURE, EXPOSURE_TIME, EXPOSURE_SLOWS))
        is_auto = None if auto is None else auto in AUTOMATIC
        milliseconds = None if time is None else time / 10  # its unit is 100 microseconds
        return Exposure(is_auto, milliseconds, _name(node, EXPOSURE_SLOWS) if slows and is_auto is not False else "")


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A descriptor of the device; -1, of which nothing can be asked, when it does not open."""
    try:
        node = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        node = -1
    try:
        yield node
    finally:
        if node >= 0:
            os.close(node)


def _ask(node: int, direction: int, number: int, layout: Struct, *fields: Any) -> tuple[Any, ...] | None:
    """The kernel's answer; none when it has none: the list is at its end, or the device does not know this."""
    if node < 0:
        return None
    structure = bytearray(layout.pack(*fields))
    try:
        fcntl.ioctl(node, direction << 30 | layout.size << 16 | ord("V") << 8 | number, structure)
    except OSError as error:
        if error.errno == errno.EINTR:
            return _ask(node, direction, number, layout, *fields)
        return None
    return layout.unpack(structure)


def _each(node: int, number: int, layout: Struct, *fields: Any) -> Iterator[tuple[Any, ...]]:
    for index in count():
        answer = _ask(node, READ_WRITE, number, layout, index, *fields)
        if answer is None:
            return
        yield answer


def _sizes(node: int, code: int, wanted: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for _, _, kind, *said in _each(node, ENUM_FRAMESIZES, SIZE, code, 0, *[0] * 6):
        if kind == DISCRETE:
            yield said[0], said[1]
            continue
        ranges = said[:3], said[3:]
        within = all(low <= side <= high for side, (low, high, _) in zip(wanted, ranges, strict=True))
        yield wanted if within else (said[1], said[4])
        return  # a range has one answer


def _rates(node: int, code: int, width: int, height: int) -> Iterator[float]:
    for *_, kind, shortest, shortest_over, longest, longest_over, _, _ in _each(
        node, ENUM_FRAMEINTERVALS, INTERVAL, code, width, height, 0, *[0] * 6
    ):
        yield from _rate(shortest, shortest_over)
        if kind != DISCRETE:
            yield from _rate(longest, longest_over)
            return


def _rate(interval: int, over: int) -> Iterator[float]:
    if interval:
        yield over / interval


def _control(node: int, identity: int) -> int | None:
    said = _ask(node, READ_WRITE, G_CTRL, CONTROL, identity, 0)
    return None if said is None else int(said[1])


def _name(node: int, identity: int) -> str:
    """A control's name as v4l2-ctl has it: small letters, and one _ for all between words."""
    said = _ask(node, READ_WRITE, QUERYCTRL, DESCRIPTION, identity, 0, b"", 0, 0, 0, 0, 0)
    words = "".join(each if each.isalnum() else " " for each in _text(said[2]).lower()) if said else ""
    return "_".join(words.split())


def _fourcc(code: int) -> str:
    return (code & 0x7FFF_FFFF).to_bytes(4, "little").decode("latin-1").strip()


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")

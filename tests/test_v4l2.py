"""V4L2: what a camera says of itself, in a kernel's own words; and the whole reader, with the kernel's test camera.

`vivid.json` holds what vivid, Linux's test camera, answered in a virtual device to each ioctl of a look at it, of its
forty formats the first: tests/device_checks/v4l2.py wrote it down. Cameras that this one is not like are made up here.
"""

import errno
import json
import os
import shutil
from pathlib import Path
from struct import pack

import pytest

from edge.sources import v4l2
from edge.sources.v4l2 import Card, Exposure, Mode
from tests import devices, packages

HERE = Path(__file__).parent
ROOT = HERE.parent


class Kernel:
    """Answers ioctls from a list: each is a code, the structure as it was asked, and as it came back or an error."""

    def __init__(self, answers):
        self.answers = {(code, bytes.fromhex(asked)): answer for code, asked, answer in answers}

    def ioctl(self, _node, code, structure):
        answer = self.answers.get((code, bytes(structure)), errno.EINVAL)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        structure[:] = bytes.fromhex(answer)
        return 0


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A function that makes a device which answers so, and gives its path."""

    def make(answers):
        path = tmp_path / "video0"
        path.touch()
        monkeypatch.setattr("fcntl.ioctl", Kernel(answers).ioctl)
        return str(path)

    return make


VIVID = json.loads((HERE / "device_checks" / "vivid.json").read_text())


def code_of(number, layout, direction=v4l2.READ_WRITE):
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


def control(identity, value):
    return code_of(v4l2.G_CTRL, v4l2.CONTROL), pack("Ii", identity, 0).hex(), pack("Ii", identity, value).hex()


def named(identity, name):
    layout = v4l2.DESCRIPTION
    asked = layout.pack(identity, 0, b"", 0, 0, 0, 0, 0).hex()
    return code_of(v4l2.QUERYCTRL, layout), asked, layout.pack(identity, 2, name, 0, 1, 1, 0, 0).hex()


def capability(flags, driver=b"uvcvideo", name=b"HD Webcam"):
    layout = v4l2.CAPABILITY
    asked = layout.pack(b"", b"", b"", 0, 0, 0).hex()
    answer = layout.pack(driver, name, b"usb-0000:01:00.0-1", 0x60C00, 0x84A0_0001, flags).hex()
    return code_of(v4l2.QUERYCAP, layout, v4l2.READ), asked, answer


def test_the_structures_have_the_sizes_of_linux():
    """Those of linux/videodev2.h, which are the same on all 64-bit machines."""
    sizes = [v4l2.CAPABILITY, v4l2.FORMAT, v4l2.SIZE, v4l2.INTERVAL, v4l2.CONTROL, v4l2.DESCRIPTION]
    assert [each.size for each in sizes] == [104, 64, 44, 52, 8, 68]


def test_a_real_camera_says_who_it_is(node):
    assert v4l2.card(node(VIVID)) == Card("vivid", "vivid", "platform:vivid-000", True)


def test_a_real_camera_says_what_it_offers(node):
    modes = v4l2.modes(node(VIVID))
    assert {each.format for each in modes} == {"YUYV"}
    sizes = [(each.width, each.height) for each in modes]
    assert sizes == [(320, 180), (640, 360), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)]
    (vga,) = [each for each in modes if each.height == 480]
    assert vga.rates[:3] == (120, 60, 50) and 30 in vga.rates and vga.rates[-1] == 1
    assert vga.fps == 120


def test_a_real_camera_without_controls_says_nothing_of_its_exposure(node):
    assert v4l2.exposure(node(VIVID)) == Exposure()


@pytest.mark.parametrize(
    ("flags", "is_camera"),
    [
        (0x0420_0001, True),  # a webcam
        (0x04A0_0000, False),  # its node for metadata
        (0x0400_8000, False),  # a codec: memory to memory
        (0x0420_0002, False),  # an output
        (0x2420_0001, False),  # a sensor's side, which libcamera sets up
    ],
)
def test_only_what_delivers_pictures_by_itself_is_a_camera(node, flags, is_camera):
    found = v4l2.card(node([capability(flags)]))
    assert found == Card("uvcvideo", "HD Webcam", "usb-0000:01:00.0-1", is_camera)


def formats(*codes):
    for index, code in enumerate(codes):
        asked = v4l2.FORMAT.pack(index, v4l2.CAPTURE, 0, b"", 0).hex()
        number = int.from_bytes(code, "little")
        yield code_of(v4l2.ENUM_FMT, v4l2.FORMAT), asked, v4l2.FORMAT.pack(index, 1, 0, b"a format", number).hex()


def a_range(code, *said):
    number = int.from_bytes(code, "little")
    asked = v4l2.SIZE.pack(0, number, 0, *[0] * 6).hex()
    return code_of(v4l2.ENUM_FRAMESIZES, v4l2.SIZE), asked, v4l2.SIZE.pack(0, number, 3, *said).hex()


def rates(code, width, height, kind, *said):
    number = int.from_bytes(code, "little")
    asked = v4l2.INTERVAL.pack(0, number, width, height, 0, *[0] * 6).hex()
    answer = v4l2.INTERVAL.pack(0, number, width, height, kind, *said).hex()
    return code_of(v4l2.ENUM_FRAMEINTERVALS, v4l2.INTERVAL), asked, answer


@pytest.mark.parametrize(
    ("wanted", "expected"), [((640, 480), (640, 480)), ((5000, 480), (2592, 1944)), ((0, 0), (2592, 1944))]
)
def test_of_a_range_of_sizes_the_wanted_one_is_offered_if_it_is_within(node, wanted, expected):
    answers = [*formats(b"YUYV"), a_range(b"YUYV", 16, 2592, 2, 16, 1944, 2)]
    assert v4l2.modes(node(answers), wanted) == (Mode("YUYV", *expected, ()),)


def test_of_a_range_of_rates_both_ends_are_offered(node):
    said = rates(b"YUYV", 640, 480, 2, 1, 90, 1, 2, 1, 90)
    answers = [*formats(b"YUYV"), a_range(b"YUYV", 16, 2592, 2, 16, 1944, 2), said]
    assert v4l2.modes(node(answers), (640, 480)) == (Mode("YUYV", 640, 480, (90.0, 2.0)),)


def test_an_interval_of_nothing_is_no_rate(node):
    said = rates(b"YUYV", 640, 480, 1, 0, 30, 0, 0, 0, 0)
    answers = [*formats(b"YUYV"), a_range(b"YUYV", 640, 640, 1, 480, 480, 1), said]
    assert v4l2.modes(node(answers), (640, 480)) == (Mode("YUYV", 640, 480, ()),)


AUTO, TIME, SLOWS = v4l2.AUTO_EXPOSURE, v4l2.EXPOSURE_TIME, v4l2.EXPOSURE_SLOWS
NEW, OLD = named(SLOWS, b"Exposure, Dynamic Framerate"), named(SLOWS, b"Exposure, Auto Priority")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], Exposure()),
        ([control(AUTO, 1), control(TIME, 157)], Exposure(False, 15.7)),
        ([control(AUTO, 3), control(TIME, 157), control(SLOWS, 0), NEW], Exposure(True, 15.7)),
        (
            [control(AUTO, 3), control(TIME, 157), control(SLOWS, 1), NEW],
            Exposure(True, 15.7, "exposure_dynamic_framerate"),
        ),
        ([control(AUTO, 0), control(SLOWS, 1), OLD], Exposure(True, None, "exposure_auto_priority")),
        ([control(AUTO, 1), control(TIME, 157), control(SLOWS, 1), NEW], Exposure(False, 15.7)),
    ],
)
def test_a_camera_says_how_it_exposes_and_what_slows_it_in_the_dark(node, answers, expected):
    assert v4l2.exposure(node(answers)) == expected


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere/video0"])
def test_what_is_no_camera_says_nothing(path):
    assert v4l2.card(path) is None
    assert v4l2.modes(path) == ()
    assert v4l2.exposure(path) == Exposure()


def test_a_camera_that_is_unplugged_meanwhile_says_nothing(node, monkeypatch):
    path = node(VIVID)
    monkeypatch.setattr("fcntl.ioctl", lambda *_: (_ for _ in ()).throw(OSError(errno.ENODEV, "No such device")))
    assert (v4l2.card(path), v4l2.modes(path)) == (None, ())


def test_an_interrupted_question_is_asked_again(node, monkeypatch):
    path, interruptions = node(VIVID), [1, 1]
    kernel = Kernel(VIVID)

    def interrupted(*asked):
        if interruptions:
            raise OSError(interruptions.pop() and errno.EINTR, "Interrupted system call")
        return kernel.ioctl(*asked)

    monkeypatch.setattr("fcntl.ioctl", interrupted)
    assert v4l2.card(path) is not None


def test_no_descriptor_is_left_open(node):
    path, before = node(VIVID), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        v4l2.card(path), v4l2.modes(path), v4l2.exposure(path)
    assert len(os.listdir("/proc/self/fd")) == before


INSTALLED = "import subprocess\nsubprocess.run(['/usr/lib/emotion-edge/current/bin/python', '{script}'], check=True)\n"


@pytest.mark.device
@pytest.mark.timeout(1500)
def test_a_real_v4l2_camera_is_read_lost_and_found_again_under_another_number(tmp_path):
    """In a virtual device, with the kernel's test camera: formats, colours, and the name that lasts."""
    shutil.copy(HERE / "device_checks" / "v4l2.py", tmp_path)
    script = INSTALLED.format(script=devices.SHARE / "v4l2.py")
    package = packages.deb("trixie", devices.PC.architecture)
    found = devices.run_on(devices.PC, package, tmp_path, script, timeout_seconds=900)
    assert found["card"] == {"driver": "vivid", "name": "vivid", "bus": "platform:vivid-000", "is_camera": True}
    assert [path for path, _ in found["listed"]] == ["/dev/video0"]
    assert found["lasting"].startswith("/dev/v4l/by-path/platform-vivid")
    assert "YUYV" in found["formats"] and len(found["formats"]) > 10
    assert [30.0 in each["rates"] for each in found["yuyv"] if each["height"] == 480] == [True]
    assert found["pictures"] == [[480, 640, 3], [480, 640, 3]]
    assert found["difference"] <= 8  # our way from YUYV to RGB, and OpenCV's from what it chose
    assert found["turned"] <= 8
    assert found["command"]["driver"] == "vivid" and found["command"]["source"] == found["lasting"]
    assert found["unplugged"]["sizes"] == [[480, 640, 3], [480, 640, 3]]
    assert found["unplugged"]["reopens"] == 1
    assert found["unplugged"]["there"] == ["/dev/video7"]
    answered = json.loads((tmp_path / "ioctls.json").read_text())
    assert answered[1:] == VIVID[1:]  # the first names the kernel's version

"""Webcam: what a camera is asked for, what it says when it is ill."""

import logging
import math
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge import config
from edge.errors import SourceError
from edge.sources.camera import BROKEN_IN_A_ROW, COMPLAIN_SECONDS, UNKNOWN, Webcam, open_v4l2, open_webcam, quickest
from edge.sources.cameras import path_of
from edge.sources.v4l2 import Exposure, Mode
from tests.fakes import FakeCamera

YUYV = Mode("YUYV", 640, 480, (30.0, 15.0))
MJPG = Mode("MJPG", 640, 480, (60.0, 30.0))


def webcam(camera, path="/dev/video0", offered=(), exposure=UNKNOWN, **settings):
    return Webcam(path, config.Camera(**settings), lambda _: camera, offered, exposure)


def refused(opening) -> str:
    """The one line with which `opening` is refused."""
    with pytest.raises(SourceError) as caught:
        opening()
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def pictures(opened, count):
    """The pictures that came whole among the next `count`."""
    whole = []
    for _ in range(count):
        opened.grab()
        kept = []
        if opened.decode(lambda shape, kept=kept: kept.append(np.empty(shape, np.uint8)) or kept[0]):
            whole += kept
    return whole


def test_a_camera_that_tells_nothing_is_asked_for_mjpg_first_then_size_rate_and_two_buffers():
    camera = FakeCamera()
    webcam(camera, width=1280, height=720, fps=25.0)
    assert list(camera.asked.items()) == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 25.0),
        (cv2.CAP_PROP_BUFFERSIZE, 2),
    ]


def test_the_log_says_what_a_camera_delivers_and_what_it_was_asked_for(caplog):
    with caplog.at_level(logging.INFO):
        opened = webcam(FakeCamera(size=(320, 240), fps=15))
    assert caplog.messages == [
        "camera=/dev/video0 size=320x240 fps=15 format=MJPG asked=640x480@30",
        "camera=/dev/video0 asked=30 got=15 frames a second: `emotion-edge cameras` lists its sizes and rates",
    ]
    assert opened.fps == 15


@pytest.mark.parametrize("said", [-1.0, 0.0, math.inf, math.nan])
def test_a_camera_that_does_not_know_what_it_does_is_read_all_the_same(monkeypatch, said):
    camera = FakeCamera()
    known = camera.get
    monkeypatch.setattr(camera, "get", lambda prop: said if prop == cv2.CAP_PROP_FPS else known(prop))
    opened = webcam(camera)
    assert opened.fps == 0
    assert len(pictures(opened, 2)) == 2


def test_a_camera_that_does_not_know_its_format_is_read_all_the_same(monkeypatch, caplog):
    camera = FakeCamera()
    monkeypatch.setattr(camera, "get", lambda _: -1.0)  # what OpenCV says of a property it cannot read
    with caplog.at_level(logging.INFO):
        assert len(pictures(webcam(camera), 2)) == 2
    assert "fps=-1" in caplog.text


def test_a_cameras_pictures_are_rgb_in_the_size_that_it_delivers():
    for number, pixels in enumerate(pictures(webcam(FakeCamera(size=(80, 60))), 3)):
        assert pixels.shape == (60, 80, 3)
        assert (pixels == (number, number, 255)).all()  # its blue, which OpenCV gives first, is last


def test_a_camera_that_stops_delivering_says_after_how_many_pictures():
    opened = webcam(FakeCamera(fails_at=3))
    assert len(pictures(opened, 3)) == 3
    assert "camera /dev/video0 stopped delivering after 3 frames: was it unplugged?" in refused(opened.grab)


@pytest.mark.parametrize(
    "damaged",
    [
        (False, None),
        (True, None),
        (True, np.zeros((0, 0, 3), np.uint8)),
        (True, np.zeros((48, 64), np.uint8)),
        (True, np.zeros((48, 64, 3), np.uint16)),
    ],
)
def test_a_damaged_picture_of_a_camera_is_passed_over_and_said_once_a_minute(damaged, caplog, monkeypatch):
    camera = FakeCamera()
    whole = camera.retrieve
    monkeypatch.setattr(camera, "retrieve", lambda: damaged if camera._number in (2, 4) else whole())
    assert [pixels[0, 0, 0] for pixels in pictures(webcam(camera), 6)] == [0, 1, 3, 5]
    assert caplog.messages == ["camera=/dev/video0 passed over a damaged picture after 2 frames"]
    assert COMPLAIN_SECONDS == 60


def test_a_camera_that_delivers_nothing_but_damaged_pictures_is_given_up(monkeypatch):
    camera = FakeCamera()
    opened = webcam(camera)
    monkeypatch.setattr(camera, "retrieve", lambda: (False, None))
    assert pictures(opened, BROKEN_IN_A_ROW - 1) == []
    assert "stopped delivering after 0 frames" in refused(lambda: pictures(opened, 1))


def test_single_damaged_pictures_are_never_the_end(monkeypatch):
    camera = FakeCamera()
    whole = camera.retrieve
    monkeypatch.setattr(camera, "retrieve", lambda: whole() if camera._number % 2 else (False, None))
    assert len(pictures(webcam(camera), 4 * BROKEN_IN_A_ROW)) == 2 * BROKEN_IN_A_ROW


def test_a_camera_is_released_once_when_it_is_closed():
    camera = FakeCamera()
    with closing(webcam(camera)):
        assert camera.released_by == []
    assert len(camera.released_by) == 1


def test_a_camera_that_does_not_open_is_released_and_said_so(tmp_path):
    device, camera = tmp_path / "video0", FakeCamera(opens=False)
    device.touch()
    sentence = refused(lambda: webcam(camera, str(device)))
    assert f"camera {device} does not open: another program has it, or it is no camera" in sentence
    assert len(camera.released_by) == 1


def test_a_camera_closed_to_this_user_says_which_group_opens_it(tmp_path, monkeypatch):
    device = tmp_path / "video0"
    device.touch()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may open everything
    sentence = refused(lambda: webcam(FakeCamera(opens=False), str(device)))
    assert "may not be opened by this user: sudo usermod -aG video $USER" in sentence


@pytest.mark.parametrize("said", ["99", "/dev/video99"])
def test_a_missing_camera_is_refused_by_the_real_opencv(said):
    sentence = refused(lambda: open_webcam(path_of(said), config.Camera()))
    assert "no camera at /dev/video99: there are: " in sentence
    assert "`emotion-edge cameras` lists them, `--source demo` needs none" in sentence


def test_a_file_that_is_no_camera_is_not_opened(tmp_path):
    (tmp_path / "video0").touch()
    assert not open_v4l2(str(tmp_path / "video0")).isOpened()


SLOW_YUYV = Mode("YUYV", 640, 480, (15.0,))
LARGE = Mode("MJPG", 1920, 1080, (30.0,)), Mode("YUYV", 1920, 1080, (5.0,))


@pytest.mark.parametrize(
    ("offered", "settings", "expected"),
    [
        ([YUYV, MJPG], {}, "YUYV"),
        ([MJPG, YUYV], {}, "YUYV"),
        ([SLOW_YUYV, MJPG], {}, "MJPG"),
        ([SLOW_YUYV], {}, "YUYV"),
        ([replace(YUYV, rates=(29.97,)), MJPG], {}, "YUYV"),
        ([YUYV, MJPG], {"fps": 60.0}, "MJPG"),
        ([SLOW_YUYV, replace(MJPG, rates=(15.0,))], {}, "MJPG"),
        ([YUYV, MJPG, *LARGE], {"width": 1920, "height": 1080}, "MJPG"),
        ([YUYV, MJPG], {"width": 800, "height": 600}, "MJPG"),
        ([replace(YUYV, rates=()), replace(MJPG, rates=())], {}, "MJPG"),
        ([Mode("NV12", 640, 480, (30.0,))], {}, ""),
        ([Mode("NV12", 640, 480, (60.0,)), MJPG], {}, "MJPG"),
        ([], {}, "MJPG"),
        ([YUYV, MJPG], {"format": "MJPG"}, "MJPG"),
        ([MJPG], {"format": "YUYV"}, "YUYV"),
    ],
)
def test_the_format_is_the_one_that_needs_no_decoding_if_it_has_the_rate(offered, settings, expected):
    assert quickest(offered, config.Camera(**settings)) == expected


def test_a_camera_of_another_format_is_left_to_opencv():
    camera = FakeCamera(form="NV12")
    webcam(camera, offered=[Mode("NV12", 640, 480, (30.0,))])
    assert cv2.CAP_PROP_FOURCC not in camera.asked
    assert cv2.CAP_PROP_CONVERT_RGB not in camera.asked


def test_yuyv_is_made_rgb_by_us_in_one_step():
    camera = FakeCamera(form="YUYV")
    (pixels,) = pictures(webcam(camera, offered=[YUYV, MJPG]), 1)
    assert camera.asked[cv2.CAP_PROP_CONVERT_RGB] == 0
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 2


class Slanted(FakeCamera):
    """Its pictures have a corner that is not like the others."""

    def retrieve(self):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[0, 0] = 1, 2, 3
        return True, pixels


@pytest.mark.parametrize(("upside_down", "corner"), [(False, (0, 0)), (True, (47, 63))])
def test_the_picture_of_a_camera_that_hangs_upside_down_is_turned(upside_down, corner):
    (pixels,) = pictures(webcam(Slanted(), upside_down=upside_down), 1)
    assert tuple(pixels[corner]) == (3, 2, 1)
    assert pixels.sum() == 6


def test_yuyv_is_turned_too():
    camera = FakeCamera(form="YUYV")
    (pixels,) = pictures(webcam(camera, offered=[YUYV], upside_down=True), 1)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 2


class Crowded:
    """Opens cameras of which the first ones give no picture, as when another one takes all of the cable."""

    def __init__(self, vain):
        self.opened, self._vain = [], vain

    def __call__(self, _path):
        self.opened.append(FakeCamera(form="MJPG", fails_at=0 if len(self.opened) < self._vain else None))
        return self.opened[-1]


def asked_format(camera):
    return int(camera.asked[cv2.CAP_PROP_FOURCC]).to_bytes(4, "little").decode()


def test_a_camera_that_has_no_room_for_yuyv_is_read_in_mjpg(caplog):
    cameras = Crowded(vain=1)
    opened = Webcam("/dev/video0", config.Camera(), cameras, [YUYV, MJPG])
    assert len(pictures(opened, 3)) == 3
    assert [asked_format(each) for each in cameras.opened] == ["YUYV", "MJPG"]
    assert [len(each.released_by) for each in cameras.opened] == [1, 0]
    assert "camera=/dev/video0 gives no picture in YUYV: trying MJPG" in caplog.messages


@pytest.mark.parametrize(("offered", "settings"), [([YUYV], {}), ([YUYV, MJPG], {"format": "YUYV"}), ([MJPG], {})])
def test_a_camera_without_a_choice_is_not_opened_twice(offered, settings):
    cameras = Crowded(vain=9)
    opened = Webcam("/dev/video0", config.Camera(**settings), cameras, offered)
    assert "stopped delivering after 0 frames" in refused(opened.grab)
    assert len(cameras.opened) == 1


def test_a_camera_that_delivers_neither_is_given_up():
    cameras = Crowded(vain=9)
    opened = Webcam("/dev/video0", config.Camera(), cameras, [YUYV, MJPG])
    assert "stopped delivering after 0 frames" in refused(opened.grab)
    assert len(cameras.opened) == 2
    opened.close()
    assert [len(each.released_by) for each in cameras.opened] == [1, 1]


@pytest.mark.parametrize(
    ("exposure", "expected"),
    [
        (Exposure(), "format=MJPG asked="),
        (Exposure(True, 33.3), "format=MJPG exposure=auto asked="),
        (Exposure(False, 10.0), "format=MJPG exposure=10ms asked="),
        (Exposure(None, 10.0), "format=MJPG exposure=10ms asked="),
        (Exposure(False), "format=MJPG asked="),
    ],
)
def test_the_log_says_how_a_camera_exposes(caplog, exposure, expected):
    with caplog.at_level(logging.INFO):
        webcam(FakeCamera(), exposure=exposure)
    assert expected in caplog.text


def test_a_camera_that_may_slow_down_in_the_dark_says_what_to_do():
    opened = webcam(FakeCamera(), exposure=Exposure(True, 33.3, "exposure_dynamic_framerate"))
    assert opened.remark.endswith("v4l2-ctl -d /dev/video0 -c exposure_dynamic_framerate=0")
    assert webcam(FakeCamera()).remark == ""

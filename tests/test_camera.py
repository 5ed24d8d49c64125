"""Webcam: what a camera is asked for, what it says when it is ill, and which cameras there are."""

import logging
import math
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.camera import BROKEN_IN_A_ROW, COMPLAIN_SECONDS, Webcam, list_cameras, open_v4l2, path_of
from tests.fakes import FakeCamera


def webcam(camera, path="/dev/video0", width=640, height=480, fps=30.0):
    return Webcam(path, width, height, fps, open_device=lambda _: camera)


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


def test_a_camera_is_asked_for_mjpg_first_then_size_rate_and_one_buffer():
    camera = FakeCamera()
    webcam(camera, width=1280, height=720, fps=25.0)
    assert list(camera.asked.items()) == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 25.0),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ]


def test_the_log_says_what_a_camera_delivers_and_what_it_was_asked_for(caplog):
    with caplog.at_level(logging.INFO):
        opened = webcam(FakeCamera(size=(320, 240), fps=15))
    assert caplog.messages == ["camera=/dev/video0 size=320x240 fps=15 format=YUYV asked=640x480@30"]
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
    sentence = refused(lambda: Webcam(path_of(said), 640, 480, 30))
    assert "no camera at /dev/video99: there are: " in sentence
    assert "`emotion-edge cameras` lists them, `--source demo` needs none" in sentence


def test_a_file_that_is_no_camera_is_not_opened(tmp_path):
    (tmp_path / "video0").touch()
    assert not open_v4l2(str(tmp_path / "video0")).isOpened()


def known(devices: Path, node: str, **files: str | bytes) -> None:
    """A camera's folder, as Linux has it under /sys/class/video4linux."""
    (devices / node).mkdir(parents=True)
    for name, content in files.items():
        (devices / node / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_cameras_are_listed_by_number_without_their_metadata_nodes(tmp_path):
    known(tmp_path, "video10", name="Rear\n", index="0\n")
    known(tmp_path, "video2", name="HD Webcam: Küche\n", index="0\n")
    known(tmp_path, "video3", name="HD Webcam: Küche\n", index="1\n")
    known(tmp_path, "v4l-subdev0", name="sensor\n", index="0\n")
    assert list_cameras(tmp_path) == [("/dev/video2", "HD Webcam: Küche"), ("/dev/video10", "Rear")]


def test_an_odd_camera_is_listed_too(tmp_path):
    known(tmp_path, "video0")
    known(tmp_path, "video1", name="Küc".encode()[:-1] + b"\xc3", index="0")
    known(tmp_path, "videoin", name="no number", index="0")
    assert list_cameras(tmp_path) == [("/dev/video0", "unnamed"), ("/dev/video1", "Kü\ufffd")]


def test_where_linux_knows_no_cameras_none_are_listed(tmp_path):
    assert list_cameras(tmp_path / "video4linux") == []

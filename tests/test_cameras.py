"""Which cameras there are: their names, also those that last, and what is left out."""

import json
import os

import pytest

from edge.sources import cameras
from edge.sources.cameras import Found, lasting_path, list_cameras, path_of, why_not
from edge.sources.v4l2 import Card, Mode


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that adds a device, as Linux shows it, to an empty system."""
    (tmp_path / "sys").mkdir()
    (tmp_path / "dev").mkdir()
    cards: dict[str, Card] = {}
    monkeypatch.setattr("edge.sources.v4l2.card", cards.get)

    def add(node, card=None, **files):
        folder = tmp_path / "sys" / node
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (tmp_path / "dev" / node).touch()
        if card:
            cards[f"{tmp_path}/dev/{node}"] = card

    add.cameras = lambda: [
        (path.removeprefix(f"{tmp_path}"), name) for path, name in list_cameras(tmp_path / "sys", tmp_path / "dev")
    ]
    add.dev = tmp_path / "dev"
    return add


def usb(is_camera: bool) -> Card:
    return Card("uvcvideo", "Webcam", "usb-1", is_camera)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("0", "/dev/video0"),
        ("07", "/dev/video7"),
        ("/dev/video3", "/dev/video3"),
        ("picamera", "picamera:0"),
        ("picamera:1", "picamera:1"),
    ],
)
def test_a_camera_is_known_by_its_number_or_path(said, path):
    assert path_of(said) == path


def test_cameras_are_listed_by_number_without_their_metadata_nodes(system):
    system("video10", usb(True), name="Rear\n", index="0\n")
    system("video2", usb(True), name="HD Webcam: Küche\n", index="0\n")
    system("video3", usb(False), name="HD Webcam: Küche\n", index="1\n")
    system("video4", usb(True), name="HD Webcam: infrared\n", index="2\n")
    system("v4l-subdev0", name="sensor\n", index="0\n")
    assert system.cameras() == [
        ("/dev/video2", "HD Webcam: Küche"),
        ("/dev/video4", "HD Webcam: infrared"),
        ("/dev/video10", "Rear"),
    ]


def test_a_camera_that_may_not_be_opened_is_listed_by_its_first_node(system):
    system("video0", name="Webcam\n", index="0\n")
    system("video1", name="Webcam\n", index="1\n")
    assert system.cameras() == [("/dev/video0", "Webcam")]


def test_an_odd_camera_is_listed_too(system):
    system("video0")
    system("video1", name="Küc".encode()[:-1] + b"\xc3", index="0")
    system("videoin", name="no number", index="0")
    assert system.cameras() == [("/dev/video0", "unnamed"), ("/dev/video1", "Kü\ufffd")]


def test_where_linux_knows_no_cameras_none_are_listed(tmp_path):
    assert list_cameras(tmp_path / "video4linux") == []


RASPBERRY_PI_4 = "bcm2835-codec-decode", "bcm2835-codec-encode", "bcm2835-isp-output0", "bcm2835-isp-capture0", "rpivid"
RASPBERRY_PI_5 = "pispbe-input", "pispbe-output0", "pispbe-stats", "rpi-hevc-dec"
SIDES_4 = "unicam-image", "unicam-embedded"
SIDES_5 = "rp1-cfe-csi2_ch0", "rp1-cfe-fe_image0"


@pytest.mark.parametrize(("inner", "sides"), [(RASPBERRY_PI_4, SIDES_4), (RASPBERRY_PI_5, SIDES_5)])
def test_of_a_raspberry_pi_only_its_camera_is_listed_and_only_with_a_sensor(system, inner, sides):
    """Names as the drivers give them; all say that they take pictures."""
    for number, name in enumerate(inner):
        system(f"video{20 + number}", usb(True), name=f"{name}\n", index="0\n")
    assert system.cameras() == []
    for number, name in enumerate(sides):
        system(f"video{number}", usb(True), name=f"{name}\n", index="0\n")
    system("video8", usb(True), name="Webcam\n", index="0\n")
    assert system.cameras() == [("picamera", "Raspberry Pi camera"), ("/dev/video8", "Webcam")]


def test_the_raw_side_of_a_raspberry_pi_camera_is_refused_with_the_name_to_use(system, monkeypatch):
    system("video0", name="unicam-image\n", index="0\n")
    monkeypatch.setattr(cameras, "DEVICES", system.dev.with_name("sys"))
    said = why_not(str(system.dev / "video0"))
    assert said.endswith('video0 is the raw side of a Raspberry Pi camera: expected source = "picamera"')


@pytest.fixture
def links(tmp_path):
    """udev's two folders, the first for makers and serial numbers."""
    folders = tmp_path / "by-id", tmp_path / "by-path"
    for each in folders:
        each.mkdir()
    return folders


def test_a_camera_is_found_again_by_the_name_that_udev_gives_it(tmp_path, links):
    for number in (0, 1):
        (tmp_path / f"video{number}").touch()
    by_id, by_path = links
    asked = str(tmp_path / "video0")
    assert lasting_path(asked, links) == asked
    (by_path / "usb-0:1-video-index0").symlink_to(asked)
    (by_path / "usb-0:2-video-index0").symlink_to(tmp_path / "video1")
    assert lasting_path(asked, links) == str(by_path / "usb-0:1-video-index0")
    (by_id / "usb-Maker_Webcam_1234-video-index0").symlink_to(asked)
    assert lasting_path(asked, links) == str(by_id / "usb-Maker_Webcam_1234-video-index0")


def test_a_name_that_the_user_chose_is_kept(tmp_path, links):
    (tmp_path / "video0").touch()
    (links[0] / "usb-Maker").symlink_to(tmp_path / "video0")
    (links[1] / "usb-0:1").symlink_to(tmp_path / "video0")
    assert lasting_path(str(links[1] / "usb-0:1"), links) == str(links[1] / "usb-0:1")
    (links[1] / "usb-0:9").symlink_to(tmp_path / "gone")
    assert lasting_path(str(tmp_path / "gone"), links) == str(links[1] / "usb-0:9")


@pytest.fixture
def one_webcam(monkeypatch):
    modes = Mode("YUYV", 640, 480, (30.0, 15.0)), Mode("MJPG", 1280, 720, (29.97,)), Mode("MJPG", 640, 480, ())
    webcam = Found("/dev/v4l/by-id/usb-Maker-index0", "/dev/video0", "Webcam", "uvcvideo", modes)
    bare = Found("picamera", "picamera", "Raspberry Pi camera")
    monkeypatch.setattr("edge.sources.cameras.describe", lambda: iter([webcam, bare]))


def test_the_command_shows_how_each_camera_is_called_and_what_it_can_do(in_process, one_webcam):
    done = in_process("cameras")
    assert done.returncode == 0
    assert done.stdout == (
        "/dev/v4l/by-id/usb-Maker-index0\tWebcam (/dev/video0, uvcvideo)\n"
        "    YUYV 640x480@30\n"
        "    MJPG 1280x720@29.97 640x480\n"
        "picamera\tRaspberry Pi camera (picamera)\n"
    )


def test_the_command_can_speak_json(in_process, one_webcam):
    first, second = map(json.loads, in_process("cameras", "--json").stdout.splitlines())
    assert first["source"] == "/dev/v4l/by-id/usb-Maker-index0"
    assert first["modes"][0] == {"format": "YUYV", "width": 640, "height": 480, "rates": [30.0, 15.0]}
    assert (second["path"], second["modes"]) == ("picamera", [])


def test_the_command_says_where_to_look_when_there_is_no_camera(in_process, monkeypatch):
    monkeypatch.setattr("edge.sources.cameras.describe", lambda: iter(()))
    done = in_process("cameras")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no camera: /dev/video* is empty" in done.stderr


def test_a_raspberry_pi_camera_without_picamera2_is_shown_with_what_to_install(monkeypatch):
    monkeypatch.setattr(cameras, "list_cameras", lambda: [("picamera", "Raspberry Pi camera")])
    monkeypatch.setattr(cameras, "pi_cameras", list)
    (found,) = cameras.describe()
    assert found.source == "picamera" and "sudo apt install python3-picamera2" in found.name


def test_a_described_camera_has_the_name_that_lasts_and_its_modes(tmp_path, monkeypatch):
    node = tmp_path / "video0"
    node.touch()
    monkeypatch.setattr(cameras, "list_cameras", lambda: [(str(node), "Webcam")])
    monkeypatch.setattr("edge.sources.v4l2.card", lambda path: usb(True))
    monkeypatch.setattr("edge.sources.v4l2.modes", lambda path: (Mode("YUYV", 640, 480, (30.0,)),))
    (found,) = cameras.describe()
    assert found == Found(str(node), str(node), "Webcam", "uvcvideo", (Mode("YUYV", 640, 480, (30.0,)),))
    assert os.path.exists(found.path)

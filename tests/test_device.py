"""The package in whole virtual devices: a PC with a V4L2 camera that breaks, and an arm64 board, each with systemd.

All of a device's tests look at one run of tests/guest.py in it. How fast anything was says nothing: it is emulated.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge import config
from edge.classifier import open_classifier
from edge.run import perceiver_of
from edge.scene import Frame
from tests import devices, guest, packages

pytestmark = [pytest.mark.device, pytest.mark.timeout(3000)]

FACE_TYPES = {"start", "change", "end"}


def run(board: devices.Board, share: Path, scenario: str) -> dict[str, Any]:
    """What the scenario found on a fresh device."""
    shutil.copy(guest.__file__, share)
    package = packages.deb("trixie", board.architecture)
    return devices.run_on(board, package, share, f"import guest\nguest.main(guest.{scenario})\n", 1500)


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pc")
    yield folder
    (folder / "pictures.yuyv").unlink(missing_ok=True)  # 600 MB, which pytest would keep


@pytest.fixture(scope="module")
def found(share: Path) -> dict[str, Any]:
    """Of the PC with the camera."""
    return run(devices.PC, share, "watch_a_camera")


@pytest.fixture(scope="module")
def found_on_arm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(devices.ARM, tmp_path_factory.mktemp("arm"), "run_the_demo")


def test_the_package_is_installed_and_starts_nothing_by_itself(found: dict[str, Any]) -> None:
    assert "Status: install ok installed" in found["installed"]
    assert (found["enabled"], found["active"]) == ("disabled", "inactive")


def test_the_camera_of_the_kernel_is_listed(found: dict[str, Any]) -> None:
    assert f"\tvivid-000-vid-cap ({guest.CAMERA}, vivid)\n    YUYV 320x180" in found["cameras"]


def test_the_service_sees_nobody_in_a_thousand_frames_of_a_real_camera(found: dict[str, Any]) -> None:
    """Emulated, it looks at the newest of each few dozen; the next test looks at every one."""
    assert found["watched"]["captured"] >= guest.FRAMES
    assert found["watched"]["published"] > 0
    assert [event for event in found["events"] if event["type"] in FACE_TYPES] == []


def test_nobody_is_seen_in_any_of_a_thousand_pictures_that_the_camera_gave(found: dict[str, Any], share: Path) -> None:
    """Recorded in the device from each of vivid's patterns, judged here as the daemon would at full speed."""
    pictures = np.memmap(share / "pictures.yuyv", np.uint8).reshape(-1, 480, 640, 2)
    assert len(pictures) == guest.PATTERNS * guest.PICTURES_OF_EACH > 1000
    assert events_of(pictures) == []


def events_of(pictures: NDArray[np.uint8]) -> list[Any]:
    """What the settings that ship make of these pictures of YUYV, 30 of them a second."""
    settings = config.Settings()
    told: list[Any] = []
    with closing(perceiver_of(settings, open_classifier(settings.model), told.append)) as perceive:
        for number, picture in enumerate(pictures):
            moment = number / 30
            perceive(Frame(cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_YUYV), moment, moment, number))
    return told


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("error", "stopped delivering"),
        ("silent", "no picture for 1 s"),
        ("frozen", "the camera is frozen"),
        ("unplugged", "stopped delivering"),
    ],
)
def test_a_camera_that_fails_is_given_up_opened_again_and_counted(
    found: dict[str, Any], fault: str, reason: str
) -> None:
    assert reason in found[fault]["reason"]
    assert found[fault]["restarts"] == "0", "the service itself went on"


def test_each_loss_of_the_camera_is_in_the_store_and_so_is_each_return(found: dict[str, Any]) -> None:
    of_camera = [event["type"] for event in found["events"]]
    assert of_camera.count("camera_lost") >= len(guest.FAULTS)
    assert of_camera.count("camera_back") >= len(guest.FAULTS)
    assert [event["seq"] for event in found["events"]] == list(range(1, len(of_camera) + 1))


def test_the_service_may_open_the_camera_and_no_other_device(found: dict[str, Any]) -> None:
    opened = dict(found["devices"])
    assert opened.pop(guest.CAMERA) == "opened"
    assert set(opened.values()) == {"EPERM"} and len(opened) == 4


def test_the_service_cannot_start_more_tasks_than_it_may_and_lives_on(found: dict[str, Any]) -> None:
    tasks = found["tasks"]
    assert 0 < tasks["made"] < tasks["limit"] < 1000
    assert not tasks["harmed"]


def test_a_service_that_takes_too_much_memory_is_killed_and_started_again(found: dict[str, Any]) -> None:
    assert found["out of memory"]["limit"].isdecimal(), "there is a limit"
    assert found["out of memory"]["restarts"] >= 1
    assert "oom-kill" in found["out of memory"]["why"]


def test_a_service_that_hangs_is_killed_by_the_watchdog_and_started_again(found: dict[str, Any]) -> None:
    assert found["hang"]["restarts"] == 1
    assert "watchdog" in found["hang"]["why"]


def test_on_an_arm64_board_the_service_runs_and_records(found_on_arm: dict[str, Any]) -> None:
    assert found_on_arm["machine"] == "aarch64"
    assert "fail" not in found_on_arm["doctor"]
    assert found_on_arm["sub state"] == "running"
    assert found_on_arm["events"][0]["type"] == "start"
    assert found_on_arm["result"] == "success"

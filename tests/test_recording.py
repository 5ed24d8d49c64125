"""Recording: real videos, read back by OpenCV; real full disks."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import recording
from edge.errors import OutputError
from edge.recording import LONGEST_GAP_SECONDS, RESERVE_BYTES, Recording
from edge.render import Picture
from tests.disks import growing_no_further, mounted

ROOT = Path(__file__).parents[1]
FPS = 15.0


def plain(value: int, height: int = 48, width: int = 64) -> Picture:
    return np.full((height, width, 3), value, np.uint8)


def noise(seed: int) -> Picture:
    """What compresses worst: about 100 kB a picture."""
    return np.random.default_rng(seed).integers(0, 256, (480, 640, 3)).astype(np.uint8)


def record(path: Path, scenes: Iterable[tuple[Picture, float]]) -> Recording:
    with closing(Recording(path, FPS)) as film:
        for picture, moment in scenes:
            film.write(picture, moment)
    return film


def played(path: Path) -> list[Picture]:
    """The pictures of a video, RGB; its frame rate must be the one that was asked for."""
    film = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        assert film.isOpened() and film.get(cv2.CAP_PROP_FPS) == FPS
        pictures = []
        while (read := film.read())[0]:
            pictures.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
        assert film.get(cv2.CAP_PROP_FRAME_COUNT) == len(pictures)
        return pictures
    finally:
        film.release()


def lost_with_a_broken_index(folder: Path) -> int:
    """How many of four pictures are lost when the last bytes of their film cannot be written."""
    scenes = [(noise(number), number / FPS) for number in range(4)]
    record(folder / "whole.mp4", scenes)
    with growing_no_further((folder / "whole.mp4").stat().st_size - 100):  # the index comes last
        return record(folder / "film.mp4", scenes).lost


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


MOMENTS = {
    "at the same pace": [number / FPS for number in range(151)],
    "much faster": [number / 100 for number in range(1001)],
    "much slower": [0.0, 3.0, 4.5, 8.0, 10.0],
    "irregular": [0.0, *sorted(np.random.default_rng(3).uniform(0, 10, 80).tolist()), 10.0],
}


@pytest.mark.parametrize("began", [0.0, 98765.4321])
@pytest.mark.parametrize("pace", list(MOMENTS))
def test_ten_seconds_of_scenes_are_ten_seconds_of_film(pace: str, began: float, tmp_path: Path) -> None:
    moments = MOMENTS[pace]
    film = record(tmp_path / "film.mp4", ((plain(80), began + moment) for moment in moments))
    assert film.lost == 0
    assert len(played(tmp_path / "film.mp4")) / FPS == pytest.approx(10.0, abs=1.01 / FPS)


@pytest.mark.parametrize("pace", list(MOMENTS))
def test_each_moment_of_the_film_shows_the_picture_of_that_moment(pace: str, tmp_path: Path) -> None:
    def brightness(moment: float) -> float:
        return 20 + 20 * moment

    moments = np.array(MOMENTS[pace])
    record(tmp_path / "film.mp4", ((plain(round(brightness(moment))), moment) for moment in moments))
    for number, picture in enumerate(played(tmp_path / "film.mp4")):
        soonest, latest = ((number + early) / FPS for early in (-0.51, 0.51))
        shown = moments[moments <= latest].max()
        before = moments[moments <= soonest].max(initial=0.0)
        assert brightness(before) - 4 < picture.mean() < brightness(shown) + 4, number


def test_red_stays_red(tmp_path: Path) -> None:
    record(tmp_path / "film.mp4", [(np.full((48, 64, 3), (200, 40, 10), np.uint8), 0.0)])
    (picture,) = played(tmp_path / "film.mp4")
    assert picture.mean(axis=(0, 1)) == pytest.approx((200, 40, 10), abs=6)


@pytest.mark.parametrize(("height", "width"), [(481, 641), (33, 64), (48, 17), (2, 2), (1, 1)])
def test_odd_sizes_can_be_stored(height: int, width: int, tmp_path: Path) -> None:
    record(tmp_path / "film.mp4", [(plain(120, height, width), 0.0), (plain(120, height, width), 1.0)])
    pictures = played(tmp_path / "film.mp4")
    assert len(pictures) == 16
    assert pictures[0].shape == (max(2, height - height % 2), max(2, width - width % 2), 3)


def test_a_picture_of_another_size_is_fitted_into_the_first_ones(tmp_path: Path) -> None:
    record(tmp_path / "film.mp4", [(plain(120, 48, 64), 0.0), (plain(200, 96, 32), 1.0)])
    last = played(tmp_path / "film.mp4")[-1]
    assert last.shape == (48, 64, 3)
    assert last[8:40, 27:37].mean() == pytest.approx(200, abs=6)  # 16 pixels wide, in the middle
    assert last[:, :20].mean() < 8 and last[:, 44:].mean() < 8


def test_a_moment_before_the_last_one_does_no_harm(tmp_path: Path) -> None:
    record(tmp_path / "film.mp4", [(plain(50), 0.0), (plain(50), 2.0), (plain(50), 1.0), (plain(50), 3.0)])
    assert len(played(tmp_path / "film.mp4")) == 46


def test_a_clock_that_leaps_does_not_fill_the_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leap = 1e9
    record(tmp_path / "film.mp4", [(plain(50), 0.0), (plain(50), leap), (plain(50), leap + 2)])
    assert len(played(tmp_path / "film.mp4")) / FPS == pytest.approx(LONGEST_GAP_SECONDS + 2, abs=1.5 / FPS)
    assert "a gap of 1000000000 s shortened" in caplog.text


def test_opening_warns_that_faces_are_stored_and_where(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Recording(tmp_path / "film.mp4", FPS).close()
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage() == f"pictures of faces are being stored: file={tmp_path / 'film.mp4'}"


def test_without_a_picture_there_is_no_file(tmp_path: Path) -> None:
    film = Recording(tmp_path / "film.mp4", FPS)
    film.close()
    film.close()
    assert list(tmp_path.iterdir()) == []


def test_without_a_picture_an_older_film_stays_and_with_one_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    record(path, [(plain(50), 0.0), (plain(50), 2.0)])
    record(path, [])
    assert len(played(path)) == 31
    record(path, [(plain(50), 0.0)])
    assert len(played(path)) == 1


def refusal(path: Path) -> str:
    """What the OutputError says; it is one line, names the file, and leaves nothing behind."""
    before = sorted(path.parent.glob("*")) if path.parent.is_dir() else []
    with pytest.raises(OutputError) as refused:
        Recording(path, FPS)
    assert (sorted(path.parent.glob("*")) if path.parent.is_dir() else []) == before
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "expected a file in a folder that exists" in refusal(tmp_path / "nowhere" / "film.mp4")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").mkdir()
    assert "Is a directory" in refusal(tmp_path / "film.mp4")


def test_a_pipe_in_place_of_the_file_is_refused_without_waiting_for_its_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.mp4")
    refusal(tmp_path / "film.mp4")


def test_a_link_to_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").symlink_to("/dev/null")
    assert "no regular file" in refusal(tmp_path / "film.mp4")


@pytest.mark.parametrize("name", ["film.avi", "film", "events.jsonl"])
def test_a_name_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    assert ".mp4" in refusal(tmp_path / name)


def test_a_disk_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64m,ro") as disk:
        assert "Read-only file system" in refusal(disk / "film.mp4")


def test_a_disk_with_too_little_room_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        assert "8 MiB left on the disk, of which 32 are kept free" in refusal(disk / "film.mp4")


def test_an_opencv_without_the_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CODEC", "none")
    with (
        closing(Recording(tmp_path / "film.mp4", FPS)) as film,
        pytest.raises(OutputError, match="cannot write a 64x48"),
    ):
        film.write(plain(50), 0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_ends_the_recording_with_room_to_spare(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [noise(seed) for seed in range(4)]
    with mounted(tmp_path / "disk", f"size={RESERVE_BYTES + 2 * 1024 * 1024}") as disk:
        film = record(disk / "film.mp4", ((pictures[number % 4], number / FPS) for number in range(60)))
        stored = len(played(disk / "film.mp4"))
        assert 5 < stored < 30
        assert film.lost == pytest.approx(60 - stored, abs=1)
        status = os.statvfs(disk)
        assert status.f_bavail * status.f_frsize > RESERVE_BYTES * 0.95
    ended, _ = errors(caplog)
    assert "film.mp4" in ended and "31 MiB left on the disk" in ended


def test_a_write_that_fails_is_told_once_and_what_is_lost_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [noise(seed) for seed in range(4)]
    with growing_no_further(700_000):
        film = record(tmp_path / "film.mp4", ((pictures[number % 4], number / FPS) for number in range(40)))
    assert film.lost == 40  # without its index none can be played
    failed, useless, summed = errors(caplog)
    assert "writing failed" in failed
    assert "cannot be played" in useless
    assert "pictures=40 lost=40" in summed


def test_an_index_that_could_not_be_written_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert lost_with_a_broken_index(tmp_path) == 4
    assert "cannot be played" in errors(caplog)[0]


def test_ffmpeg_keeps_its_remarks_on_a_broken_index(tmp_path: Path) -> None:
    # In a process of its own: FFmpeg asks once how talkative it shall be, at the first film that anyone opens.
    program = f"""
import logging, pathlib
from tests.test_recording import lost_with_a_broken_index
logging.disable()
print(lost_with_a_broken_index(pathlib.Path({str(tmp_path)!r})))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_a_folder_that_vanishes_ends_the_recording_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with closing(Recording(folder / "film.mp4", FPS)) as film:
        film.write(plain(50), 0.0)
        (folder / "film.mp4").unlink()
        folder.rmdir()
        film.write(plain(50), 1.0)
        film.write(plain(50), 2.0)
    assert film.lost == 3
    assert "No such file or directory" in errors(caplog)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_film_that_plays(number: signal.Signals, tmp_path: Path) -> None:
    program = f"""
import signal, sys
from contextlib import closing
from itertools import count
from pathlib import Path
import numpy as np
from edge.recording import Recording

for each in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: who starts the tests may have it ignored
    signal.signal(each, signal.default_int_handler)
try:
    with closing(Recording(Path(sys.argv[1]), {FPS})) as film:
        for each in count():
            film.write(np.full((48, 64, 3), each % 256, np.uint8), each / {FPS})
            written = each + 1
            if each == 20:
                print("going", flush=True)
except KeyboardInterrupt:
    print(written)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "film.mp4")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "going\n", process.stderr.read()
        process.send_signal(number)
        output, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
    assert len(played(tmp_path / "film.mp4")) == pytest.approx(int(output), abs=1)

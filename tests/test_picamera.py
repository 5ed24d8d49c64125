"""Raspberry Pi camera: its own process, run by a Python that is not ours, and picamera2 in it, pretended and real.

Everyday tests pretend picamera2 (tests/picamera/fake), in a real Python that has numpy and nothing else. The long ones
run the real picamera2 on libcamera's virtual camera, in a Debian Trixie that is read-only, with its Python and numpy.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
import venv
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import psutil
import pytest

from edge import config, start
from edge.errors import SourceError
from edge.sources import is_camera, is_picamera, picamera
from edge.sources.cameras import Found, is_there, path_of, pi_cameras
from edge.sources.guard import Guarded
from edge.sources.remote import PICAMERA, WEBCAM, Opener, Refused, Remote, opener_of
from edge.sources.ring import BUFFERS
from edge.sources.watch import Limits

ROOT = Path(__file__).parents[1]
HERE = ROOT / "tests" / "picamera"

LIMITS = Limits(opening_seconds=60, silent_seconds=30, first_delay_seconds=0.01, longest_delay_seconds=0.05)
"""Patience with a process that gets no time on a busy machine."""

CONTROLS = {"FrameDurationLimits": (8333, 1_000_000, 33333), "AfMode": (0, 2, 0), "LensPosition": (0.0, 32.0, 1.0)}
"""Of a Camera Module 3, which has a lens that moves: at most 120 frames a second."""


def python_with(folder: Path, *packages: Path) -> str:
    """A Python of its own, without pip, that has these modules and packages besides its standard library."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    for each in packages:
        (site / each.name).symlink_to(each)
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def system_python(tmp_path_factory):
    """The system's Python, as if picamera2 were installed: no OpenCV, nothing of ours."""
    numpy = Path(np.__file__).parent
    libraries = [each for each in [numpy.with_name("numpy.libs")] if each.is_dir()]
    return python_with(tmp_path_factory.mktemp("python") / "own", numpy, *libraries, *(HERE / "fake").glob("*.py"))


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that says what the pretended picamera2 has, and one that reads what happened to it."""
    path = tmp_path / "camera.json"
    monkeypatch.setenv("FAKE_PICAMERA", str(path))

    def write(**what):
        path.write_text(json.dumps({"models": ["imx708"]} | what))

    def happened(what):
        lines = path.with_name("camera.json.log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line.pop("what") == what]

    write()
    return SimpleNamespace(write=write, happened=happened)


def guard(python, limits=LIMITS, function=PICAMERA.function, **settings):
    return Guarded(config.Camera(**{"source": "picamera"} | settings), opener=Opener(function, python), limits=limits)


def take(source, count):
    with closing(iter(source)) as frames:
        return list(islice(frames, count))


def refused(source) -> str:
    with pytest.raises(Refused) as caught:
        take(source, 1)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("said", ["picamera", "picamera:0", "picamera:1"])
def test_a_raspberry_pi_camera_is_a_camera_by_its_name(said):
    assert is_camera(said) and is_picamera(said) and is_there(path_of(said))
    assert opener_of(path_of(said)) == PICAMERA
    assert PICAMERA.python == "/usr/bin/python3"


@pytest.mark.parametrize("said", ["picamera:", "picamera:x", "picamera2", "picamera.mp4", "/dev/picamera", "0"])
def test_what_is_called_otherwise_is_none(said):
    assert not is_picamera(said)
    assert opener_of(path_of(said)) == WEBCAM


def test_pictures_come_as_rgb_out_of_lines_with_padding(system_python, script):
    frames = take(guard(system_python, width=320, height=240, frozen_seconds=0), 5)
    for frame in frames:
        assert (frame.pixels.shape, frame.pixels.dtype) == ((240, 320, 3), np.uint8)
        assert (frame.pixels == (frame.number + 1, 100, 200)).all()
        assert frame.name == "picamera:0"
    assert all(before.captured_at < after.captured_at for before, after in pairwise(frames))
    (asked,) = script.happened("configure")
    assert asked == {
        "size": [320, 240],
        "format": "BGR888",  # libcamera's name of red, green, blue
        "raw": None,
        "turned": [False, False],
        "buffers": picamera.BUFFERS,
        "queue": False,
    }


def test_each_request_is_released_once_and_no_buffer_is_missing_at_the_end(system_python, script):
    script.write(raises=3 * picamera.BUFFERS)
    opener = Opener(PICAMERA.function, system_python)
    stopped = pytest.raises(SourceError, match="RuntimeError: the pipeline has stopped")
    with closing(Remote("picamera:0", config.Camera(), opener)) as camera, stopped:
        while True:
            camera.receive(30)
    released = script.happened("release")
    assert [each["number"] for each in released] == list(range(1, 3 * picamera.BUFFERS))
    assert not any(each["twice"] for each in released)
    assert script.happened("close")[0]["free"] == picamera.BUFFERS


def test_pictures_that_nobody_wants_are_released_too(system_python, script):
    source = guard(system_python, frozen_seconds=0)
    source.rate_fps = 0.001
    with closing(iter(source)) as frames:
        next(frames)
        deadline = time.monotonic() + 60
        while len(script.happened("release")) < 3 * picamera.BUFFERS and time.monotonic() < deadline:
            time.sleep(0.01)
    numbers = [each["number"] for each in script.happened("release")]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3 * picamera.BUFFERS


def test_what_fails_while_a_picture_is_copied_leaves_no_request_behind():
    """In this process: a room that cannot be had."""
    released = []

    class Failing(picamera.PiCamera):
        def __init__(self):
            self._request = SimpleNamespace(release=lambda: released.append("released"))
            self._camera = SimpleNamespace(close=lambda: released.append("closed"))
            self._mapped = lambda request, stream: nullcontext(SimpleNamespace(array=np.zeros((2, 2, 3), np.uint8)))

    camera = Failing()
    with pytest.raises(ZeroDivisionError):
        camera.decode(lambda shape: 1 // 0)
    camera.close()
    camera._let_go()
    assert released == ["released", "closed"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"FrameDurationLimits": [33333, 33333], "AfMode": 2}),
        ({"fps": 50.0}, {"FrameDurationLimits": [20000, 20000], "AfMode": 2}),
        ({"focus_metres": 0.5}, {"FrameDurationLimits": [33333, 33333], "AfMode": 0, "LensPosition": 2.0}),
    ],
)
def test_rate_and_focus_are_set_where_the_camera_has_them(system_python, script, settings, expected):
    script.write(controls=CONTROLS)
    take(guard(system_python, **settings), 1)
    assert script.happened("controls") == [expected]


def test_a_camera_without_a_moving_lens_is_not_asked_to_move_it(system_python, script, caplog):
    script.write(controls={"FrameDurationLimits": CONTROLS["FrameDurationLimits"]})
    with caplog.at_level(logging.INFO):
        take(guard(system_python, focus_metres=2.0), 1)
    assert script.happened("controls") == [{"FrameDurationLimits": [33333, 33333]}]
    assert "camera=picamera:0 size=640x480 fps=30 format=RGB focus=by-hand asked=640x480@30" in caplog.messages


def test_a_camera_that_hangs_upside_down_is_turned_by_its_image_processor(system_python, script):
    take(guard(system_python, upside_down=True), 1)
    assert script.happened("configure")[0]["turned"] == [True, True]


@pytest.mark.parametrize(
    ("fps", "known", "expected"),
    [(30.0, CONTROLS, 30.0), (200.0, CONTROLS, 120.0), (30.0, {}, 0.0), (30.0, {"FrameDurationLimits": (0, 0, 0)}, 0)],
)
def test_it_promises_the_rate_that_its_limits_allow(fps, known, expected):
    assert picamera.promised_fps(config.Camera(fps=fps), known) == pytest.approx(expected, rel=1e-3)


def test_a_picture_is_dated_by_its_exposure_on_the_clock_of_all_frames(system_python, script):
    frame = take(guard(system_python), 1)[0]
    assert time.monotonic() - frame.captured_at >= 0.02  # its stamp is 20 ms old when it comes
    assert frame.captured_at < time.monotonic()


@pytest.mark.parametrize("age_seconds", [-1, 2, 1e6])
def test_a_stamp_of_another_clock_is_no_stamp(age_seconds):
    boottime_ns = round((time.clock_gettime(time.CLOCK_BOOTTIME) - age_seconds) * 1e9)
    before = time.monotonic()
    assert before <= picamera.captured_at(boottime_ns) <= time.monotonic()


def test_a_picture_without_a_stamp_is_dated_when_it_came(system_python, script):
    script.write(stamped=False)
    began = time.monotonic()
    assert began < take(guard(system_python), 1)[0].captured_at < time.monotonic()


MENDS = [
    ({"models": []}, "picamera", "no camera picamera:0: libcamera finds: none; check its ribbon cable"),
    ({}, "picamera:1", "no camera picamera:1: libcamera finds: imx708; check its ribbon cable"),
    (
        {"busy": True},
        "picamera",
        "camera picamera:0 does not open: another program has it, or it may not be opened: Failed to acquire camera: "
        "Device or resource busy",
    ),
    ({"format": "NV12"}, "picamera", "camera picamera:0 delivers NV12: expected RGB"),
    ({"import": ["ImportError", "libcamera.so"]}, "picamera", "does not import: ImportError: libcamera.so: sudo apt"),
    ({"import": ["ValueError", "numpy.dtype size changed"]}, "picamera", "ValueError: numpy.dtype size changed: sudo"),
]


@pytest.mark.parametrize(("what", "source", "expected"), MENDS)
def test_what_the_user_can_mend_is_one_line(system_python, script, what, source, expected, caplog):
    script.write(**what)
    assert expected in refused(guard(system_python, source=source))
    assert caplog.messages == []


def test_without_picamera2_it_says_what_to_install(tmp_path):
    """Nor numpy: it comes with picamera2."""
    said = refused(guard(python_with(tmp_path / "bare")))
    assert "the system's Python has no picamera2: sudo apt install python3-picamera2" in said


def test_without_a_system_python_it_says_what_to_install(tmp_path):
    said = refused(guard(str(tmp_path / "python3")))
    assert f"there is no {tmp_path}/python3: the system's Python has no picamera2: sudo apt install" in said


def test_a_camera_that_hangs_is_killed_and_opened_again(system_python, script):
    script.write(hangs=4)
    source = guard(system_python, replace(LIMITS, silent_seconds=0.5), frozen_seconds=0)
    with closing(iter(source)) as frames:
        while not source.reopens:
            next(frames)
    assert len(script.happened("open")) >= 2


def test_nothing_of_our_environment_is_seen_by_the_other_python(system_python, tmp_path):
    """Neither our packages, nor what lies in the folder where we were started."""
    (tmp_path / "json.py").write_text("raise SystemExit('not the real one')")
    look = "import sys, json, edge; print(json.dumps([sys.path, edge.__file__]))"
    code = start.ALONE.replace('runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)', look)
    assert look in code
    command = [code if each == start.ALONE else each for each in start.command("json", python=system_python)]
    done = subprocess.run(
        command, cwd=tmp_path, env=start.environment(), capture_output=True, check=True, text=True, timeout=60
    )
    path, package = json.loads(done.stdout)
    assert package == str(ROOT / "edge" / "__init__.py")
    assert not [each for each in path if each.startswith((str(ROOT), str(tmp_path)))]
    assert str(Path(cv2.__file__).parents[1]) not in path


def test_cameras_are_listed_with_the_names_that_they_are_opened_by(system_python, script):
    script.write(models=["imx708", "ov5647"])
    assert pi_cameras(system_python) == [
        Found("picamera:0", "picamera:0", "imx708", "libcamera"),
        Found("picamera:1", "picamera:1", "ov5647", "libcamera"),
    ]


def test_where_picamera2_is_not_installed_no_camera_is_listed(tmp_path, system_python, script):
    assert pi_cameras(python_with(tmp_path / "bare")) == pi_cameras(str(tmp_path / "none")) == []
    script.write(models=[])
    assert pi_cameras(system_python) == []


# From here on: the real thing.

NEEDED = (
    *("libcamera-ipa", "libcamera-tools", "python3-av", "python3-jsonschema", "python3-libarchive-c"),
    *("python3-libcamera", "python3-numpy", "python3-piexif", "python3-pil", "python3-prctl", "python3-tqdm"),
)

WHEELS = "picamera2==0.3.38", "simplejpeg==1.9.0", "videodev2==0.0.4"
"""What Debian has no packages of; Raspberry Pi OS has."""

STUBS = {
    "pykms.py": "class PixelFormat:\n    RGB888 = BGR888 = XRGB8888 = XBGR8888 = YUV420 = YVU420 = NV12 = None\n",
    "pidng/camdefs.py": "class Picamera2Camera: ...\n",
    "pidng/core.py": "class PICAM2DNG: ...\n",
}
"""For screens and raw photographs, which we do not use: modules that picamera2 imports."""

VIRTUAL = """\
"Virtual0":
  supported_formats:
  - {width: 640, height: 480, frame_rates: [30]}
  frames: {path: "/frames"}
  location: "CameraLocationFront"
  model: "Virtual camera"
"""

COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]

IN_THE_ROOT = """\
#!/bin/sh
exec unshare --mount --propagation private sh -c '
    mount -t overlay -o ro,lowerdir={layers} overlay {mount}
    mount -t proc proc {mount}/proc
    mount -t tmpfs tmpfs {mount}/tmp
    mkdir -p {mount}{checkout}
    mount --bind {checkout} {mount}{checkout}
    exec chroot {mount} env LD_PRELOAD=/dma_heap.so /usr/bin/python3 "$@"
' sh "$@"
"""
"""A Python that lives in another system, whose files it cannot write; it keeps its process number, its parent, and the
descriptors that it was given."""


@pytest.fixture(scope="module")
def trixie():
    """A Debian Trixie with libcamera."""
    from tests import machines

    for program in ("unshare", "cc"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    return machines.root("trixie", packages=NEEDED)


def enter(place: Path, *layers: Path) -> str:
    """A Python of the system that these layers make, the uppermost first."""
    (place / "mount").mkdir()
    mounted = ":".join(map(str, layers))
    (place / "python3").write_text(IN_THE_ROOT.format(layers=mounted, mount=place / "mount", checkout=ROOT))
    (place / "python3").chmod(0o755)
    return str(place / "python3")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What is laid over the system: picamera2, the shim for machines without DMA heaps, and our patches."""
    layer = tmp_path_factory.mktemp("installed")
    site = layer / "usr/local/lib/python3.13/dist-packages"
    site.mkdir(parents=True)
    (layer / str(ROOT).lstrip("/")).mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", f"--target={site}"]
    subprocess.run([*pip, "--python-version=3.13", *WHEELS], check=True, timeout=300)
    for name, content in STUBS.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(content)
    shutil.copy(HERE / "virtual_camera.py", site)
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", layer / "dma_heap.so", HERE / "dma_heap.c"]
    subprocess.run([*command, "-ldl"], check=True)
    return layer


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """The virtual camera's settings, and the pictures that it shows: each of one colour."""
    layer = tmp_path_factory.mktemp("camera")
    settings = layer / "usr/share/libcamera/pipeline/virtual/virtual.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(VIRTUAL)
    (layer / "frames").mkdir()
    for number, colour in enumerate(COLOURS):
        cv2.imwrite(str(layer / "frames" / f"{number}.jpg"), np.full((480, 640, 3), colour[::-1], np.uint8))
    return layer


@pytest.fixture(scope="module")
def virtual(tmp_path_factory, trixie, installed, camera):
    return enter(tmp_path_factory.mktemp("virtual"), camera, installed, trixie)


OPENER = "virtual_camera:open_virtual"


@pytest.mark.long
@pytest.mark.timeout(900)  # the root may have to be made
def test_the_real_picamera2_delivers_pictures_of_the_virtual_camera(virtual, caplog):
    source = guard(virtual, function=OPENER, frozen_seconds=0)
    with caplog.at_level(logging.INFO):
        frames = take(source, 20 * BUFFERS)
    seen = set()
    for frame in frames:
        assert frame.pixels.shape == (480, 640, 3)
        distances = [np.abs(frame.pixels.astype(int) - colour).mean(axis=2).max() for colour in COLOURS]
        assert min(distances) < 12  # JPEG and 4:2:0
        seen.add(int(np.argmin(distances)))
    assert len(seen) == len(COLOURS)
    assert all(before.captured_at < after.captured_at for before, after in pairwise(frames))
    assert "camera=picamera:0 size=640x480 fps=" in caplog.text
    assert source.reason == ""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_real_camera_is_let_go_and_opened_again_when_its_process_is_killed(virtual):
    source = guard(virtual, function=OPENER, frozen_seconds=0)
    with closing(iter(source)) as frames:
        next(frames)
        (process,) = psutil.Process().children()
        assert process.name().startswith("python3")
        process.kill()
        while not source.reopens:
            next(frames)
        assert len(list(islice(frames, 2 * BUFFERS))) == 2 * BUFFERS
    assert not psutil.Process().children()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_real_libcamera_lists_its_camera_and_says_when_there_is_none(virtual, tmp_path, trixie, installed):
    assert pi_cameras(virtual) == [Found("picamera:0", "picamera:0", "Virtual camera", "libcamera")]
    none = enter(tmp_path, installed, trixie)
    assert "libcamera finds: none" in refused(guard(none, function=OPENER))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_system_without_picamera2_says_what_to_install(tmp_path, trixie, installed):
    """Debian's own Python, which has a numpy of another version than ours."""
    layer = tmp_path / "layer"
    (layer / str(ROOT).lstrip("/")).mkdir(parents=True)
    shutil.copy(installed / "dma_heap.so", layer)
    place = tmp_path / "place"
    place.mkdir()
    assert "sudo apt install python3-picamera2" in refused(guard(enter(place, layer, trixie)))


def test_our_own_modules_for_the_other_python_are_not_many():
    """They must do with the standard library, and numpy for the pictures."""
    look = (
        "import sys, edge.sources.child, edge.sources.picamera; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    )
    command = [sys.executable, "-S", "-c", look]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert not {"numpy", "cv2"} & set(done.stdout.split())

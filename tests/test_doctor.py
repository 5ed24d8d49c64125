"""`emotion-edge doctor`: each check says what it found, and what to do."""

import os
import sys
from pathlib import Path

import pytest

from edge import config, doctor
from edge.classifier import SHIPPED

NAMES = [
    "Python",
    "numpy and OpenCV",
    "one OpenCV",
    "interpreter",
    "face detector",
    "emotion model",
    "camera",
    "threads",
    "window",
]
NEED_NUMPY = {"interpreter", "face detector", "emotion model", "camera"}


def verdicts(text: str) -> dict[str, str]:
    """Verdict of each check in what doctor printed."""
    lines = [line for line in text.splitlines() if not line.startswith("      -> ")]
    return {line[6:].partition(":")[0]: line[:4].strip() for line in lines}


def line_of(text: str, name: str) -> str:
    """A check's line, and what to do if that is on one of its own."""
    start = text.index(f"  {name}: ")
    rest = text[start:].splitlines()
    return " ".join(rest[:2]) if rest[1:] and "->" in rest[1] else rest[0]


def packages(folder: Path, **reasons: str) -> Path:
    """A folder of packages that do not import, as a broken system has them."""
    for name, reason in reasons.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise ImportError({reason!r})\n")
    return folder


def test_where_all_is_well_each_check_has_a_line_and_none_fails(in_process):
    done = in_process("doctor")
    assert list(verdicts(done.stdout)) == NAMES
    assert "fail" not in verdicts(done.stdout).values(), done.stdout
    assert done.returncode == 0
    assert "portrait happy" in done.stdout


@pytest.mark.parametrize("words", [("--range", "full"), ("--backend", "mediapipe")])
def test_it_checks_the_detector_that_would_be_used(words, in_process):
    if "mediapipe" in words:
        pytest.importorskip("mediapipe", reason="the backend is an extra")
    found = line_of(in_process("doctor", *words).stdout, "face detector")
    assert words[1] in found


def test_a_damaged_model_fails_and_the_line_says_what_to_do(in_process, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(SHIPPED.read_bytes()[:-100])
    done = in_process("doctor", "--model", path)
    assert done.returncode == 1
    assert verdicts(done.stdout)["emotion model"] == "fail"
    assert f"{path}: a .tflite file without a model card (or a truncated one): expected" in done.stdout
    assert list(verdicts(done.stdout)) == NAMES, "the checks after it are made all the same"


def test_settings_that_see_no_face_in_a_portrait_fail(in_process, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[faces]\nmin_score = 0.99\n")
    done = in_process("doctor", "--config", path)
    assert done.returncode == 1
    assert "min_score = 0.99: use the default" in line_of(done.stdout, "face detector")


def test_a_model_that_calls_a_smile_something_else_fails(in_process, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text("[limits]\nmin_face_px = 500\n")
    done = in_process("doctor", "--config", path)
    assert done.returncode == 1
    assert "'uncertain' (small): expected 'happy'; use the model that ships" in line_of(done.stdout, "emotion model")


def test_it_starts_where_opencv_does_not_and_says_what_to_do(emotion_edge, tmp_path):
    broken = packages(tmp_path, cv2="libGL.so.1: cannot open shared object file")
    done = emotion_edge("doctor", env={"PYTHONPATH": str(broken)})
    assert (done.returncode, done.stderr) == (1, "")
    said = line_of(done.stdout, "numpy and OpenCV")
    assert "ImportError: libGL.so.1" in said
    assert "scripts/setup device" in said
    assert list(verdicts(done.stdout)) == [name for name in NAMES if name not in NEED_NUMPY]


def test_it_starts_without_an_interpreter_and_says_what_to_install(emotion_edge, tmp_path):
    broken = packages(tmp_path, **dict.fromkeys(("ai_edge_litert", "tflite_runtime", "tensorflow"), "not for this CPU"))
    done = emotion_edge("doctor", env={"PYTHONPATH": str(broken)})
    assert done.returncode == 1
    assert verdicts(done.stdout)["interpreter"] == "fail"
    assert "not for this CPU" in done.stdout
    assert line_of(done.stdout, "interpreter").endswith("pip install ai-edge-litert")


def test_a_second_opencv_fails_with_both_names(monkeypatch, tmp_path):
    other = tmp_path / "opencv_python-4.10.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: opencv-python\nVersion: 4.10.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    check = doctor.one_opencv()
    assert check.verdict == "fail"
    assert "opencv-python 4.10.0, opencv-python-headless" in check.found
    assert "pip uninstall" in check.mend


def test_the_same_opencv_met_twice_on_the_path_is_one(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, *(f"{each}/." for each in sys.path)])
    assert doctor.one_opencv().verdict == "ok"


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "fail")]
)
def test_pythons_without_an_interpreter_fail(version, verdict, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    check = doctor.python()
    assert check.verdict == verdict
    assert bool(check.mend) == (verdict == "fail")


@pytest.mark.parametrize(
    ("there", "source", "verdict", "says"),
    [
        ([("/dev/null", "HD Webcam")], "0", "ok", "/dev/null (HD Webcam)"),
        ([("/dev/none", "HD Webcam")], "demo", "fail", "usermod -aG video"),
        ([], "demo", "warn", "plug one in"),
        ([], "0", "fail", "plug one in"),
        ([], "/dev/video1", "fail", "--source demo"),
    ],
)
def test_a_camera_is_there_and_may_be_opened_or_it_says_what_to_do(there, source, verdict, says, monkeypatch):
    monkeypatch.setattr("edge.sources.camera.list_cameras", lambda: there)
    check = doctor.cameras(config.Settings(config.Camera(source=source)))
    assert check.verdict == verdict
    assert says in check.found + check.mend


@pytest.mark.parametrize(("cores", "threads", "verdict"), [(4, 1, "ok"), (1, 1, "warn"), (2, 4, "warn")])
def test_fewer_cores_than_wanted_is_a_warning(cores, threads, verdict, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    check = doctor.threads(config.Settings(model=config.Model(threads=threads)))
    assert check.verdict == verdict
    assert f"{cores} cores" in check.found
    assert bool(check.mend) == (verdict == "warn")


def test_the_window_needs_a_screen(monkeypatch):
    pytest.importorskip("pygame", reason="the window is an extra")
    monkeypatch.setenv("DISPLAY", ":99")
    assert doctor.window().verdict == "ok"


def test_without_pygame_it_says_how_to_get_the_window(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    check = doctor.window()
    assert check.verdict == "warn"
    assert "emotion-edge[window]" in check.mend

"""`emotion-edge doctor`: the command itself, and what it says of the program and its packages."""

import json
import sys
import time
from importlib.metadata import Distribution
from pathlib import Path
from threading import Event

import pytest

from edge import __version__, config, doctor
from edge.classifier import SHIPPED
from edge.doctor import check, program

MACHINE = [
    *("system", "board", "architecture", "glibc", "CPU governor", "temperature", "throttling", "swap", "disk"),
    *("journal", "clock", "threads"),
]
PROGRAM = ["Python", "wheels", "numpy and OpenCV", "one OpenCV", "window"]
NEED_NUMPY = ["interpreter", "face detector", "emotion model", "broker"]
AROUND = ["use", "groups", "camera", "libcamera", "picamera2", "store", "page port", "service"]
NAMES = [*MACHINE, *PROGRAM, *NEED_NUMPY[:-1], *AROUND, NEED_NUMPY[-1]]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """On a busy machine nobody is hurried."""
    monkeypatch.setattr(check.begin, "__defaults__", (60.0, "warn"))
    monkeypatch.setattr(check.ask, "__kwdefaults__", {"seconds": 50.0})


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


def test_other_programs_get_the_same_as_one_document(in_process, tmp_path):
    done = in_process("doctor", "--json", "--model", tmp_path / "none.tflite")
    told = json.loads(done.stdout)
    assert (told["schema"], told["version"]) == (1, __version__)
    assert [each["name"] for each in told["checks"]] == NAMES
    assert all(list(each) == ["name", "verdict", "found", "mend"] for each in told["checks"])
    failed = [each["name"] for each in told["checks"] if each["verdict"] == "fail"]
    assert (failed, done.returncode) == (["emotion model"], 1)


def test_what_is_not_well_says_how_to_mend_it(in_process):
    told = json.loads(in_process("doctor", "--json", "--source", "/dev/video99").stdout)["checks"]
    unwell = [each for each in told if each["verdict"] != "ok" and each["name"] not in ("window", "emotion model")]
    assert {"camera", "use"} <= {each["name"] for each in unwell}
    assert all(each["mend"] for each in unwell), unwell


@pytest.mark.parametrize("late", ["warn", "fail"])
def test_a_look_that_hangs_is_waited_for_until_its_limit_and_not_beyond(late):
    never = Event()
    result = check.begin("broken driver", never.wait, limit_seconds=0.05, late=late)
    made = result()
    never.set()
    assert (made.verdict, made.found) == (late, "no answer within 0.05 s")


def test_programs_that_hang_cost_a_line_each_and_no_more(in_process, monkeypatch, tmp_path):
    for name in ("systemctl", "rpicam-hello"):
        (tmp_path / name).write_text("#!/bin/sh\nsleep 600 &\nwait\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(check.ask, "__kwdefaults__", {"seconds": 0.5})
    done = in_process("doctor", "--source", "picamera", "--set", "privacy.context=testing")
    assert list(verdicts(done.stdout)) == NAMES
    assert "it does not answer" in line_of(done.stdout, "libcamera")
    assert "systemctl does not answer" in line_of(done.stdout, "service")


def test_what_may_hang_is_begun_before_the_rest_is_looked_at(monkeypatch):
    """So that the limits of several are one."""
    begun = Event()
    monkeypatch.setattr("edge.doctor.service.service", begun.set)
    looks = doctor.checks(config.Settings())
    assert next(looks).name == "system"
    assert begun.wait(60)
    looks.close()


def test_a_fault_of_ours_in_one_look_leaves_the_others(monkeypatch, in_process):
    def faulty():
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("edge.doctor.service.service", faulty)
    done = in_process("doctor")
    assert list(verdicts(done.stdout)) == NAMES
    assert "ZeroDivisionError('ours')" in line_of(done.stdout, "service") and "report" in done.stdout


def test_a_program_that_is_killed_leaves_nothing_behind(tmp_path):
    began = time.time_ns()
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\nsleep 600.{began} &\necho begun\nwait\n")
    tool.chmod(0o755)
    assert check.ask(str(tool), seconds=0.5) == check.Answer(None, "")
    await_end_of(f"600.{began}")


def await_end_of(word):
    """Until no process has this word in its command line."""
    deadline = time.monotonic() + 30
    while any(word in command_line(each) for each in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < deadline, word


def command_line(path):
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # it has ended
        return ""


def test_a_program_that_is_not_there_is_none_and_one_that_fails_says_its_last_line():
    assert check.ask("no-such-program") is None
    answer = check.ask("sh", "-c", "echo one; echo two >&2; exit 3")
    assert (answer.code, answer.last_line) == (3, "two")


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
    assert done.stdout.count("\nok ") > 10, "the rest is looked at all the same"


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
    made = program.one_opencv()
    assert made.verdict == "fail"
    assert "opencv-python 4.10.0, opencv-python-headless" in made.found
    assert "pip uninstall" in made.mend


def test_the_same_opencv_met_twice_on_the_path_is_one(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, *(f"{each}/." for each in sys.path)])
    assert program.one_opencv().verdict == "ok"


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "fail")]
)
def test_pythons_without_an_interpreter_fail(version, verdict, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    made = program.python()
    assert made.verdict == verdict
    assert bool(made.mend) == (verdict == "fail")


@pytest.mark.parametrize(
    ("tag", "fit"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("cp37-abi3-manylinux_2_28_aarch64", True),
        (f"cp3{sys.version_info[1]}-cp3{sys.version_info[1]}-manylinux_2_27_aarch64", True),
        (f"cp3{sys.version_info[1]}-cp3{sys.version_info[1]}-manylinux2014_aarch64.manylinux_2_17_aarch64", True),
        (f"cp3{sys.version_info[1]}-cp3{sys.version_info[1]}-linux_aarch64", True),
        ("cp37-abi3-manylinux_2_28_x86_64", False),
        ("cp37-abi3-manylinux_2_40_aarch64", False),
        ("cp37-abi3-musllinux_1_2_aarch64", False),
        ("cp37-abi3-linux_armv7l", False),
        ("cp399-abi3-manylinux_2_28_aarch64", False),
        ("cp310-cp310-manylinux_2_27_aarch64", False),
    ],
)
def test_a_wheel_is_for_one_python_processor_and_c_library(tag, fit):
    assert program.fits(tag, "aarch64", (2, 36)) == fit


def test_packages_of_another_computer_fail_by_name_with_the_file_to_install(tmp_path):
    for name, tag in (("numpy", "cp310-cp310-manylinux_2_27_x86_64"), ("anyio", "py3-none-any")):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    wrong = program.wheels([str(tmp_path)], "aarch64", (2, 36))
    assert (wrong.verdict, "numpy (cp310" in wrong.found, "anyio" in wrong.found) == ("fail", True, False)
    assert f"py3{sys.version_info[1]}_arm64.deb" in wrong.mend


def test_the_packages_of_these_tests_fit():
    assert program.wheels().verdict == "ok"


def test_without_any_opencv_there_is_a_warning(tmp_path):
    assert program.one_opencv([Distribution.from_name("pytest")]).verdict == "warn"


def test_the_window_needs_a_screen(monkeypatch):
    pytest.importorskip("pygame", reason="the window is an extra")
    monkeypatch.setenv("DISPLAY", ":99")
    assert program.window().verdict == "ok"


def test_without_pygame_it_says_how_to_get_the_window(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    made = program.window()
    assert made.verdict == "ok", "a device on a shelf needs none"
    assert "emotion-edge[window]" in made.found


def test_a_window_without_a_screen_is_a_warning(monkeypatch):
    pytest.importorskip("pygame", reason="the window is an extra")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert program.window().verdict == "warn"

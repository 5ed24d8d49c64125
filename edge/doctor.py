"""Checks of this machine: each says ok, warn or fail, what was found, and what to do."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge import config
from edge.errors import EmotionEdgeError

# What needs numpy or OpenCV is imported where it is used: doctor must start where they do not.

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """What one look found, and how to mend it."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:4}  {self.name}: {self.found}" + (f"\n      -> {self.mend}" if self.mend else "")


def print_checks(settings: config.Settings) -> int:
    """Print a line for each check; 1 if any failed."""
    failed = False
    for check in checks(settings):
        print(check)
        failed = failed or check.verdict == "fail"
    return 1 if failed else 0


def checks(settings: config.Settings) -> Iterator[Check]:
    """All checks, each made when it is asked for."""
    yield python()
    imported = numpy_and_opencv()
    yield imported
    yield one_opencv()
    if imported.verdict == "ok":  # without them, nothing of the following starts
        yield _working("interpreter", interpreter)
        yield _working("face detector", lambda: detector(settings))
        yield _working("emotion model", lambda: model(settings))
        yield cameras(settings)
    yield threads(settings)
    yield window()


def python() -> Check:
    """Version 3.11 to 3.13, 64 bits: for others the interpreter has no wheel."""
    bits = struct.calcsize("P") * 8
    found = f"{platform.python_version()}, {bits} bits, {platform.machine()}, {platform.platform()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13) and bits == 64:
        return Check("Python", "ok", found)
    return Check("Python", "fail", found, "use a 64-bit system with Python 3.11 to 3.13 (Raspberry Pi OS 64-bit)")


def numpy_and_opencv() -> Check:
    """Both import: a numpy of another ABI shows here first."""
    try:
        cv2, numpy = importlib.import_module("cv2"), importlib.import_module("numpy")
    except (ImportError, ValueError) as error:  # ValueError: "numpy.dtype size changed"
        mend = "scripts/setup device makes an environment that fits; do not mix apt's numpy with pip's"
        return Check("numpy and OpenCV", "fail", f"{type(error).__name__}: {error}", mend)
    return Check("numpy and OpenCV", "ok", f"numpy {numpy.__version__}, OpenCV {cv2.__version__}")


def one_opencv() -> Check:
    """Two OpenCV wheels in one environment overwrite each other's files."""
    names = sorted(
        {
            f"{each.name} {each.version}"
            for each in importlib.metadata.distributions()
            if each.name.lower().startswith("opencv-") and "python" in each.name.lower()
        }
    )
    if len(names) == 1:
        return Check("one OpenCV", "ok", names[0])
    if not names:
        return Check("one OpenCV", "warn", "none that pip knows", "pip install opencv-python-headless, which is tested")
    mend = "pip uninstall all of them, then `pip install opencv-python-headless`"
    return Check("one OpenCV", "fail", ", ".join(names), mend)


def interpreter() -> str:
    """Which TFLite runtime is used."""
    from edge.interpreter import runtime_name

    return runtime_name()


def detector(settings: config.Settings) -> str:
    """The detector finds the one face of the portrait that ships."""
    from edge.selftest import portrait

    portrait(settings.faces)
    return f"{settings.faces.backend}, {settings.faces.range} range, found the portrait's face"


def model(settings: config.Settings) -> str:
    """The model loads, and calls the portrait happy."""
    from edge.classifier import open_classifier
    from edge.perceive import Reader
    from edge.selftest import portrait

    classifier = open_classifier(settings.model)
    reading = Reader(classifier, settings.limits, settings.model.abstain).read(*portrait(settings.faces))
    if reading.label != "happy":
        why = f" ({reading.reason})" if reading.reason else ""
        raise EmotionEdgeError(
            f"{classifier.name} calls a smiling portrait {reading.label!r}{why}: expected 'happy'; "
            "use the model that ships, and the default [limits]"
        )
    return f"{classifier.name}, {len(classifier.card.labels)} labels, portrait {reading.label} {reading.confidence:.0%}"


def cameras(settings: config.Settings) -> Check:
    """A camera is there and may be read; only a warning when another source is set."""
    from edge.sources import is_camera
    from edge.sources.camera import list_cameras

    found = list_cameras()
    readable = [path for path, _ in found if os.access(path, os.R_OK | os.W_OK)]
    if readable:
        return Check("camera", "ok", ", ".join(f"{path} ({name})" for path, name in found))
    if found:
        mend = "sudo usermod -aG video $USER, then log in again"
        return Check("camera", "fail", f"{found[0][0]} may not be opened by this user", mend)
    return Check(
        "camera", "fail" if is_camera(settings.camera.source) else "warn", "none", "plug one in, or use --source demo"
    )


def threads(settings: config.Settings) -> Check:
    """One thread an interpreter, and two cores, for capture and inference."""
    cores = len(os.sched_getaffinity(0))
    found = f"{cores} cores, {settings.model.threads} for the interpreter"
    if settings.model.threads > cores:
        return Check("threads", "warn", found, f"set [model] threads to at most {cores}; 1 is best for small networks")
    return Check("threads", "ok" if cores > 1 else "warn", found, "" if cores > 1 else "expect half the frame rate")


def window() -> Check:
    """Whether --window would work."""
    if importlib.util.find_spec("pygame") is None:
        return Check("window", "warn", "not installed", 'pip install "emotion-edge[window]" if you want --window')
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or Path("/dev/dri/card0").exists()
    return Check("window", "ok" if display else "warn", "pygame" if display else "no display here: headless only")


def _working(name: str, look: Callable[[], str]) -> Check:
    """Failed for what a user can mend: the error's own line says how."""
    try:
        return Check(name, "ok", look())
    except EmotionEdgeError as error:
        return Check(name, "fail", str(error))

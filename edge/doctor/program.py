"""The program: Python, its packages, the interpreter, the detector, the model, the window."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from edge import config
from edge.doctor.check import Check
from edge.doctor.machine import glibc_version
from edge.errors import EmotionEdgeError

# What needs numpy or OpenCV is imported where it is used: doctor must start where they do not.

PACKAGE = {"aarch64": "arm64", "x86_64": "amd64"}
"""Debian's name of an architecture."""


def python() -> Check:
    """Version 3.11 to 3.13, 64 bits: for others the interpreter has no wheel."""
    bits = struct.calcsize("P") * 8
    found = f"{platform.python_version()}, {bits} bits, {platform.machine()}, {platform.platform()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13) and bits == 64:
        return Check("Python", "ok", found)
    return Check("Python", "fail", found, "use a 64-bit system with Python 3.11 to 3.13 (Raspberry Pi OS 64-bit)")


def wheels(
    places: list[str] | None = None, machine: str = platform.machine(), glibc: tuple[int, ...] = glibc_version()
) -> Check:
    """The installed packages were made for this Python, processor and C library; `places` are folders of packages."""
    tags = {
        each.name: re.findall(r"^Tag: *(\S+)", each.read_text("WHEEL") or "", re.M)
        for each in importlib.metadata.distributions(path=sys.path if places is None else places)
    }
    known = {name: said for name, said in tags.items() if said}
    wrong = [
        f"{name} ({said[0]})" for name, said in known.items() if not any(fits(tag, machine, glibc) for tag in said)
    ]
    here = f"Python {sys.version_info[0]}.{sys.version_info[1]}, {machine}"
    if not wrong:
        return Check("wheels", "ok", f"{len(known)} packages, all for {here}")
    name = f"emotion-edge_*+py{sys.version_info[0]}{sys.version_info[1]}_{PACKAGE.get(machine, machine)}.deb"
    mend = f"install the file that is for this computer, {name}, or run scripts/setup device in a checkout"
    return Check("wheels", "fail", f"not for {here}: {', '.join(sorted(wrong))}", mend)


def fits(tag: str, machine: str, glibc: tuple[int, ...]) -> bool:
    """Whether a wheel's tag, such as cp311-cp311-manylinux_2_28_aarch64, is for this Python on that computer."""
    pythons, abis, platforms = (each.split(".") for each in tag.split("-"))
    ours = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    by_abi = any(each.startswith("py3") or each == ours or ("abi3" in abis and _older(each)) for each in pythons)
    return by_abi and any(each == "any" or _runs(each, machine, glibc) for each in platforms)


def _older(python: str) -> bool:
    digits = python.removeprefix("cp3")
    return digits.isdecimal() and int(digits) <= sys.version_info[1]


def _runs(place: str, machine: str, glibc: tuple[int, ...]) -> bool:
    if not place.endswith(f"_{machine}"):
        return False
    needs = re.match(r"manylinux_(\d+)_(\d+)_", place)
    return tuple(map(int, needs.groups())) <= glibc if needs else place.startswith(("linux_", "manylinux"))


def numpy_and_opencv() -> Check:
    """Both import: a numpy of another ABI shows here first."""
    try:
        cv2, numpy = importlib.import_module("cv2"), importlib.import_module("numpy")
    except (ImportError, ValueError) as error:  # ValueError: "numpy.dtype size changed"
        mend = (
            "install emotion-edge's package again (sudo apt install --reinstall ./emotion-edge_*.deb), or run "
            "scripts/setup device in a checkout; do not mix apt's numpy with pip's"
        )
        return Check("numpy and OpenCV", "fail", f"{type(error).__name__}: {error}", mend)
    return Check("numpy and OpenCV", "ok", f"numpy {numpy.__version__}, OpenCV {cv2.__version__}")


def one_opencv(installed: Iterable[importlib.metadata.Distribution] | None = None) -> Check:
    """Two OpenCV wheels in one environment overwrite each other's files."""
    names = sorted(
        {
            f"{each.name} {each.version}"
            for each in installed or importlib.metadata.distributions()
            if each.name.lower().startswith("opencv-") and "python" in each.name.lower()
        }
    )
    if len(names) == 1:
        return Check("one OpenCV", "ok", names[0])
    if not names:
        return Check("one OpenCV", "warn", "none that pip knows", "pip install opencv-python-headless, which is tested")
    mend = "pip uninstall all of them, then `pip install opencv-python-headless`"
    return Check("one OpenCV", "fail", ", ".join(names), mend)


def interpreter() -> Check:
    """Which TFLite runtime is used."""
    from edge.interpreter import runtime_name

    return _working("interpreter", runtime_name)


def detector(settings: config.Settings) -> Check:
    """The detector finds the one face of the portrait that ships."""

    def look() -> str:
        from edge.selftest import portrait

        portrait(settings.faces)
        return f"{settings.faces.backend}, {settings.faces.range} range, found the portrait's face"

    return _working("face detector", look)


def model(settings: config.Settings) -> Check:
    """The model loads, and calls the portrait happy."""
    return _working("emotion model", lambda: _portrait_read(settings))


def _portrait_read(settings: config.Settings) -> str:
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


def window() -> Check:
    """Whether --window would work."""
    if importlib.util.find_spec("pygame") is None:
        return Check("window", "ok", 'not installed: headless only; pip install "emotion-edge[window]" brings it')
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or Path("/dev/dri/card0").exists()
    return Check("window", "ok" if display else "warn", "pygame" if display else "no display here: headless only")


def _working(name: str, look: Callable[[], str]) -> Check:
    """Failed for what a user can mend: the error's own line says how."""
    try:
        return Check(name, "ok", look())
    except EmotionEdgeError as error:
        return Check(name, "fail", str(error))

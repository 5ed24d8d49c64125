"""The camera: stated what for, seen by V4L2 and libcamera, and open to this user."""

import grp
import json
import os
import re
from collections.abc import Collection

from edge import config, start
from edge.doctor.check import Check, ask
from edge.errors import SettingsError
from edge.privacy import refuse_unstated
from edge.sources import cameras, is_camera, is_picamera

LISTERS = (("rpicam-hello", "--list-cameras"), ("libcamera-hello", "--list-cameras"), ("cam", "--list"))
"""Programs that show what libcamera sees: Raspberry Pi OS's, the same under its name of before, and libcamera's own."""

SEEN = re.compile(r"^\s*\d+ ?: .+", re.M)
"""A camera in their lists: "0 : imx708 [4608x2592] (/base/...)", "1: Internal front camera (...)"."""

BY_APT = "sudo apt install python3-picamera2"

RIBBON = "power off, push the ribbon cable in straight at both ends; then: rpicam-hello --list-cameras"


def use(settings: config.Settings) -> Check:
    """What the camera is for was stated: it is not opened before."""
    try:
        refuse_unstated(settings)
    except SettingsError as error:
        mend = 'set [privacy] context in the settings, for example context = "home"; docs: Privacy'
        return Check("use", "fail", str(error), mend)
    return Check("use", "ok", settings.privacy.context or f"source {settings.camera.source!r} needs no statement")


def groups(names: Collection[str] | None = None) -> Check:
    """Cameras belong to the group `video`; `names` are those of this process."""
    mine = _own_groups() if names is None else names
    if "video" in mine or "root" in mine:
        return Check("groups", "ok", ", ".join(sorted(set(mine) & {"root", "video", "render"})))
    mend = "sudo usermod -aG video,render $USER, then log in again"
    return Check("groups", "warn", "this user is not in `video`: no camera opens", mend)


def _own_groups() -> set[str]:
    known = {each.gr_gid: each.gr_name for each in grp.getgrall()}
    mine = {known.get(each, str(each)) for each in {os.getegid(), *os.getgroups()}}
    return mine | ({"root"} if os.geteuid() == 0 else set())


def video(settings: config.Camera) -> Check:
    """The camera of the settings is there and may be opened; where it is not one of V4L2's, another may be missing."""
    found = cameras.list_cameras()
    said = ", ".join(f"{path} ({name})" for path, name in found) or "none"
    path = cameras.path_of(settings.source)
    if is_camera(settings.source) and not is_picamera(settings.source):
        if not cameras.may_open(path):
            return Check("camera", "fail", cameras.why_not(path), "emotion-edge cameras; or use --source demo")
        return Check("camera", "ok", f"{path}; there are: {said}")
    if is_picamera(settings.source):
        return Check("camera", "ok", said)
    closed = [path for path, _ in found if not cameras.may_open(path)]
    if closed:
        mend = "sudo usermod -aG video $USER, then log in again"
        return Check("camera", "warn", f"{closed[0]} may not be opened by this user", mend)
    if not found:
        return Check("camera", "warn", said, "plug one in, or use --source demo")
    return Check("camera", "ok", said)


def libcamera(settings: config.Camera) -> Check:
    """What libcamera sees: a ribbon cable's camera, that is, and some USB ones."""
    needed = is_picamera(settings.source)
    answers = (ask(*command) for command in LISTERS)
    answer = next((each for each in answers if each is not None), None)
    if answer is None:
        return Check(
            "libcamera", "ok", "none of its programs is installed: picamera2 tells, and a USB camera needs none"
        )
    seen = [each.strip() for each in SEEN.findall(answer.text)]
    if seen:
        return Check("libcamera", "ok", ", ".join(seen))
    if answer.code is None:
        return Check("libcamera", "warn", "it does not answer", "run this again; a first start may take long")
    return Check("libcamera", "fail" if needed else "ok", "it sees no camera", RIBBON if needed else "")


def picamera2(settings: config.Camera, python: str = start.SYSTEM_PYTHON) -> Check:
    """The system's Python imports it with its own numpy, and lists cameras, in the way that the daemon does it."""
    needed = is_picamera(settings.source)
    answer = ask(*start.command("edge.sources.picamera", python=python))
    if answer is None:
        return _without_picamera2(needed, f"{python} is not there", BY_APT)
    if answer.code is None:
        return _without_picamera2(needed, "its import does not end", "run this again; a first start may take long")
    if answer.code:
        found = answer.last_line.partition("SourceError: ")[2] or answer.last_line
        return _without_picamera2(needed, found.partition(": sudo ")[0], _by_apt(found))
    models = _listed(answer.text)
    if not models and needed:
        return Check("picamera2", "fail", f"imported by {python}; libcamera finds no camera", RIBBON)
    return Check("picamera2", "ok", f"imported by {python}; cameras: {', '.join(models) or 'none'}")


def _listed(text: str) -> list[str]:
    """The JSON list among what libcamera has to remark, which begins with [ as well."""
    lines = [line for line in text.splitlines() if line.startswith(('["', "[]"))]
    return [str(each) for each in json.loads(lines[-1])] if lines else []


def _without_picamera2(needed: bool, found: str, mend: str) -> Check:
    if needed:
        return Check("picamera2", "fail", found, mend)
    if mend == BY_APT:
        return Check("picamera2", "ok", "not installed, and not needed for a USB camera")
    return Check("picamera2", "warn", found, mend)


def _by_apt(found: str) -> str:
    if "has no picamera2" in found:
        return BY_APT
    again = "sudo apt install --reinstall python3-picamera2 python3-numpy python3-simplejpeg"
    return f"{again}, and remove what pip put beside apt's packages"

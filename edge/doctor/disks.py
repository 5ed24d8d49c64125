"""Disks: where things lie, whether they wear out an SD card, and whether there is room. Read below `root`."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from edge import config
from edge.doctor.check import Check, lines_of

JOURNALD = ("usr/lib/systemd", "run/systemd", "etc/systemd")
"""Folders of journald.conf and journald.conf.d/, the one that counts most last."""

STATE = Path("/var/lib/emotion-edge")
"""The service's own folder, made for it by systemd."""

FORGETFUL = ("tmpfs", "ramfs", "overlay")
"""File systems that may be empty again after a boot; an overlay is what `raspi-config` lays over a read-only card."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo: the device (and its number, "179:2"), where it is, its type, its options."""

    source: str
    number: str
    point: Path
    kind: str
    options: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.point} on {self.source} ({self.kind})"


def mounts(root: Path) -> list[Mount]:
    """All that are there; see proc_pid_mountinfo(5) for the fields."""
    found = []
    for line in lines_of(root / "proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        one, other = left.split(), right.split()
        if len(one) >= 6 and len(other) >= 2:
            point = Path(one[4].replace("\\040", " "))
            found.append(Mount(other[1], one[2], point, other[0], tuple(one[5].split(","))))
    return found


def mount_of(path: Path, root: Path) -> Mount | None:
    """The one that `path`, absolute, lies on: the deepest, and of several at one place the last."""
    above = [each for each in mounts(root) if path.is_relative_to(each.point)]
    deepest = max((len(each.point.parts) for each in above), default=0)
    return next((each for each in reversed(above) if len(each.point.parts) == deepest), None)


def on_card(mount: Mount | None, root: Path) -> bool:
    """Whether it is an SD card's; some kernels call its file system /dev/root, and only the number tells."""
    if mount is None:
        return False
    device = os.path.realpath(root / "sys/dev/block" / mount.number)
    return Path(mount.source).name.startswith("mmcblk") or Path(device).name.startswith("mmcblk")


def disk(root: Path) -> Check:
    """A card lasts longer if reading a file does not write."""
    here = mount_of(Path("/"), root)
    if here is None:
        return Check("disk", "ok", "the system does not tell what / is on")
    found = f"{here.point} on {here.source} ({here.kind}, {','.join(here.options)})"
    if not on_card(here, root) or {"noatime", "ro"} & set(here.options):
        return Check("disk", "ok", found)
    mend = "add noatime to the options of / in /etc/fstab, then: sudo mount -o remount,noatime /"
    return Check("disk", "warn", f"{found}: each read of a file may write to the card", mend)


def journal(root: Path) -> Check:
    """On a card, the journal is better kept in memory: it is written to all day."""
    if not (root / "run/systemd/journal").is_dir():
        return Check("journal", "ok", "none: systemd does not run here")
    storage = _storage(root)
    lasting = storage == "persistent" or (storage == "auto" and (root / "var/log/journal").is_dir())
    if not lasting or not on_card(mount_of(Path("/var/log/journal"), root), root):
        return Check("journal", "ok", f"Storage={storage}" + (", on the disk" if lasting else ", in memory"))
    mend = (
        "printf '[Journal]\\nStorage=volatile\\n' | sudo install -D -m 644 /dev/stdin "
        "/etc/systemd/journald.conf.d/90-volatile.conf && sudo systemctl restart systemd-journald"
    )
    return Check("journal", "warn", f"Storage={storage}: written to the SD card all day", mend)


def _storage(root: Path) -> str:
    """journald.conf(5): the main file, then the drop-ins by name; the last word counts."""
    files = [root / folder / "journald.conf" for folder in JOURNALD]
    dropped = {path.name: path for folder in JOURNALD for path in (root / folder / "journald.conf.d").glob("*.conf")}
    main = [path for path in files if path.exists()][-1:]
    said = "auto"
    for path in [*main, *(dropped[name] for name in sorted(dropped))]:
        for line in lines_of(path):
            name, _, value = line.partition("=")
            if name.strip() == "Storage":
                said = value.strip() or "auto"
    return said


def store(settings: config.Settings, root: Path) -> Check:
    """The lasting record has a folder that lasts, which may be written, with room enough."""
    path = settings.store.path
    if path is None:
        if settings.mqtt.host:
            mend = "set [store] path: events that the broker does not take wait until the end of a run only"
            return Check("store", "warn", "none is kept", mend)
        return Check("store", "ok", "none is kept")
    folder, here = path.absolute().parent, mount_of(path.absolute(), root)
    if not folder.exists() and folder.is_relative_to(STATE):
        return Check("store", "ok", f"{path}, which the service makes at its first start")
    if not folder.is_dir():
        return Check("store", "fail", f"{folder} is not there, or closed to this user", f"sudo mkdir -p {folder}")
    free, wanted = shutil.disk_usage(folder).free / 1e6, settings.store.keep_mb
    found = f"{path}, {free:.0f} MB free, up to {wanted:g} are kept"
    if free < wanted:
        return Check("store", "fail", found, "make room (sudo apt clean), or set [store] keep_mb lower")
    if not os.access(folder, os.W_OK):
        return Check(
            "store", "warn", f"{found}; this user may not write there", "run doctor as the service's user does"
        )
    if here and here.kind in FORGETFUL:
        mend = "set [store] path to a disk that lasts, or switch the overlay off (sudo raspi-config)"
        return Check("store", "warn", f"{found}; {here} may be forgotten at the next boot", mend)
    return Check("store", "ok", found)

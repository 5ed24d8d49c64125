"""The computer itself: system, board, power, heat, memory, clock. Linux's files are read below `root`."""

import os
import platform
import struct
from collections.abc import Callable
from pathlib import Path

from edge import board, clocks, config
from edge.doctor.check import Check, Verdict, first_line, lines_of
from edge.doctor.disks import mount_of, on_card

TRIED = {("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")}
"""ID and VERSION_ID of /etc/os-release that Python 3.11 to 3.13 comes with; Raspberry Pi OS (64-bit) calls itself
Debian."""

LEAST_MEMORY_MIB = 700
"""The daemon takes about 150 MB, the page 60 more; a desktop beside it needs the rest of half a gigabyte."""

OLDEST_GLIBC = (2, 28)
"""What the wheels of OpenCV and numpy ask for."""

BOILING_CELSIUS = 85.0
"""A Raspberry Pi slows down from 80 degrees on, and at 85 as far as it can."""

POWER = "use the board's own power supply (Pi 4: 5 V 3 A, Pi 5: 5 V 5 A) and a short cable; a USB camera draws from it"
COOL = "give it air: a heat sink or a fan, no closed case, no sun"


def system(root: Path) -> Check:
    """What os-release(5) says."""
    lines = (line.partition("=") for line in lines_of(root / "etc/os-release"))
    said = {name: value.strip("\"'") for name, _, value in lines}
    found = f"{said.get('PRETTY_NAME', 'unknown, no /etc/os-release')}, Linux {platform.release()}"
    if (said.get("ID"), said.get("VERSION_ID")) in TRIED:
        return Check("system", "ok", found)
    return Check("system", "warn", found, "tried are Raspberry Pi OS (64-bit) and Debian 12 and 13, and Ubuntu 24.04")


def computer(root: Path) -> Check:
    """Its name and memory."""
    name = board.model(root / "proc/device-tree/model") or board.processor(root / "proc/cpuinfo") or "unknown"
    memory = _memory_mib(root)
    if memory is None:
        return Check("board", "ok", name)
    found = f"{name}, {memory} MiB of memory"
    if memory >= LEAST_MEMORY_MIB:
        return Check("board", "ok", found)
    return Check("board", "warn", found, "use the Lite image, without a desktop, and leave [page] and --window off")


def architecture(machine: str = platform.machine(), bits: int = struct.calcsize("P") * 8) -> Check:
    """64 bits, all of it: the kernel of a 32-bit Raspberry Pi OS may have 64, and its programs have not.

    machine  as the kernel names it
    bits     of this Python
    """
    found = f"{machine}, programs of {bits} bits"
    flash = "flash the 64-bit image of Raspberry Pi OS: there is no interpreter for 32 bits"
    if bits == 64 and machine in ("aarch64", "x86_64"):
        return Check("architecture", "ok", found)
    if bits == 32 and machine in ("aarch64", "x86_64"):
        return Check("architecture", "fail", f"{found} on a kernel of 64", flash)
    return Check("architecture", "fail", found, flash)


def glibc(version: tuple[int, ...] | None = None) -> Check:
    """The C library that the wheels are made for."""
    found = glibc_version() if version is None else version
    said = ".".join(map(str, found)) or "none, but another C library (musl, as Alpine has it?)"
    if found >= OLDEST_GLIBC:
        return Check("glibc", "ok", said)
    return Check("glibc", "fail", said, "use Debian 12 or newer, or Raspberry Pi OS (64-bit): glibc 2.28 is needed")


def glibc_version() -> tuple[int, ...]:
    """Such as (2, 36); empty where the C library is another one."""
    try:
        return tuple(int(each) for each in (os.confstr("CS_GNU_LIBC_VERSION") or "").split()[-1].split("."))
    except (ValueError, IndexError):
        return ()


def governor(root: Path) -> Check:
    """What sets the processor's clock."""
    name = first_line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if name != "powersave":
        return Check("CPU governor", "ok", name or "the system tells none")
    mend = "echo schedutil | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Check("CPU governor", "warn", "powersave: the processor keeps its slowest clock", mend)


def temperature(root: Path, settings: config.Governor) -> Check:
    """Of the hottest zone, against the limit that the governor keeps."""
    degrees = board.temperature_celsius(root / "sys/class/thermal")
    if degrees is None:
        return Check("temperature", "ok", "the system tells none")
    verdict: Verdict = "ok" if degrees < settings.max_celsius else "warn" if degrees < BOILING_CELSIUS else "fail"
    found = f"{degrees:.0f} °C, [governor] max_celsius is {settings.max_celsius:g}"
    return Check("temperature", verdict, found, "" if verdict == "ok" else COOL)


def throttling(root: Path) -> Check:
    """What holds the processor back, now or since the boot."""
    bits = board.throttle_bits(root / "sys")
    if bits is None:
        return Check("throttling", "ok", "the system tells nothing, as only a Raspberry Pi does")
    names = board.throttle_names(bits)
    mend = POWER if any("voltage" in name for name in names) else COOL
    if not names:
        return Check("throttling", "ok", "none since the boot")
    verdict: Verdict = "warn" if all(name.endswith("-occurred") for name in names) else "fail"
    return Check("throttling", verdict, ", ".join(names), mend)


def swap(root: Path) -> Check:
    """In compressed memory, or on the card, which it wears out?"""
    places = [Path(line.split()[0]) for line in lines_of(root / "proc/swaps")[1:] if line]
    bad = [str(each) for each in places if _wears_a_card(each, root)]
    if bad:
        mend = "sudo dphys-swapfile swapoff; sudo systemctl disable --now dphys-swapfile; sudo apt install zram-tools"
        return Check("swap", "warn", f"{', '.join(bad)} lies on the SD card: it wears it out, and is slow", mend)
    return Check("swap", "ok", ", ".join(map(str, places)) or "none")


def clock(synchronized: Callable[[], bool] = clocks.synchronized) -> Check:
    """Whether a time server keeps it: events are dated by it."""
    if synchronized():
        return Check("clock", "ok", "kept by a time server")
    mend = "sudo timedatectl set-ntp true, and see that the network is there; until then events are dated anew later"
    return Check("clock", "warn", "kept by nobody", mend)


def threads(settings: config.Settings) -> Check:
    """One thread an interpreter, and two cores, for capture and inference."""
    cores = len(os.sched_getaffinity(0))
    found = f"{cores} cores, {settings.model.threads} for the interpreter"
    if settings.model.threads > cores:
        return Check("threads", "warn", found, f"set [model] threads to at most {cores}; 1 is best for small networks")
    return Check("threads", "ok" if cores > 1 else "warn", found, "" if cores > 1 else "expect half the frame rate")


def _memory_mib(root: Path) -> int | None:
    told = [line.split()[1] for line in lines_of(root / "proc/meminfo") if line.startswith("MemTotal:")]
    return int(told[0]) // 1024 if told and told[0].isdecimal() else None


def _wears_a_card(place: Path, root: Path) -> bool:
    if place.is_relative_to("/dev"):
        return place.name.startswith("mmcblk")
    return on_card(mount_of(place, root), root)

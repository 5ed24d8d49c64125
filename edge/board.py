"""Board: what the computer says of itself: its name, temperature, throttling, memory."""

import os
from pathlib import Path

MODEL = Path("/proc/device-tree/model")
"""What board this is, on those that have a device tree; PCs do not."""

PROCESSOR = Path("/proc/cpuinfo")

THERMAL = Path("/sys/class/thermal")

THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""What `vcgencmd get_throttled` prints, from the Raspberry Pi's kernel: hexadecimal bits."""

THROTTLE_BITS = {0: "under-voltage", 1: "frequency-capped", 2: "throttled", 3: "soft-temperature-limit"}
"""What is so now; 16 bits higher stands what has been so since the boot (Raspberry Pi documentation, get_throttled)."""


def model(path: Path = MODEL) -> str:
    """The board's name, such as "Raspberry Pi 5 Model B Rev 1.0"; empty where it has none."""
    return _text(path)


def processor(path: Path = PROCESSOR) -> str:
    """The processor's name or, on Arm, its part number; empty where the kernel tells none."""
    lines = (line.partition(":") for line in _text(path).splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() in ("model name", "CPU part")), "")


def temperature_celsius(thermal: Path = THERMAL) -> float | None:
    """Of the hottest thermal zone, degrees; none where the system tells of no zone."""
    millidegrees = [_number(zone / "temp", 10) for zone in thermal.glob("thermal_zone*")]
    told = [each / 1000 for each in millidegrees if each is not None]
    return max(told, default=None)


def throttled(path: Path = THROTTLED) -> tuple[str, ...]:
    """What holds the processor back, and what has ("...-occurred"); empty where all is well or nothing is told."""
    bits = _number(path, 16) or 0
    now = tuple(name for bit, name in THROTTLE_BITS.items() if bits >> bit & 1)
    return now + tuple(f"{name}-occurred" for bit, name in THROTTLE_BITS.items() if bits >> (bit + 16) & 1)


def resident_bytes() -> int:
    """Memory of this process that is in RAM (Linux's statm, second field)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path, base: int) -> int | None:
    try:
        return int(path.read_text(), base)
    except (OSError, ValueError):  # some zones refuse to be read while asleep
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""

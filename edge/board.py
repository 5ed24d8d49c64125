"""Board: what the computer says of itself: its name, temperature, throttling, memory."""

import os
from functools import cache
from pathlib import Path

MODEL = Path("/proc/device-tree/model")
"""What board this is, on those that have a device tree; PCs do not."""

PROCESSOR = Path("/proc/cpuinfo")

SYSTEM = Path("/sys")

THERMAL = SYSTEM / "class/thermal"

THROTTLED = "devices/platform/soc*/soc*:firmware/get_throttled"
"""Where the Raspberry Pi's kernel has what `vcgencmd get_throttled` prints, hexadecimal bits. Up to the Pi 4 it is
soc/soc:firmware; the soc of a Pi 5 has an address in its name, and its file was not seen."""

ALARMS = "class/hwmon/hwmon*"
"""Where the upstream kernel tells of the voltage alone: in0_lcrit_alarm, 0 or 1, of the one named VOLTMETER."""

VOLTMETER = "rpi_volt"

THROTTLE_BITS = {0: "under-voltage", 1: "frequency-capped", 2: "throttled", 3: "soft-temperature-limit"}
"""What is so now; 16 bits higher stands what has been so since the boot (Raspberry Pi documentation, get_throttled)."""


def text(path: Path) -> str:
    """What a small file of Linux's says, without what is blank around it; empty where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")  # the kernel may cut a name within a letter
    except OSError:
        return ""


def model(path: Path = MODEL) -> str:
    """The board's name, such as "Raspberry Pi 5 Model B Rev 1.0"; empty where it has none."""
    return text(path)


def processor(path: Path = PROCESSOR) -> str:
    """The processor's name or, on Arm, its part number; empty where the kernel tells none."""
    lines = (line.partition(":") for line in text(path).splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() in ("model name", "CPU part")), "")


def temperature_celsius(thermal: Path = THERMAL) -> float | None:
    """Of the hottest thermal zone, degrees; none where the system tells of no zone."""
    millidegrees = [_number(zone / "temp", 10) for zone in _there(thermal, "thermal_zone*")]
    told = [each / 1000 for each in millidegrees if each is not None]
    return max(told, default=None)


def throttled(system: Path = SYSTEM) -> tuple[str, ...]:
    """What holds the processor back, and what has ("...-occurred"); empty where all is well or nothing is told."""
    return throttle_names(throttle_bits(system) or 0)


def throttle_bits(system: Path = SYSTEM) -> int | None:
    """As THROTTLE_BITS has them; none where nothing is told, as on other boards than a Raspberry Pi."""
    told = [_number(path, 16) for path in _there(system, THROTTLED)]
    meters = [each for each in _there(system, ALARMS) if text(each / "name") == VOLTMETER]
    alarms = [_number(each / "in0_lcrit_alarm", 10) for each in meters]
    return next((bits for bits in [*told, *alarms] if bits is not None), None)


def throttle_names(bits: int) -> tuple[str, ...]:
    """What the bits mean, those of now first."""
    now = tuple(name for bit, name in THROTTLE_BITS.items() if bits >> bit & 1)
    return now + tuple(f"{name}-occurred" for bit, name in THROTTLE_BITS.items() if bits >> (bit + 16) & 1)


def resident_bytes() -> int:
    """Memory of this process that is in RAM (Linux's statm, second field)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@cache
def _there(folder: Path, pattern: str) -> tuple[Path, ...]:
    """Sensors do not come and go, and looking for them once a second takes longer than asking them."""
    return tuple(folder.glob(pattern))


def _number(path: Path, base: int) -> int | None:
    try:
        return int(path.read_text(), base)
    except (OSError, ValueError):  # some zones refuse to be read while asleep
        return None

"""Board: what the computer says of itself: temperature, throttling, memory."""

import os
from pathlib import Path

THERMAL = Path("/sys/class/thermal")

THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""What `vcgencmd get_throttled` prints, from the Raspberry Pi's kernel: hexadecimal bits."""

THROTTLE_BITS = {0: "under-voltage", 1: "frequency-capped", 2: "throttled", 3: "soft-temperature-limit"}
"""What is so now; 16 bits higher stands what has been so since the boot (Raspberry Pi documentation, get_throttled)."""


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

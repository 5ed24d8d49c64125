"""Clocks: what time it is, on each of the clocks that a record needs."""

import ctypes
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

TIMEX_BYTES = 256
"""Room for Linux's struct timex, which has 208 bytes on 64-bit systems."""

TIME_ERROR = 5
"""What adjtimex(2) returns while nobody keeps the clock right."""


LIBC = ctypes.CDLL(None)


def synchronized() -> bool:
    """Whether the system's clock is kept right by a time server, as the kernel knows it (adjtimex(2))."""
    return bool(LIBC.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) != TIME_ERROR)


def since_boot() -> float:
    """Seconds since the boot, time asleep included; never set by anyone."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The first 8 hexadecimal digits of Linux's id of this boot; without one, digits of chance."""
    try:
        return BOOT_ID.read_text().strip()[:8]
    except OSError:
        return secrets.token_hex(4)


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Functions that give seconds, whether `wall` is kept right, and the boot; tests and replays bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    since_boot: Callable[[], float] = since_boot
    wall: Callable[[], float] = time.time
    synchronized: Callable[[], bool] = synchronized
    boot: str = field(default_factory=boot_id)

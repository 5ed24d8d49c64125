"""What a figure was measured on: processor, clocks, temperature, versions, commit."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge import __version__, board
from edge.interpreter import runtime_name

CPU = Path("/sys/devices/system/cpu")
PACKAGES = ("numpy", "opencv-python-headless", "mediapipe")


def facts() -> dict[str, Any]:
    """Everything about this machine that a figure depends on; null where the platform does not tell."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "board": board.model() or None,
        "processor": board.processor() or None,
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "governor": board.text(CPU / "cpu0/cpufreq/scaling_governor") or None,
        "frequency_khz": board.text(CPU / "cpu0/cpufreq/scaling_cur_freq") or None,
        "temperature_c": board.temperature_celsius(),
        "throttled": _output("vcgencmd", "get_throttled"),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "interpreter": runtime_name(),
        "emotion_edge": __version__,
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _output("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"),
    }


def warnings(found: dict[str, Any]) -> list[str]:
    """Why these figures deserve doubt."""
    doubts = []
    if found["governor"] not in (None, "performance"):
        doubts.append(f"the CPU governor is {found['governor']!r}: expected 'performance'")
    if found["load_average"][0] > 0.5 * found["cores"]:
        doubts.append(f"the load average is {found['load_average'][0]:.1f}: something else is running")
    if found["throttled"] not in (None, "throttled=0x0"):
        doubts.append(f"{found['throttled']}: the board is or was throttled")
    return doubts


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

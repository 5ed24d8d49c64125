"""Anonymous: a report without the words that tell whose computer it is from."""

import getpass
import os
import re
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edge import board

LEFT_OUT = "(left out)"

NUMBERS = Path("/etc/machine-id"), Path("/proc/device-tree/serial-number"), Path("/sys/class/dmi/id/product_serial")

NO_NAMES = {"root", "localhost"}
"""What many computers have, and what is said of them."""

ADDRESSES = (
    r"(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254)(?:\.\d{1,3}){2,3}",
    r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}",
)
"""Of private networks, and of network cards."""


def names_here() -> set[str]:
    """This computer's name, its user's, and its numbers, as far as they can be read."""
    host = socket.gethostname()
    cpu = re.findall(r"^Serial\s*: *(\S+)", board.text(Path("/proc/cpuinfo")), re.M)
    users = [getpass.getuser(), os.environ.get("SUDO_USER", ""), Path.home().name]
    words = {host, host.partition(".")[0], *map(board.text, NUMBERS), *cpu, *users}
    return {each for each in words if len(each) > 1} - NO_NAMES


def without_names(told: Any, names: Collection[str]) -> Any:
    """A document as JSON has it, with each whole word of `names`, and each address, left out of its texts."""
    if isinstance(told, dict):
        return {name: without_names(value, names) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [without_names(each, names) for each in told]
    return _without(told, names) if isinstance(told, str) else told


def _without(text: str, names: Collection[str]) -> str:
    words = [re.escape(each) for each in sorted(names, key=len, reverse=True)]
    return re.sub(rf"(?<![\w-])(?:{'|'.join([*words, *ADDRESSES])})(?![\w-])", LEFT_OUT, text)

"""A real X server to show windows on, with real keys; what it shows is read from its memory."""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge.render import Picture

WIDTH, HEIGHT = 1024, 768


@dataclass(frozen=True)
class Screen:
    """An X server: its name for DISPLAY, and the file that holds its picture."""

    display: str
    memory: Path

    def environment(self) -> dict[str, str]:
        return screenless() | {"DISPLAY": self.display}

    def xdotool(self, *words: str) -> str:
        command = ["xdotool", *words]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def picture(self) -> Picture:
        """All that is on the screen, RGB. The file is an X window dump: XWDFile.h of xorgproto has its header."""
        dump = self.memory.read_bytes()
        header = struct.unpack(">25I", dump[:100])
        size, height, width, lowest_first, bits, line, colours = (header[each] for each in (0, 5, 4, 7, 11, 12, 19))
        assert bits == 32
        pixels = np.frombuffer(dump, np.uint8, line * height, size + 12 * colours).reshape(height, line // 4, 4)
        return pixels[:, :width, 1:] if lowest_first else pixels[:, :width, 2::-1]


def screenless() -> dict[str, str]:
    """This process's environment, without a screen."""
    screens = {"DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR"}
    return {name: value for name, value in os.environ.items() if name not in screens}


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt install xvfb xdotool)")
    folder = tmp_path_factory.mktemp("screen")
    read, write = os.pipe()
    size = f"{WIDTH}x{HEIGHT}x24"
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", size, "-fbdir", str(folder), "-nolisten", "tcp"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, pass_fds=[write], stderr=log) as server:
        os.close(write)
        try:
            with os.fdopen(read) as told:
                number = told.readline().strip()
            if not number:
                pytest.skip(f"Xvfb does not start: {(folder / 'log').read_text()}")
            yield Screen(f":{number}", folder / "Xvfb_screen0")
        finally:
            server.terminate()

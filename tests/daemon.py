"""The real daemon as a process, whose log and events a test can wait for."""

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO, Any

ROOT = Path(__file__).parents[1]

PATIENCE_SECONDS = 50.0
"""A line that does not come in so long never will."""


class Daemon:
    """A running daemon; `log` and `printed` are the lines of standard error and output so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.log: list[str] = []
        self.printed: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self._readers = [self._reader(process.stderr, self.log), self._reader(process.stdout, self.printed)]

    def _reader(self, stream: IO[str] | None, lines: list[str]) -> Thread:
        def read() -> None:
            for line in stream or ():
                lines.append(line.rstrip("\n"))
                self._new.put(line)

        thread = Thread(target=read)
        thread.start()
        return thread

    def until(self, text: str, times: int = 1) -> str:
        """Wait for the line that has this text, the first or a later one; AssertionError if the daemon ends before."""
        while len(found := [line for line in [*self.log, *self.printed] if text in line]) < times:
            try:
                self._new.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no {text!r} in {self.log[-20:]}") from None
        return found[times - 1]

    def hang_up(self) -> None:
        """SIGHUP: read settings and model again."""
        self.process.send_signal(signal.SIGHUP)

    def end(self, how: int = signal.SIGTERM) -> int:
        """End it, and give its exit code."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, once it ends by itself."""
        code = self.process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join()
        return code

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it printed."""
        return [json.loads(line) for line in self.printed]


@contextmanager
def daemon(*words: object, program: str = "edge") -> Iterator[Daemon]:
    """`emotion-edge run WORDS`, killed at the end if it still runs; `program` is the module that is started."""
    command = [sys.executable, "-X", "dev", "-m", program, "run", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **streams) as process:
        running = Daemon(process)
        try:
            yield running
        finally:
            process.kill()
            running.wait()

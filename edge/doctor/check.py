"""Check: what one look at this computer found; and how to look at what may hang."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal

from edge import board

Verdict = Literal["ok", "warn", "fail"]

LIMIT_SECONDS = 5.0
"""No look that may hang is waited for longer; they all begin at once."""

TOOL_SECONDS = 4.5
"""A program that is asked has ended by then, or is killed: from a cold card picamera2 takes seconds to import."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found, and how to mend it."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:4}  {self.name}: {self.found}" + (f"\n      -> {self.mend}" if self.mend else "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said, both streams together; `code` is None when it was killed for it did not end."""

    code: int | None
    text: str

    @property
    def last_line(self) -> str:
        """Where programs say what went wrong."""
        return (self.text.strip().splitlines() or ["no word"])[-1]


def begin(
    name: str, look: Callable[[], Check], limit_seconds: float = LIMIT_SECONDS, late: Verdict = "warn"
) -> Callable[[], Check]:
    """Look now, on a thread of its own; the function given back waits for the check, until the limit has passed.

    late  the verdict on a look that takes longer
    """
    made: Future[Check] = Future()
    deadline = time.monotonic() + limit_seconds

    def work() -> None:
        try:
            made.set_result(look())
        except Exception as error:  # noqa: BLE001  # the thread's boundary: the other checks are made all the same
            report = "a fault of ours: please report this line"
            made.set_result(Check(name, "warn", f"could not be looked at: {error!r}", report))

    def result() -> Check:
        try:
            return made.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return Check(name, late, f"no answer within {limit_seconds:g} s", "run this again; if it stays, reboot")

    Thread(target=work, name=name, daemon=True).start()
    return result


def ask(*command: str, seconds: float = TOOL_SECONDS) -> Answer | None:
    """Run a program for so long at most, and then kill it with all that it started; none where it is not installed."""
    program = shutil.which(command[0])
    if program is None:
        return None
    with subprocess.Popen(
        [program, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
        env=os.environ | {"LC_ALL": "C"},
    ) as process:
        try:
            text, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):  # with what it started, which may hold on to its output
                os.killpg(process.pid, signal.SIGKILL)
            return Answer(None, "")
        return Answer(process.returncode, text)


def first_line(path: Path) -> str:
    """Of a small file of Linux's; empty where there is none that can be read."""
    return (lines_of(path) or [""])[0]


def lines_of(path: Path) -> list[str]:
    """Without the blanks around them; none where there is no such file, or it cannot be read."""
    return [line.strip() for line in board.text(path).splitlines()]

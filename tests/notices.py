"""What a process tells the one that started it, by systemd's notification protocol."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_SECONDS = 60.0
"""A notice that does not come in so long never will."""

Notice = dict[str, str]


class Notices:
    """The receiving end of a NOTIFY_SOCKET; `all` is what has come so far, in order."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.all: list[Notice] = []

    def next(self) -> Notice:
        """Wait for the next one, by name; several assignments of one name do not occur."""
        text = self._end.recv(4096).decode()
        notice = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        self.all.append(notice)
        return notice

    def drain(self) -> None:
        """Take in all that has come and was not read yet."""
        self._end.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.next()
        self._end.settimeout(PATIENCE_SECONDS)

    def until(self, name: str, value: str | None = None) -> Notice:
        """Wait for the next one that has this name, and this value; AssertionError if it does not come."""
        try:
            while not (name in (notice := self.next()) and value in (None, notice[name])):
                pass
        except TimeoutError:
            raise AssertionError(f"no {name}={value or ''} in {self.all[-20:]}") from None
        return notice


@contextmanager
def notices(address: Path | str) -> Iterator[Notices]:
    """Listen at a path, or at an abstract name that begins with @."""
    name = str(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name[1:] if name.startswith("@") else name)
        end.settimeout(PATIENCE_SECONDS)
        yield Notices(end)

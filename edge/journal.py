"""Journal: log records as entries of systemd's journal, with their priorities and, as fields, their key=value pairs."""

import ast
import logging
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TextIO

SOCKET = "/run/systemd/journal/socket"
"""Where the journal takes entries in its native protocol."""

IDENTIFIER = "emotion-edge"

PREFIX = "EMOTION_EDGE_"
"""Fields begin so: `journalctl EMOTION_EDGE_CAMERA=/dev/video0`."""

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""Those of syslog, which the journal has."""

ERROR_MARK = "<3>"
"""A line on standard error that begins so is an error to the journal."""

TEXT = logging.Formatter()
"""The message, with a traceback if there is one; the journal itself knows when."""

PAIR = re.compile(r"""(?:^|\s)([a-z][a-z0-9_]{0,39})=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+)""")
"""A pair of a log line; a value is quoted as Python does, or has no space."""


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is printed there goes to the journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class Journal(logging.StreamHandler[TextIO]):
    """Sends each record as one entry; one that the journal does not take is printed to `stream`, as others are."""

    def __init__(self, stream: TextIO, address: str = SOCKET) -> None:
        super().__init__(stream)
        self._address = address
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._line.sendto(entry(record, TEXT.format(record)), self._address)
        except OSError:
            super().emit(record)

    def close(self) -> None:
        self._line.close()
        super().close()


def entry(record: logging.LogRecord, text: str) -> bytes:
    """A record as the journal takes it, with `text` as its message."""
    fields = {
        "MESSAGE": text,
        "PRIORITY": str(priority(record.levelno)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        **dict(pairs(record.getMessage())),
    }
    return b"".join(_field(name, value) for name, value in fields.items())


def priority(level: int) -> int:
    """The journal's, 2 (critical) to 7 (debug), of a level of logging."""
    return next((PRIORITIES[each] for each in PRIORITIES if level >= each), 7)


def pairs(message: str) -> Iterator[tuple[str, str]]:
    """The key=value pairs of a message, as names of fields and their values."""
    for name, value in PAIR.findall(message):
        yield PREFIX + name.upper(), _unquoted(value)


def _unquoted(value: str) -> str:
    if value[0] in "'\"":
        with suppress(ValueError, SyntaxError):  # it only looked like a quoted text
            return str(ast.literal_eval(value))
    return value


def _field(name: str, value: str) -> bytes:
    """NAME=value, or, for a value of several lines, the name and then its length in bytes before it."""
    content = value.encode(errors="replace")
    if b"\n" not in content:
        return name.encode() + b"=" + content + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(content)) + content + b"\n"

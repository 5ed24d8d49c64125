"""How messages get from the daemon to the page's process: the newest wins, and the daemon never waits."""

import errno
import socket

MESSAGE_BYTES = 400_000
"""No message may be larger."""

QUEUE_BYTES = 212_992
"""Room asked for what was sent and not yet read; Linux grants twice that, and lets nobody ask for more by itself."""


def channel() -> tuple[socket.socket, socket.socket]:
    """Two ends of a socket that keeps messages apart; neither ever waits."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in ends:
        each.setblocking(False)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
    return ends


class Outlet:
    """The writing end. A message that does not fit behind those unread is held, until a newer one replaces it."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._held = b""

    @property
    def stuck(self) -> bool:
        """Whether a message waits because the other process does not read."""
        return bool(self._held)

    def put(self, message: bytes) -> None:
        """Send the message if there is room; ValueError for one larger than any room."""
        self._held = message
        self.flush()

    def flush(self) -> None:
        """Try again with the message that is held, if there is one."""
        if not self._held:
            return
        try:
            self._end.send(self._held)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                size, self._held = len(self._held), b""
                raise ValueError(f"a message of {size} bytes") from error
        self._held = b""  # sent, or the other process is gone


class Inlet:
    """The reading end."""

    def __init__(self, end: socket.socket, message_bytes: int = MESSAGE_BYTES) -> None:
        self._end = end
        self._room = bytearray(message_bytes)

    def newest(self) -> bytes:
        """The last of the messages that have come, empty for none; EOFError when the other process has gone."""
        size = 0
        while True:
            try:
                came = self._end.recv_into(self._room)
            except BlockingIOError:
                return bytes(memoryview(self._room)[:size])
            except ConnectionResetError:
                came = 0
            if not came:
                raise EOFError
            size = came

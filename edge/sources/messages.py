"""What a camera's process and its parent tell each other: a JSON object in each packet of a socket.

From the camera's process:
    opened   fps, remark: what the camera promises, frames a second, 0 where it does not say; and what may make it
             slower, for people, or empty
    refused  reason: it does not open; the last message
    failed   reason: it delivers no more; the last message
    ring     shape, generation: pictures come in this Ring from now on; its descriptor comes along
    picture  buffer, number, captured_at, took_ms: a picture, as in Frame, is in this buffer of the ring
    passed   a picture came and was passed over; told from time to time, where none is sent
    log      level, text: for the log
From its parent:
    free     buffer, generation: this picture was taken, its buffer may be filled again
    rate     fps: send so many pictures a second, null for all
"""

import array
import json
import os
import socket
from typing import Any

Message = dict[str, Any]

LONGEST_BYTES = 65536
"""Longer texts are cut by the kernel, so nobody sends them."""

NOW = socket.MSG_DONTWAIT
DESCRIPTOR_BYTES = socket.CMSG_SPACE(array.array("i").itemsize)


def line() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection that keeps packets whole."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: Message, descriptor: int | None = None) -> None:
    """Without waiting; BlockingIOError when the other side left too many unread, BrokenPipeError when it has gone."""
    packet = json.dumps(message).encode()
    if descriptor is None:
        end.send(packet, NOW)
    else:
        socket.send_fds(end, [packet], [descriptor], NOW)


def receive(end: socket.socket) -> tuple[Message | None, int]:
    """The next message and the descriptor that came along, or -1; no message when the other side has gone.

    BlockingIOError when there is none yet.
    """
    try:
        packet, extra, _, _ = end.recvmsg(LONGEST_BYTES, DESCRIPTOR_BYTES, NOW | socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # it went with messages of ours unread; what it sent before is still to come
        return receive(end)
    descriptors = array.array("i")
    for _, _, payload in extra:
        descriptors.frombytes(payload)
    return (json.loads(packet) if packet else None), (descriptors[0] if descriptors else -1)


def take_socket(descriptor: str) -> socket.socket:
    """The end of a line that was inherited, by its number."""
    os.set_inheritable(int(descriptor), False)
    return socket.socket(fileno=int(descriptor))

"""A camera's own process: it opens the camera and decodes into shared memory; when the driver hangs, it can be killed.

edge.sources.remote starts it, with SIGINT, SIGTERM and SIGHUP blocked: they mean the parent, which ends it. If the
parent dies, so does this process, whatever it waits for. Its imports are few, for they are most of its start, and
because the system's Python, which runs it for a Raspberry Pi camera, may have nothing but its standard library.
"""

import json
import logging
import os
import pkgutil
import socket
import sys
import traceback
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from edge import config
from edge.errors import SourceError
from edge.lifeline import end_with_parent
from edge.sources import messages

if TYPE_CHECKING:  # numpy
    from edge.sources.sender import Camera


class ToParent(logging.Handler):
    """Sends what is logged here to the parent's log; what it has no room for is lost."""

    def __init__(self, line: socket.socket) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the parent has gone, or is too slow for a log
            messages.send(self._line, {"kind": "log", "level": record.levelno, "text": record.getMessage()})


def serve(line: socket.socket, asked: dict[str, Any]) -> None:
    """Open the camera and send its pictures; `asked` is what remote.Remote gives."""
    settings = config.build(config.Camera, asked["camera"])
    try:
        camera: Camera = pkgutil.resolve_name(asked["opener"])(asked["path"], settings)
    except SourceError as error:
        messages.send(line, {"kind": "refused", "reason": str(error)})
        return
    from edge.sources.sender import ParentGone, Sender  # whatever could open a camera has numpy

    with closing(camera):
        messages.send(line, {"kind": "opened", "fps": camera.fps, "remark": camera.remark})
        try:
            Sender(line).send_all(camera)
        except SourceError as error:
            messages.send(line, {"kind": "failed", "reason": str(error)})
        except ParentGone:
            return


def die_with(parent: int) -> None:
    """Be killed when the parent dies, also in the midst of a read that never returns."""
    end_with_parent()
    if os.getppid() != parent:  # it died before
        sys.exit()


def main() -> None:
    """Arguments: the parent's process id, the number of the line's descriptor, and what is asked, as JSON."""
    parent, descriptor, asked = sys.argv[1:]
    die_with(int(parent))
    with messages.take_socket(descriptor) as line:
        # From here on, what libraries print is of no use: libjpeg has a remark on each damaged picture.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        logging.basicConfig(level=logging.DEBUG, handlers=[ToParent(line)])
        try:
            serve(line, json.loads(asked))
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001  # process boundary: the parent tells of it
            logging.debug("%s", traceback.format_exc())
            messages.send(line, {"kind": "failed", "reason": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()

"""Whose file it is: what belongs to others is not touched, nobody else writes ours, what is damaged is put aside."""

import errno
import fcntl
import os
import re
import stat
from pathlib import Path

from edge.archive import APPLICATION_ID, FORMAT, newer
from edge.errors import OutputError

MAGIC = b"SQLite format 3\0"
VERSION_AT, APPLICATION_AT, HEADER_BYTES = 60, 68, 100
"""Where SQLite's header has what we look for, https://sqlite.org/fileformat.html#the_database_header."""

SEARCHED_BYTES = 1 << 20
"""So much of a damaged file is searched for numbers at once."""

OPEN = os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
RIGHTS = 0o640


def claim(path: Path) -> int:
    """Make the file if it is not there, and lock it for us: a descriptor to close when we have done.

    The lock is on a file beside it, NAME-lock, which stays there and says that this is a record of ours. OutputError
    for a file of others, which is not touched, one that another process writes, or a place that cannot be written to.
    """
    try:
        lock = beside(path, "-lock")
        _refuse_others(path, known=lock.exists())
        descriptor = os.open(lock, OPEN | os.O_RDONLY, RIGHTS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _make(path)
        except BaseException:
            os.close(descriptor)
            raise
    except OutputError:
        raise
    except BlockingIOError as error:
        raise OutputError(
            f"{path}: another emotion-edge writes this record of events: stop it, or set another [store] path"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise OutputError(
            f"{path}: cannot open the record of events: {getattr(error, 'strerror', error)}; "
            "expected a file in a folder that exists and can be written to, set by [store] path"
        ) from error
    return descriptor


def put_aside(path: Path) -> Path:
    """Rename a damaged file, and its log with it, to NAME.damaged, in place of an earlier one; begin an empty one."""
    aside = path.with_name(f"{path.name}.damaged")
    for ending in ("-shm", "-wal"):
        beside(aside, ending).unlink(missing_ok=True)
    # The log first: it would be taken for the new file's.
    for ending in ("-wal", ""):
        if beside(path, ending).exists():
            os.replace(beside(path, ending), beside(aside, ending))
    beside(path, "-shm").unlink(missing_ok=True)
    _make(path)
    return aside


def highest_number(path: Path) -> int:
    """The greatest `seq` that can be read anywhere in a file of ours or in its log, damaged as they may be."""
    return max(_highest_in(beside(path, ending)) for ending in ("", "-wal"))


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _refuse_others(path: Path, known: bool) -> None:
    """`known`: we wrote this file before, so that whatever it holds now is ours."""
    if not path.exists():
        return
    if not stat.S_ISREG(path.stat().st_mode):
        raise OutputError(f"{path}: is no file: expected a new one or a record of emotion-edge's, set by [store] path")
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    ours = header.startswith(MAGIC) and _number(header, APPLICATION_AT) == APPLICATION_ID
    if ours and _number(header, VERSION_AT) > FORMAT:
        raise OutputError(newer(path, _number(header, VERSION_AT)))
    if header and not ours and not known:
        raise OutputError(f"{path}: holds something else than a record of events: set another [store] path")


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def _make(path: Path) -> None:
    """The file, if it is not there; what must be written to later can be."""
    try:
        if not os.access(path.parent, os.W_OK) and not os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        os.close(os.open(path, OPEN | os.O_RDWR, RIGHTS))
    except OSError as error:
        if error.errno == errno.EROFS and path.exists():
            return  # a disk in trouble: it may be well again later
        raise


def _highest_in(path: Path) -> int:
    highest, rest = 0, b""
    try:
        with path.open("rb") as file:
            while part := file.read(SEARCHED_BYTES):
                # Quotes inside a record's texts are escaped, so this is never part of one.
                found = re.findall(rb'[{,]"seq":(\d{1,18})', rest + part)
                highest = max(highest, *map(int, found), 0)
                rest = part[-32:]
    except OSError:  # as far as it can be read
        return highest
    return highest

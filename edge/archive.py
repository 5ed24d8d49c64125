"""Archive: reads the lasting record of events, from any process, while it is written or not."""

import logging
import os
import re
import sqlite3
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.clocks import timestamp
from edge.errors import SourceError

log = logging.getLogger("emotion_edge")

APPLICATION_ID = 0x454D6F45
"""In the header of our SQLite files ("EMoE"); `file` shows it."""

FORMAT = 1
"""Version of the tables, SQLite's user_version."""

CHUNK = 500
"""So many records are read at once where all are wanted; one has about 450 bytes."""

EXPECTED = "expected the record of events that the daemon keeps where [store] path says"

TS = re.compile(rb'"ts":"[^"]*"')
SYNCED = re.compile(rb'"clock_synced":(?:true|false)')
# Quotes inside a record's texts are escaped, so neither is ever part of one.


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it was stored: its number, and its line of JSON without the end, dated anew."""

    seq: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Boot:
    """What is known of the clock during one boot of the device.

    number        counts the boots, in their order
    name          Record.boot
    first_seq     number of its first record
    offset        wall time less the time since that boot, seconds
    synchronized  whether `offset` is from a clock that a time server kept right
    """

    number: int
    name: str
    first_seq: int
    offset: float
    synchronized: bool

    @property
    def checksum(self) -> int:
        numbers = struct.pack("<qqd?", self.number, self.first_seq, self.offset, self.synchronized)
        return zlib.crc32(self.name.encode(), zlib.crc32(numbers))


def checksum(seq: int, boot: int, made_at: float, line: bytes) -> int:
    """CRC-32 over all that a stored record says."""
    return zlib.crc32(line, zlib.crc32(struct.pack("<qqd", seq, boot, made_at)))


def boots_of(connection: sqlite3.Connection) -> list[Boot]:
    """Those in the file, in order, but for damaged ones."""
    found = []
    for number, name, first_seq, offset, synchronized, crc in connection.execute("SELECT * FROM boots ORDER BY number"):
        boot = Boot(number, name, first_seq, offset, bool(synchronized))
        try:
            found += [boot] if boot.checksum == crc else []
        except (struct.error, TypeError, AttributeError):  # damage can change a column's type
            continue
    return found


class DamagedError(sqlite3.DatabaseError):
    """A page of the file is not as SQLite wrote it."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def is_damage(error: Exception) -> bool:
    """Whether the file itself is wrong, and not only the disk in the way."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def decoded(raw: bytes) -> str:
    """SQLite's texts, where damage may have left what is none."""
    return raw.decode("utf-8", "replace")


class Archive:
    """The stored records in the order of their numbers, each dated by what is known now of the clock in its boot.

    A record whose checksum is wrong is passed over, logged once and counted in `damaged`. One for each thread. What
    goes wrong is a SourceError of one line; then the next question may succeed.
    """

    def __init__(self, path: Path) -> None:
        """The file that [store] path names; SourceError if it is not there, or none of ours."""
        self._path = real(path)
        self._damaged: set[int] = set()
        self._open()

    @property
    def damaged(self) -> int:
        """Records met so far whose checksum is wrong."""
        return len(self._damaged)

    @property
    def first_seq(self) -> int:
        """The least number; 0 for no record."""
        return self._number("SELECT min(seq) FROM events")

    @property
    def last_seq(self) -> int:
        """The greatest number that was given; 0 for none. Its record may have been deleted."""
        return self._number("SELECT max(ifnull((SELECT max(seq) FROM events), 0), begins_after) FROM numbering")

    def after(self, seq: int, limit: int) -> list[Stored]:
        """Up to `limit` records beyond `seq`, the oldest first; fewer mean that there are no more now."""
        return self._records("seq > ? ORDER BY seq", seq, limit)

    def before(self, seq: int | None, limit: int) -> list[Stored]:
        """Up to `limit` records below `seq`, or the last ones, the newest first; fewer mean that there are no more."""
        return self._records("seq < ? ORDER BY seq DESC", seq if seq is not None else 2**63 - 1, limit)

    def all_after(self, seq: int = 0) -> Iterator[Stored]:
        """Every record beyond `seq`, the oldest first, until there are no more."""
        while found := self.after(seq, CHUNK):
            yield from found
            seq = found[-1].seq

    def all_before(self, seq: int | None = None) -> Iterator[Stored]:
        """Every record below `seq`, or all, the newest first."""
        while found := self.before(seq, CHUNK):
            yield from found
            seq = found[-1].seq

    def acknowledged(self) -> dict[str, int]:
        """How far each consumer has come."""
        return dict(self._rows("SELECT name, acknowledged FROM consumers"))

    def close(self) -> None:
        """On the thread that used it; nothing can be read afterwards."""
        self._connection.close()

    def _number(self, question: str) -> int:
        ((number,),) = self._rows(question)
        return int(number or 0)

    def _records(self, which: str, seq: int, limit: int) -> list[Stored]:
        found: list[Stored] = []
        question = f"SELECT seq, boot, made_at, line, crc FROM events WHERE {which} LIMIT ?"
        while len(found) < limit:
            rows = self._rows(question, seq, limit - len(found))
            if not rows:
                break
            seq = rows[-1][0]
            found += self._sound(rows)
        return found

    def _sound(self, rows: Iterable[Sequence[Any]]) -> Iterator[Stored]:
        boots = {boot.number: boot for boot in self._boots()}
        for seq, boot, made_at, line, crc in rows:
            if not _is_sound(seq, boot, made_at, line, crc):
                self._pass_over(seq)
            elif boot in boots:
                yield Stored(seq, dated(line, boots[boot], made_at))
            else:
                yield Stored(seq, line)

    def _pass_over(self, seq: int) -> None:
        if seq not in self._damaged:
            self._damaged.add(seq)
            log.warning("a damaged record is passed over: store=%s seq=%d", self._path, seq)

    def _boots(self) -> list[Boot]:
        try:
            return boots_of(self._connection)
        except sqlite3.Error as error:
            raise _unreadable(self._path, error) from error

    def _rows(self, question: str, *values: int) -> list[Any]:
        try:
            self._follow()
            return self._connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self._path, error) from error

    def _follow(self) -> None:
        """The writer puts a damaged file aside and begins another one; and what nobody wrote somebody may write now."""
        now = _identity(self._path)
        if now and (self._frozen or now != self._identity):
            self._connection.close()
            self._open()

    def _open(self) -> None:
        self._identity = _identity(self._path)
        try:
            self._connection, self._frozen = _opened(self._path)
        except sqlite3.Error as error:
            raise _unreadable(self._path, error) from error


def dated(line: bytes, boot: Boot, made_at: float) -> bytes:
    """The record with `ts` and `clock_synced` by its boot's offset; as it is, where that is no date."""
    try:
        when = timestamp(boot.offset + made_at)
    except (OverflowError, ValueError, OSError):
        return line
    line = TS.sub(b'"ts":"%s"' % when.encode(), line, count=1)
    return SYNCED.sub(b'"clock_synced":%s' % (b"true" if boot.synchronized else b"false"), line, count=1)


def real(path: Path) -> Path:
    """Where SQLite finds the file: absolute, no links in it."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a NUL in the name: opening it will say so
        return path


def _is_sound(seq: Any, boot: Any, made_at: Any, line: Any, crc: Any) -> bool:
    try:
        return bool(checksum(seq, boot, made_at, line) == crc)
    except (struct.error, TypeError):  # damage can change a column's type
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the file that is there now, by device and inode."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _opened(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection that only reads, and whether it takes the file for one that nobody writes.

    Nothing but SQLite may open the file: closing it would undo the locks that our process holds.
    """
    _refuse_what_is_none(path)
    try:
        return _checked(path, "mode=ro"), False
    except sqlite3.OperationalError:
        if _holds(path.with_name(path.name + "-wal")):
            raise
        # Nobody has it open, and in its folder we cannot make the file that SQLite's locks live in.
        return _checked(path, "mode=ro&immutable=1"), True


def _refuse_what_is_none(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path}: is no file: {EXPECTED}")
        if not os.access(path, os.R_OK):
            raise SourceError(f"{path}: may not be read by this user: become one of the file's group, or use sudo")
    except ValueError as error:  # a NUL in the name
        raise SourceError(f"{str(path)!r}: is no name of a file: {EXPECTED}") from error
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}: {EXPECTED}") from error


def _holds(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _checked(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, isolation_level=None)
    try:
        connection.text_factory = decoded
        ((ours,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
        if ours != APPLICATION_ID:
            raise SourceError(f"{path}: holds something else: {EXPECTED}")
        if version > FORMAT:
            raise SourceError(newer(path, version))
    except BaseException:
        connection.close()
        raise
    return connection


def newer(path: Path, version: int) -> str:
    """One line on a file that we are too old for."""
    return (
        f"{path}: written by a newer emotion-edge, format {version}: expected {FORMAT} at most; "
        "update emotion-edge, or set another [store] path"
    )


def _unreadable(path: Path, error: sqlite3.Error) -> SourceError:
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
        return SourceError(f"{path}: holds something else: {EXPECTED}")
    if is_damage(error):
        return SourceError(f"{path}: the record is damaged ({error}): the daemon puts it aside and begins another")
    return SourceError(f"{path}: cannot be read now ({error}): is the disk all right?")

"""Ledger: the file of the lasting record, changed by one transaction at a time."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.archive import APPLICATION_ID, FORMAT, Boot, DamagedError, boots_of, checksum, decoded
from edge.clocks import Clocks
from edge.errors import OutputError

if TYPE_CHECKING:
    from edge.record import Record

PAGE_BYTES = 1024
"""Of SQLite. A commit writes whole pages, and a record has half of one: with 4096 a day's events cost an SD card 1.6
times as many bytes."""

CACHE_PAGES = 128
"""SQLite's own cache; by itself it would grow to two megabytes within some thousand events."""

BATCH = 128
"""So many records at most are one transaction, 64 kB of them."""

WAL_BYTES = 1_000_000
"""The write-ahead log is copied into the file when it has this size, or a quarter of keep_mb where that is less."""

SPARE_PAGES = 192
"""Left free of keep_mb, for the log's last transaction and SQLite's index of it."""

DELETED_AT_ONCE = 1000

LAST = 2**63 - 1
"""Beyond every number."""

MOVED_SECONDS = 0.05
"""A clock that moved by less was not set: that is what reading two clocks one after the other can cost."""

LOCKED_SECONDS = 5.0
"""How long to wait for other programs that have locked the file."""

TABLES = """
CREATE TABLE events (seq INTEGER PRIMARY KEY, boot INTEGER, made_at REAL, line BLOB, crc INTEGER);
CREATE TABLE boots (
    number INTEGER PRIMARY KEY, name TEXT, first_seq INTEGER, clock_offset REAL, synchronized INTEGER, crc INTEGER
);
CREATE TABLE consumers (name TEXT PRIMARY KEY, acknowledged INTEGER, dropped INTEGER) WITHOUT ROWID;
CREATE TABLE numbering (begins_after INTEGER);
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks say at once.

    boot          names the boot, as Record.boot
    since_boot    seconds since it
    wall          seconds since 1970
    synchronized  whether a time server keeps `wall` right
    """

    boot: str
    since_boot: float
    wall: float
    synchronized: bool

    @property
    def offset(self) -> float:
        return self.wall - self.since_boot

    @classmethod
    def of(cls, clocks: Clocks) -> "Moment":
        """The best of three looks: on a busy machine much can happen between reading one clock and the other."""
        synchronized = clocks.synchronized()
        looks = [(clocks.since_boot(), clocks.wall(), clocks.since_boot()) for _ in range(3)]
        before, wall, after = min(looks, key=lambda look: look[2] - look[0])
        return cls(clocks.boot, (before + after) / 2, wall, synchronized)


class Ledger:
    """The record's file, open for writing: SQLite with a write-ahead log, synchronous=FULL.

    A transaction that returned is on the disk, as far as the disk tells the truth. Whatever raises sqlite3.Error has
    changed nothing; close the ledger then and open another. For one thread; a reader never makes it wait.

    Opening copies the log into the file and empties it. After an fsync that failed, Linux takes the pages for written:
    they would be read again, but only writing them anew brings them to the disk.
    """

    def __init__(self, path: Path, keep_mb: float, begins_after: int = 0) -> None:
        """An empty file is made a record whose numbers begin after `begins_after`; OutputError for one of others."""
        self._path = path
        keep_bytes = keep_mb * 1_000_000
        self._wal_bytes = int(min(WAL_BYTES, keep_bytes / 4))
        self._most_pages = int(keep_bytes - self._wal_bytes) // PAGE_BYTES - SPARE_PAGES
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=LOCKED_SECONDS
        )
        try:
            self._prepare(begins_after)
            self._read()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, begins_after: int) -> None:
        self._connection.text_factory = decoded
        empty = not self._number("SELECT count(*) FROM sqlite_master")
        if not empty and self._number("PRAGMA application_id") != APPLICATION_ID:
            raise OutputError(f"{self._path}: holds something else than a record of events: set another [store] path")
        self._set(page_size=PAGE_BYTES, auto_vacuum="INCREMENTAL")  # which SQLite heeds in an empty file only
        if self._ask("PRAGMA journal_mode=WAL") != [("wal",)]:
            raise OutputError(f"{self._path}: its file system has no shared memory: set [store] path on a local disk")
        self._set(synchronous="FULL", secure_delete="ON", journal_size_limit=self._wal_bytes)
        self._set(wal_autocheckpoint=self._wal_bytes // PAGE_BYTES, cache_size=CACHE_PAGES)
        if empty:
            self._create(begins_after)
        self._ask("PRAGMA wal_checkpoint(TRUNCATE)")

    def _create(self, begins_after: int) -> None:
        with self._connection:
            self._ask("BEGIN IMMEDIATE")
            for each in TABLES.split(";"):
                self._ask(each)
            self._ask("INSERT INTO numbering VALUES (?)", begins_after)
            self._set(application_id=APPLICATION_ID, user_version=FORMAT)

    def _read(self) -> None:
        self._boots = boots_of(self._connection)
        self.newest = self._number("SELECT max(seq) FROM events")
        """The greatest number among the records that were committed, while they are there."""
        self.last_seq = max(self.newest, self._number("SELECT begins_after FROM numbering"))
        """The greatest number that was ever given."""
        self.acknowledged: dict[str, int] = dict(self._ask("SELECT name, acknowledged FROM consumers"))
        self._read_dropped()

    def _read_dropped(self) -> None:
        self.dropped: dict[str, int] = dict(self._ask("SELECT name, dropped FROM consumers"))
        """For each consumer, how many records were deleted that it had not acknowledged."""

    def commit(self, records: "Sequence[Record]", acknowledged: Mapping[str, int], moment: Moment) -> None:
        """Add the records, but for those that are there, and note how far the consumers and the clock are.

        The records' numbers rise. Where the file would grow too large, its oldest records go.
        """
        new = [record for record in records if record.seq > self.newest]
        with self._connection:
            self._ask("BEGIN IMMEDIATE")
            self._save(acknowledged)
            rows = [self._row(record, moment) for record in new]
            self._connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
            if new:
                self._note(moment)
                self.newest = self.last_seq = max(self.newest, new[-1].seq)
            self._make_room()

    def note_clock(self, moment: Moment) -> None:
        """Date this boot's records by the clock as it is now."""
        with self._connection:
            self._ask("BEGIN IMMEDIATE")
            self._note(moment)

    def delete_old(self, moment: Moment, keep_seconds: float, wanted_after: int) -> int:
        """Delete up to DELETED_AT_ONCE of the records that are surely older, but none beyond `wanted_after`; how many.

        What is surely older: by dates, where both the present and the record's boot have a clock that a time server
        kept right; or where the device itself has run for so long since. What was recorded before such a record is
        older still, whatever its date says. So no clock that jumps makes us delete a record.
        """
        found = self._surely_older(moment, keep_seconds)
        if not found:
            return 0
        boot, made_before = found
        oldest = "SELECT seq, boot, made_at FROM events WHERE seq <= ? ORDER BY seq LIMIT ?"
        older = f"SELECT count(*), max(seq) FROM ({oldest}) WHERE boot < ? OR (boot = ? AND made_at < ?)"
        ((count, last),) = self._ask(older, wanted_after, DELETED_AT_ONCE, boot, boot, made_before)
        if count:
            with self._connection:
                self._ask("BEGIN IMMEDIATE")
                self._delete_to(last)
        return int(count)

    def check(self) -> None:
        """DamagedError for a page that is not as SQLite wrote it; takes as long as reading the file."""
        ((found,),) = self._ask("PRAGMA quick_check(1)")
        if found != "ok":
            raise DamagedError(found)

    def close(self) -> None:
        """Copies the log into the file and removes it, if the disk lets it."""
        self._connection.close()

    def _row(self, record: "Record", moment: Moment) -> tuple[int, int, float, bytes, int]:
        boot = self._boot(record, moment).number
        crc = checksum(record.seq, boot, record.made_at, record.line)
        return record.seq, boot, record.made_at, record.line, crc

    def _boot(self, record: "Record", moment: Moment) -> Boot:
        """The record's, which is the last, or begins with it."""
        if not self._boots or self._boots[-1].name != record.boot:
            number = self._number("SELECT max(number) FROM boots") + 1
            self._boots.append(Boot(number, record.boot, record.seq, moment.offset, moment.synchronized))
            self._save_last_boot()
        return self._boots[-1]

    def _note(self, moment: Moment) -> None:
        """An offset from a clock that was kept right never gives way to another."""
        boot = self._boots[-1] if self._boots else None
        if boot is None or boot.name != moment.boot:
            return
        moved = abs(moment.offset - boot.offset) > MOVED_SECONDS
        if moment.synchronized > boot.synchronized or (moved and moment.synchronized == boot.synchronized):
            self._boots[-1] = Boot(boot.number, boot.name, boot.first_seq, moment.offset, moment.synchronized)
            self._save_last_boot()

    def _save_last_boot(self) -> None:
        boot = self._boots[-1]
        row = boot.number, boot.name, boot.first_seq, boot.offset, boot.synchronized, boot.checksum
        self._ask("REPLACE INTO boots VALUES (?, ?, ?, ?, ?, ?)", *row)

    def _save(self, acknowledged: Mapping[str, int]) -> None:
        for name, seq in acknowledged.items():
            if self.acknowledged.get(name) != seq:
                change = "ON CONFLICT (name) DO UPDATE SET acknowledged = excluded.acknowledged"
                self._ask(f"INSERT INTO consumers VALUES (?, ?, 0) {change}", name, seq)
                self.acknowledged[name] = seq

    def _surely_older(self, moment: Moment, keep_seconds: float) -> tuple[int, float] | None:
        """The newest boot with records that are, and the time since it before which they were made."""
        ran_seconds, end = moment.since_boot, LAST
        for boot in reversed(self._boots):
            made = self._made_at(boot.first_seq, end)
            end = boot.first_seq
            if not made:
                continue
            if boot.name != moment.boot:
                ran_seconds += made[-1]
            made_before = ran_seconds - keep_seconds
            if moment.synchronized and boot.synchronized:
                made_before = max(made_before, moment.wall - keep_seconds - boot.offset)
            if made[0] < made_before:
                return boot.number, made_before
        return None

    def _made_at(self, first_seq: int, end: int) -> list[float]:
        """When the first and the last of these records were made; empty for none."""
        question = "SELECT made_at FROM events WHERE seq >= ? AND seq < ? ORDER BY seq"
        found = [self._ask(f"{question} {order} LIMIT 1", first_seq, end) for order in ("ASC", "DESC")]
        return [made_at for rows in found for (made_at,) in rows]

    def _make_room(self) -> None:
        """Delete the oldest records, half a percent at a time, until the rest leave room for more."""
        while self._used_pages() > self._most_pages:
            ((first, last),) = self._ask("SELECT min(seq), max(seq) FROM events")
            self._delete_to(min(last, first + max(BATCH, (last - first) // 200)))
        if self._number("PRAGMA page_count") > self._most_pages + SPARE_PAGES:  # the limit was lowered
            for _ in range(SPARE_PAGES):
                self._ask("PRAGMA incremental_vacuum(1)")  # for more, Python's module gives up after the first

    def _used_pages(self) -> int:
        return self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")

    def _delete_to(self, seq: int) -> None:
        unread = "(SELECT count(*) FROM events WHERE seq > acknowledged AND seq <= ?)"
        self._ask(f"UPDATE consumers SET dropped = dropped + {unread} WHERE acknowledged < ?", seq, seq)
        self._ask("DELETE FROM events WHERE seq <= ?", seq)
        self._ask("UPDATE numbering SET begins_after = ? WHERE NOT EXISTS (SELECT * FROM events)", seq)
        self._ask("DELETE FROM boots WHERE number < (SELECT boot FROM events ORDER BY seq LIMIT 1)")
        self._boots = boots_of(self._connection)
        self._read_dropped()

    def _set(self, **pragmas: str | int) -> None:
        for name, value in pragmas.items():
            self._ask(f"PRAGMA {name}={value}")

    def _number(self, question: str) -> int:
        ((number,),) = self._ask(question)
        return int(number or 0)

    def _ask(self, question: str, *values: object) -> list[Any]:
        return self._connection.execute(question, values).fetchall()

"""The lasting record on real files: who may write it, what is kept of it, damage, and disks that fail."""

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edge import store as store_module
from edge.archive import FORMAT, Archive
from edge.claim import highest_number
from edge.errors import OutputError, SourceError
from edge.ledger import Moment
from edge.store import HOLD
from tests.disks import growing_no_further, mounted
from tests.stores import (
    DAY,
    Clock,
    filled,
    ledger,
    numbers,
    opened,
    record,
    size_of,
    stored,
    until,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store waits for nothing, and tries again at once."""
    monkeypatch.setattr(store_module, "COMMIT_SECONDS", 0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


# What is written is there


def test_records_are_kept_as_they_were_made_in_the_order_of_their_numbers(path: Path) -> None:
    made = [record(seq) for seq in range(1, 300)]
    store = opened(path)
    for each in made:
        store.write(each)
    store.close()
    assert [(each.seq, each.line) for each in stored(path)] == [(each.seq, each.line) for each in made]


def test_a_rare_record_is_there_without_waiting_for_another_and_listeners_are_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour between commits: the first does not wait for it."""
    monkeypatch.setattr(store_module, "COMMIT_SECONDS", 3600.0)
    told = []
    with closing(opened(path)) as store:
        store.listen(lambda: told.append((threading.current_thread().name, store.committed_seq)))
        store.write(record(1))
        until(lambda: told)
        assert told == [("store", 1)]
        assert numbers(path) == [1]


def test_records_that_follow_soon_are_committed_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "COMMIT_SECONDS", 3600.0)
    store = opened(path)
    store.write(record(1))
    until(lambda: store.committed_seq == 1)
    for seq in range(2, 52):
        store.write(record(seq))
    assert (store.last_seq, store.committed_seq, store.held) == (51, 1, 50)
    assert numbers(path) == [1]
    store.close()
    assert numbers(path) == list(range(1, 52))


def test_numbers_go_on_where_the_record_ends_even_if_all_of_it_was_deleted(path: Path) -> None:
    clock = Clock()
    filled(path, 20, clock)
    with closing(ledger(path)) as book:
        clock.pass_by(100 * DAY)
        assert book.delete_old(Moment.of(clock.clocks), 90 * DAY, wanted_after=20) == 20
    assert numbers(path) == []
    with closing(opened(path, clock)) as store:
        assert store.last_seq == 20


def test_pages_are_read_from_either_end(path: Path) -> None:
    filled(path, 30)
    with closing(Archive(path)) as archive:
        assert [each.seq for each in archive.after(10, 5)] == [11, 12, 13, 14, 15]
        assert [each.seq for each in archive.before(10, 5)] == [9, 8, 7, 6, 5]
        assert [each.seq for each in archive.before(None, 2)] == [30, 29]
        assert archive.after(30, 5) == archive.before(1, 5) == []
        assert (archive.first_seq, archive.last_seq) == (1, 30)
        assert [each.seq for each in archive.all_before()] == list(range(30, 0, -1))


def test_a_reader_sees_what_is_committed_while_the_writer_writes(path: Path, at_once: None) -> None:
    with closing(opened(path)) as store, closing(Archive(path)) as archive:
        assert (archive.first_seq, archive.last_seq) == (0, 0)
        for seq in range(1, 30):
            store.write(record(seq))
            until(lambda: store.committed_seq == seq)  # noqa: B023  # it is called in this round
            assert [each.seq for each in archive.after(0, 100)] == list(range(1, seq + 1))


def test_a_store_is_closed_once_and_takes_nothing_afterwards(path: Path) -> None:
    store = opened(path)
    store.close()
    store.close()
    store.write(record(1))
    assert sorted(each.name for each in path.parent.iterdir()) == ["events.db", "events.db-lock"]
    assert (store.lost, numbers(path)) == (1, [])


def test_closing_leaves_no_thread_and_no_open_file(path: Path) -> None:
    filled(path, 5)
    assert "store" not in [each.name for each in threading.enumerate()]
    open_files = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
    assert not [each for each in open_files if each.startswith(str(path))]


# Whose file it is


def contents(folder: Path) -> dict[str, bytes]:
    if folder.parent == Path("/") or not folder.is_dir():
        return {}
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def refused(path: Path) -> str:
    there = contents(path.parent)
    with pytest.raises(OutputError) as caught:
        opened(path)
    assert contents(path.parent) == there
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_a_file_of_something_else_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    assert "holds something else than a record of events" in refused(path)


def test_another_program_s_database_is_refused_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE holidays (place)")
    assert "holds something else than a record of events" in refused(path)


def test_a_newer_format_is_refused_untouched(path: Path) -> None:
    filled(path, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as later:
        later.execute(f"PRAGMA user_version={FORMAT + 1}")
        later.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert f"newer emotion-edge, format {FORMAT + 1}: expected {FORMAT} at most" in refused(path)
    with pytest.raises(SourceError, match="newer emotion-edge"):
        Archive(path)


def test_a_place_that_does_not_do_is_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, why in (
        (tmp_path / "missing" / "events.db", "No such file or directory"),
        (tmp_path / "folder", "is no file"),
        (tmp_path / "pipe", "is no file"),
        (tmp_path / ("long" * 100), "File name too long"),
        (Path("/proc/events.db"), "cannot open the record of events"),
    ):
        assert why in refused(path)
    with pytest.raises(OutputError, match="null"):
        opened(Path("a\0b"))


def test_a_folder_that_this_user_may_not_write_to_is_one_sentence(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        with mounted(tmp_path / "mount", "ro,size=64k") as place:
            assert "Read-only file system" in refused(place / "events.db")
    else:
        tmp_path.chmod(0o500)
        assert "Permission denied" in refused(tmp_path / "events.db")


def test_a_second_writer_is_refused_and_the_first_goes_on(path: Path, at_once: None) -> None:
    with closing(opened(path)) as store:
        with pytest.raises(OutputError, match="another emotion-edge writes this record"):
            opened(path)
        ask = f"import pathlib; from edge import config, store; store.Store(config.Store(pathlib.Path({str(path)!r})))"
        other = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True)
        assert other.returncode == 1 and "another emotion-edge writes this record" in other.stderr
        store.write(record(1))
        until(lambda: store.committed_seq == 1)
    opened(path).close()


def test_a_link_to_the_file_is_the_file(path: Path, tmp_path: Path) -> None:
    filled(path, 3)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with closing(opened(link)), pytest.raises(OutputError, match="another emotion-edge"):
        opened(path)
    assert numbers(link) == [1, 2, 3]


def unreadable(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        Archive(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_read_is_one_sentence(path: Path, tmp_path: Path) -> None:
    assert "No such file" in unreadable(tmp_path / "missing.db")
    assert "is no file" in unreadable(tmp_path)
    path.write_bytes(b"\xff\xd8\xff\xe0 a picture" * 100)
    assert "holds something else" in unreadable(path)
    path.write_bytes(b"")
    assert "holds something else" in unreadable(path)
    with pytest.raises(SourceError, match="no name of a file"):
        Archive(Path("a\0b"))


def test_a_record_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "mount", "size=1m") as place:
        filled(place / "events.db", 20)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        with closing(Archive(place / "events.db")) as archive:
            assert len(archive.after(0, 100)) == 20
            subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
            with closing(opened(place / "events.db")) as store:
                store.write(record(21))
                until(lambda: store.committed_seq == 21)
                assert len(archive.after(0, 100)) == 21


# Damage


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def test_a_damaged_record_is_never_returned_and_told_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(path, 50)
    for seq in (7, 8, 30):
        overwrite(path, path.read_bytes().index(b'"seq":%d,' % seq) + 20, b"#")
    whole = [seq for seq in range(1, 51) if seq not in (7, 8, 30)]
    with closing(Archive(path)) as archive:
        for _ in range(2):
            assert [each.seq for each in archive.all_after()] == whole
        assert [each.seq for each in archive.after(0, 10)] == [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]
        assert [each.seq for each in archive.after(6, 1)] == [9]
        assert archive.damaged == 3
    assert [each.getMessage() for each in caplog.records] == [
        f"a damaged record is passed over: store={path} seq={seq}" for seq in (7, 8, 30)
    ]


@pytest.mark.parametrize("at", [0, 100])
def test_a_damaged_file_is_put_aside_and_numbers_go_on(path: Path, at: int, caplog: pytest.LogCaptureFixture) -> None:
    """Its very first bytes; and the table of tables."""
    filled(path, 40)
    overwrite(path, at, b"\xaa" * 200)
    with closing(opened(path)) as store:
        assert store.last_seq == 40
        store.write(record(41))
    assert numbers(path) == [41]
    assert highest_number(path.with_name("events.db.damaged")) == 40
    assert f"the record was damaged, and another begins: store={path}" in caplog.text


def killed_while_writing(path: Path, count: int) -> None:
    """A store whose writer was killed after it had gone on to `count`: the newest records are in its log only."""
    script = (
        "import os, sys, pathlib; from tests.stores import *\n"
        f"store = opened(pathlib.Path({str(path)!r}))\n"
        f"for seq in range(store.last_seq + 1, {count + 1}): store.write(record(seq))\n"
        f"until(lambda: store.committed_seq == {count})\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_page_damaged_when_the_process_was_killed_is_found(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A page that nobody would read before long."""
    filled(path, 100)
    killed_while_writing(path, 130)
    overwrite(path, path.read_bytes().index(b'"seq":50,') // 1024 * 1024, b"\xaa" * 1024)
    with closing(opened(path)) as store:
        assert store.last_seq == 130
        until(lambda: "another begins" in caplog.text)
        store.write(record(131))
    assert numbers(path) == [131]


def test_from_when_damage_shows_while_writing_no_record_is_lost(path: Path, at_once: None) -> None:
    """SQLite may not see it at once: what it wrote until then lies in the file that is put aside."""
    filled(path, 300)
    with closing(opened(path)) as store, closing(Archive(path)) as archive:
        assert archive.last_seq == 300
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            ((page,),) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'")
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek((page - 1) * 1024)
            file.write(b"\xaa" * (size - (page - 1) * 1024))
        for seq in range(301, 400):
            store.write(record(seq))
        until(lambda: store.held == 0)
        kept = [each.seq for each in archive.all_after()]
    assert kept == list(range(kept[0], 400)) and kept[0] > 300
    assert store.lost == 0
    assert path.with_name("events.db.damaged").is_file()


def test_a_file_put_aside_before_a_kill_still_gives_the_numbers(path: Path) -> None:
    filled(path, 40)
    path.rename(path.with_name("events.db.damaged"))
    with closing(opened(path)) as store:
        assert store.last_seq == 40


# Consumers


def test_places_outlive_the_process_and_never_go_back(path: Path) -> None:
    filled(path, 30)
    with closing(opened(path)) as store:
        assert store.acknowledged("mqtt") == 0
        store.acknowledge("mqtt", 12)
        store.acknowledge("mqtt", 5)
        store.acknowledge("other", 3)
        assert store.acknowledged("mqtt") == 12
    with closing(opened(path)) as store:
        assert (store.acknowledged("mqtt"), store.acknowledged("other"), store.acknowledged("new")) == (12, 3, 0)


def test_a_place_is_saved_with_the_next_records_or_alone_when_it_moved_far(path: Path, at_once: None) -> None:
    filled(path, 500)
    with closing(opened(path)) as store, closing(Archive(path)) as archive:
        store.acknowledge("mqtt", 7)
        store.write(record(501))
        until(lambda: archive.acknowledged() == {"mqtt": 7})
        store.acknowledge("mqtt", 107)
        until(lambda: archive.acknowledged() == {"mqtt": 107})
        store.acknowledge("mqtt", 108)
        store.write(record(502))
        until(lambda: archive.acknowledged() == {"mqtt": 108})


# Disks that fail


def test_a_full_disk_holds_records_tells_once_and_all_are_written_in_order_when_there_is_room(
    path: Path, at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = opened(path)
    for seq in range(1, 21):
        store.write(record(seq))
    until(lambda: store.committed_seq == 20)
    with growing_no_further(size_of(path) // 8):
        for seq in range(21, 221):
            store.write(record(seq))
        until(lambda: caplog.records)
        tried = store._tried_at
        until(lambda: store._tried_at > tried)
        assert (store.committed_seq, store.held, store.lost) == (20, 200, 0)
        assert len(caplog.records) == 1
    until(lambda: store.committed_seq == 220)
    until(lambda: len(caplog.records) == 2)
    store.close()
    assert numbers(path) == list(range(1, 221))
    assert f"events cannot be stored: store={path} error=" in caplog.records[0].getMessage()
    assert f"events are stored again: store={path} lost=0" in caplog.records[1].getMessage()


def test_trouble_that_lasts_is_told_again_after_a_while(
    path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "COMPLAIN_SECONDS", 0.0)
    with closing(opened(path)) as store, growing_no_further(1000):
        store.write(record(1))
        until(lambda: len(caplog.records) >= 3)


def test_memory_is_bounded_and_what_is_lost_is_counted(
    path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HOLD == 10_000
    monkeypatch.setattr(store_module, "HOLD", 50)
    with closing(opened(path)) as store:
        with growing_no_further(1000):
            for seq in range(1, 301):
                store.write(record(seq))
            until(lambda: store._troubled)
            until(lambda: store.held == 50)
            assert store.lost == 250
        until(lambda: store.committed_seq == 300)
    assert numbers(path) == list(range(251, 301))
    assert store.lost == 250


def test_what_is_still_held_at_the_end_is_lost_and_counted(
    path: Path, at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(path)
    with growing_no_further(1000):
        for seq in range(1, 6):
            store.write(record(seq))
        store.close()
    assert (store.held, store.lost) == (0, 5)
    assert f"events lost at the end: store={path} lost=5" in caplog.text


def test_a_store_begins_on_a_disk_that_is_read_only_and_catches_up_when_it_is_not(
    tmp_path: Path, at_once: None
) -> None:
    with mounted(tmp_path / "mount", "size=1m") as place:
        path = place / "events.db"
        filled(path, 20)
        with closing(opened(path)) as store:
            store.acknowledge("mqtt", 11)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        store = opened(path)
        assert (store.last_seq, store.committed_seq, store.acknowledged("mqtt")) == (20, 20, 11)
        store.write(record(21))
        until(lambda: store._troubled)
        assert store.held == 1
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        until(lambda: store.committed_seq == 21)
        store.close()
        assert numbers(path) == list(range(1, 22))


def fill_and_clear(place: Path, seed: int, seq: int) -> int:
    """A store that goes on after `seq` while its file system fills up, and has room again; the last number then."""
    chance, path, ballast = random.Random(seed), place / "events.db", place / "ballast"
    with closing(opened(path, keep_mb=1)) as store:
        assert store.last_seq == seq
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        ballast.write_bytes(bytes(max(0, free - chance.randrange(40_000))))
        for _ in range(chance.randrange(1, 200)):
            seq += 1
            store.write(record(seq))
        until(lambda: store._troubled or store.held == 0)
        if chance.random() < 0.3:  # it ends before there is room
            store.close()
            seq -= store.lost
        ballast.unlink()
        until(lambda: store.held == 0)
        left = numbers(path)
        assert left == list(range(left[0], seq + 1))
    return seq


def test_a_file_system_that_fills_up_and_is_cleared_loses_nothing(tmp_path: Path, at_once: None) -> None:
    with mounted(tmp_path / "mount", "size=1200k") as place:
        seq = 0
        for seed in range(5):
            seq = fill_and_clear(place, seed, seq)


@pytest.mark.long
def test_a_file_system_that_fills_up_a_hundred_times_loses_nothing(tmp_path: Path, at_once: None) -> None:
    with mounted(tmp_path / "mount", "size=1200k") as place:
        seq = 0
        for seed in range(100):
            seq = fill_and_clear(place, seed, seq)

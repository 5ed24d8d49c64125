"""The record's file over years: dated anew, and bounded by age and by size, whatever the clock does."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import store as store_module
from edge.ledger import Moment
from edge.listing import seconds_of
from tests.stores import DAY, Clock, documents, filled, ledger, numbers, opened, record, size_of, stored, until

TEN_YEARS = 3652 * DAY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def dates(path: Path) -> list[tuple[str, bool]]:
    return [(each["ts"][:16], each["clock_synced"]) for each in documents(path)]


def test_a_boot_in_the_past_is_dated_anew_when_the_clock_is_set(path: Path) -> None:
    clock = Clock(wrong_by=-400 * DAY, synchronized=False)
    with closing(ledger(path)) as book:
        book.commit([record(1, clock)], {}, Moment.of(clock.clocks))
        assert dates(path) == [("2025-10-17T10:15", False)]
        clock.pass_by(60)
        clock.wrong_by, clock.synchronized = 0.0, True
        book.commit([record(2, clock)], {}, Moment.of(clock.clocks))
        assert dates(path) == [("2026-11-21T10:15", True), ("2026-11-21T10:16", True)]
        clock.wrong_by, clock.synchronized = TEN_YEARS, False
        book.commit([record(3, clock)], {}, Moment.of(clock.clocks))
        assert dates(path) == [("2026-11-21T10:15", True), ("2026-11-21T10:16", True), ("2026-11-21T10:16", True)]


def test_a_clock_that_is_set_after_the_last_event_dates_it_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "TIDY_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "COMMIT_SECONDS", 0.005)
    clock = Clock(wrong_by=-400 * DAY, synchronized=False)
    with closing(opened(path, clock)) as store:
        store.write(record(1, clock))
        until(lambda: store.committed_seq == 1)
        clock.wrong_by, clock.synchronized = 0.0, True
        until(lambda: dates(path) == [("2026-11-21T10:15", True)])


def test_closing_dates_by_the_clock_as_it_is_then(path: Path) -> None:
    clock = Clock(wrong_by=-400 * DAY, synchronized=False)
    store = opened(path, clock)
    store.write(record(1, clock))
    until(lambda: store.committed_seq == 1)
    clock.wrong_by, clock.synchronized = 0.0, True
    store.close()
    assert dates(path) == [("2026-11-21T10:15", True)]


def test_a_wall_clock_beyond_all_years_leaves_the_date_as_it_is(path: Path) -> None:
    clock = Clock(synchronized=False)
    with closing(ledger(path)) as book:
        first = record(1, clock)
        clock.wrong_by = 1e15
        book.commit([first], {}, Moment.of(clock.clocks))
    assert stored(path)[0].line == first.line


STORIES = st.lists(
    st.one_of(
        st.tuples(st.just("pass_by"), st.floats(0.1, 40 * DAY)),
        st.tuples(st.just("boot_anew"), st.floats(1, 40 * DAY)),
        st.tuples(st.just("set_wrong"), st.floats(-TEN_YEARS, TEN_YEARS)),
        st.tuples(st.just("synchronize"), st.none()),
        st.tuples(st.just("record"), st.none()),
        st.tuples(st.just("delete"), st.none()),
    ),
    min_size=5,
    max_size=40,
)


class Life:
    """A ledger on a device of which the truth is known: `made` says when each record was made, in which boot."""

    def __init__(self, path: Path) -> None:
        self.path, self.book, self.clock = path, ledger(path), Clock(synchronized=False)
        self.made: dict[int, tuple[str, float]] = {}
        self.right: set[str] = set()  # boots whose clock was right at some time after their first record

    @property
    def moment(self) -> Moment:
        return Moment.of(self.clock.clocks)

    def live(self, what: str, value: Any) -> None:
        if what == "pass_by":
            self.clock.pass_by(value)
        elif what == "boot_anew":
            self.clock.boot_anew(f"{self.clock.now:.0f}", value)
        elif what == "set_wrong":
            self.clock.wrong_by, self.clock.synchronized = value, False
        elif what == "synchronize":
            self.clock.wrong_by, self.clock.synchronized = 0.0, True
        elif what == "record":
            seq = self.book.last_seq + 1
            self.made[seq] = self.clock.boot, self.clock.now
            self.book.commit([record(seq, self.clock)], {}, self.moment)
        else:
            self.book.delete_old(self.moment, 30 * DAY, self.book.last_seq)
        self.book.note_clock(self.moment)
        if self.clock.synchronized and self.clock.boot in (boot for boot, _ in self.made.values()):
            self.right.add(self.clock.boot)

    def age_days(self, seq: int) -> float:
        return (self.clock.now - self.made[seq][1]) / DAY

    def check(self, what: str) -> None:
        found = documents(self.path)
        there = [each["seq"] for each in found]
        assert there == list(range(self.book.last_seq - len(there) + 1, self.book.last_seq + 1))
        assert all(self.age_days(seq) > 29.99 for seq in self.made.keys() - set(there))
        if what == "delete" and self.clock.synchronized:
            assert all(self.age_days(seq) < 30.01 for seq in there if self.made[seq][0] in self.right)
        for each in found:
            boot, when = self.made[each["seq"]]
            assert each["clock_synced"] == (boot in self.right)
            assert not each["clock_synced"] or abs(seconds_of(each) - when) < 0.1


@settings(max_examples=60)
@given(STORIES)
def test_whatever_the_clock_does_order_stays_dates_are_the_best_known_and_only_old_records_go(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, Any]]
) -> None:
    """Dates of a boot whose clock was once right are right; none younger than 30 days goes, the surely older all do."""
    life = Life(tmp_path_factory.mktemp("store") / "events.db")
    with closing(life.book):
        for what, value in story:
            life.live(what, value)
            if what == "delete":
                life.check(what)
        life.check("end")


def test_records_older_than_the_limit_go_and_younger_ones_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "TIDY_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "DELETE_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "COMMIT_SECONDS", 0.005)
    clock = Clock()
    with closing(ledger(path)) as book:
        for start in range(1, 6000, 100):
            made = []
            for seq in range(start, start + 100):
                made.append(record(seq, clock))
                clock.pass_by(60)
            book.commit(made, {}, Moment.of(clock.clocks))
    with closing(opened(path, clock, keep_days=1.0)):
        until(lambda: numbers(path) == list(range(4561, 6001)))


@pytest.mark.parametrize("years", [10, -10])
def test_a_clock_that_jumps_by_itself_deletes_nothing(path: Path, years: int) -> None:
    clock = Clock()
    filled(path, 50, clock)
    clock.wrong_by, clock.synchronized = years * 365 * DAY, False
    with closing(ledger(path)) as book:
        assert book.delete_old(Moment.of(clock.clocks), DAY, 50) == 0
    clock.boot_anew("00000002")
    with closing(ledger(path)) as book:
        assert book.delete_old(Moment.of(clock.clocks), DAY, 50) == 0


def test_a_device_without_a_clock_deletes_what_is_older_than_it_has_run_since(path: Path) -> None:
    """A record a day, and a boot after each third: what passed between the last record and the boot, nobody knows."""
    clock = Clock(wrong_by=-1e9, synchronized=False)
    with closing(ledger(path)) as book:
        for seq in range(1, 11):
            book.commit([record(seq, clock)], {}, Moment.of(clock.clocks))
            clock.pass_by(DAY)
            if seq % 3 == 0:
                clock.boot_anew(f"{seq:08x}")
        assert book.delete_old(Moment.of(clock.clocks), 5.5 * DAY, 10) == 2
    assert numbers(path) == list(range(3, 11))


def test_what_came_before_a_record_that_is_too_old_is_too_old(path: Path) -> None:
    lost = Clock(boot="00000001", wrong_by=TEN_YEARS, synchronized=False)
    clock = Clock(boot="00000002")
    with closing(ledger(path)) as book:
        book.commit([record(1, lost)], {}, Moment.of(lost.clocks))
        book.commit([record(2, clock)], {}, Moment.of(clock.clocks))
        clock.pass_by(10 * DAY)
        book.commit([record(3, clock)], {}, Moment.of(clock.clocks))
        assert book.delete_old(Moment.of(clock.clocks), 5 * DAY, 3) == 2
    assert numbers(path) == [3]


def test_a_consumer_that_asked_holds_records_back_from_going_by_age(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    filled(path, 20, clock)
    clock.pass_by(100 * DAY)
    monkeypatch.setattr(store_module, "COMMIT_SECONDS", 0.005)
    monkeypatch.setattr(store_module, "DELETE_SECONDS", 0.0)
    store = opened(path, clock)
    store.acknowledge("mqtt", 15)
    monkeypatch.setattr(store_module, "TIDY_SECONDS", 0.0)
    store.acknowledge("other", 1000)  # which is far enough to wake the writer
    until(lambda: numbers(path) == [16, 17, 18, 19, 20])
    store.acknowledge("mqtt", 18)
    until(lambda: numbers(path) == [19, 20])
    assert store.dropped("mqtt") == 0
    store.close()
    with closing(opened(path, clock)) as store:  # the broker was taken out of the settings
        until(lambda: numbers(path) == [])
        assert (store.last_seq, store.dropped("mqtt")) == (20, 2)


def test_the_files_never_exceed_the_limit_the_oldest_go_and_the_unread_are_counted(path: Path) -> None:
    clock, last, most = Clock(), 0, 0
    with closing(ledger(path, keep_mb=1)) as book:
        while last < 6000:
            made = [record(seq, clock) for seq in range(last + 1, last + 1 + 100)]
            book.commit(made, {"mqtt": min(last, 2500)}, Moment.of(clock.clocks))
            last += 100
            most = max(most, size_of(path))
        assert most <= 1_000_000
        left = numbers(path)
        assert left == list(range(left[0], 6001)) and len(left) > 500
        assert book.dropped["mqtt"] == left[0] - 1 - 2500
    with closing(opened(path, keep_mb=1)) as store:
        assert store.dropped("mqtt") == left[0] - 1 - 2500


def test_a_limit_that_is_lowered_makes_the_file_smaller(path: Path) -> None:
    clock = Clock()
    with closing(ledger(path, keep_mb=8)) as book:
        for start in range(1, 6000, 100):
            book.commit([record(seq, clock) for seq in range(start, start + 100)], {}, Moment.of(clock.clocks))
    assert path.stat().st_size > 2_500_000
    with closing(ledger(path, keep_mb=1)) as book:
        for seq in range(6001, 6031):
            book.commit([record(seq, clock)], {}, Moment.of(clock.clocks))
    assert size_of(path) <= 1_000_000
    assert numbers(path)[-1] == 6030


def test_a_rare_event_with_its_acknowledgement_costs_the_disk_at_most_five_kilobytes(path: Path) -> None:
    """5,760 a day (four a minute) are 29 MB then, as they leave for the kernel."""
    clock = Clock()

    def written() -> int:
        found = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(found["wchar"])

    with closing(ledger(path)) as book:
        before = written()
        for seq in range(1, 301):
            book.commit([record(seq, clock)], {"mqtt": seq - 1}, Moment.of(clock.clocks))
        assert (written() - before) / 300 < 5000


def test_damaged_knowledge_of_the_clock_leaves_the_records_their_own_dates(path: Path) -> None:
    clock = Clock(wrong_by=-TEN_YEARS, synchronized=False)
    filled(path, 5, clock)
    own = [json.loads(record(seq, clock).line)["ts"] for seq in range(1, 6)]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE boots SET clock_offset = clock_offset + 1e9")
    assert [each["ts"] for each in documents(path)] == own

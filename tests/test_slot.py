"""Slot: the newest wins, or with `every` nothing is lost; and every item is accounted for."""

import signal
import threading
import time
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.slot import Closed, Slot


def in_thread(work):
    """Start `work` on a thread and return that; the test joins it."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(there):
    """Let other threads run until `there()`; the test's own time limit ends a wait for what never comes."""
    while not there():
        time.sleep(0)


def test_the_newest_item_wins_and_the_replaced_ones_are_counted():
    slot = Slot()
    for item in "abc":
        slot.put(item)
    assert slot.take() == "c"
    assert (slot.offered, slot.taken, slot.dropped) == (3, 1, 2)


def test_an_item_that_still_waits_is_neither_taken_nor_dropped():
    slot = Slot()
    slot.put("a")
    assert (slot.offered, slot.taken, slot.dropped) == (1, 0, 0)


def test_after_closing_the_reader_gets_the_last_item_then_the_end():
    slot = Slot()
    slot.put("last")
    slot.close()
    assert list(slot) == ["last"]
    with pytest.raises(Closed):
        slot.take()


def test_a_put_into_a_closed_slot_is_refused_and_counted():
    slot = Slot()
    slot.close()
    with pytest.raises(Closed):
        slot.put("late")
    assert (slot.offered, slot.taken, slot.dropped) == (1, 0, 1)


def test_what_a_leaving_reader_did_not_take_counts_as_dropped():
    slot = Slot()
    slot.put("a")
    slot.leave()
    assert (slot.offered, slot.taken, slot.dropped) == (1, 0, 1)


def test_a_reader_that_stops_iterating_stops_the_writer():
    slot = Slot()
    slot.put("a")
    items = iter(slot)
    next(items)
    items.close()
    with pytest.raises(Closed):
        slot.put("b")


def test_the_writers_error_comes_to_the_reader_after_the_last_item():
    slot = Slot()
    with slot:
        slot.put("last")
        raise ValueError("of the writer")
    got = []
    with pytest.raises(ValueError, match="of the writer"):
        got.extend(slot)
    assert got == ["last"]


def test_a_writer_that_was_refused_is_no_error_for_the_reader():
    slot = Slot()
    with slot:
        slot.leave()
        slot.put("late")
    assert slot.error is None
    assert list(slot) == []


def test_a_waiting_reader_wakes_when_an_item_comes():
    slot, got = Slot(), []
    reader = in_thread(lambda: got.extend(slot))
    slot.put("a")
    slot.close()
    reader.join()
    assert got == ["a"]


def test_a_reader_that_does_not_want_to_wait_goes_on_without_an_item():
    slot = Slot()
    assert slot.take_within(0) is None
    assert slot.take_within(0.001) is None
    slot.put("a")  # nobody waits, so this does not
    assert slot.take_within(0) == "a"
    slot.close()
    with pytest.raises(Closed):
        slot.take_within(0)


def test_a_reader_that_waits_a_while_gets_what_comes_meanwhile():
    slot, got = Slot(), []
    reader = in_thread(lambda: got.append(slot.take_within(3600)))
    slot.put("a")
    reader.join()
    assert got == ["a"]


def test_a_reader_that_waits_has_the_item_before_the_writer_goes_on(monkeypatch):
    monkeypatch.setattr("edge.slot.HAND_OVER_SECONDS", -1)  # for ever, so that no busy machine makes a difference
    slot, got = Slot(), []
    reader = in_thread(lambda: got.extend(slot))
    with closing(slot):
        for item in range(200):
            until(lambda: slot._awaited)
            slot.put(item)
            assert slot.taken == item + 1
    reader.join()
    assert got == list(range(200))


def test_a_waiting_reader_wakes_when_the_slot_is_closed():
    slot, got = Slot(), []
    reader = in_thread(lambda: got.extend(slot))
    slot.close()
    reader.join()
    assert got == []


@pytest.mark.parametrize("end", [Slot.close, Slot.leave])
def test_a_waiting_writer_wakes_when_the_slot_is_closed(end):
    slot, refused = Slot(every=True), []

    def write():
        with pytest.raises(Closed):
            slot.put("nobody takes it")
        refused.append(True)

    writer = in_thread(write)
    until(lambda: slot.offered)
    end(slot)
    writer.join()
    assert refused
    left = list(slot)
    assert slot.offered == 1 == len(left) + slot.dropped
    assert left == ([] if end is Slot.leave else ["nobody takes it"])


def test_every_hands_over_so_the_writer_is_never_ahead():
    slot, begun, ahead = Slot(every=True), [], []

    def write():
        with slot:
            for item in range(500):
                begun.append(item)
                slot.put(item)

    writer = in_thread(write)
    for item in slot:
        following = min(item + 1, 499)  # what the writer may begin once this one is taken
        until(lambda following=following: begun[-1] >= following)
        ahead.append(begun[-1] - following)
    writer.join()
    assert max(ahead) == 0
    assert slot.offered == slot.taken == 500


def test_a_put_that_was_taken_is_no_error_although_the_reader_left_at_once():
    for _ in range(200):
        slot, done = Slot(every=True), []
        writer = in_thread(lambda slot=slot, done=done: done.append(slot.put("a")))
        assert slot.take() == "a"
        slot.leave()
        writer.join()
        assert done == [None]
        assert (slot.offered, slot.taken, slot.dropped) == (1, 1, 0)


def test_every_loses_nothing_and_keeps_the_order():
    slot = Slot(every=True)

    def write():
        with slot:
            for item in range(2000):
                slot.put(item)

    writer = in_thread(write)
    assert list(slot) == list(range(2000))
    writer.join()
    assert (slot.offered, slot.taken, slot.dropped) == (2000, 2000, 0)


def test_two_threads_account_for_every_item_and_get_them_in_order():
    slot = Slot()

    def write():
        with slot:
            for item in range(20_000):
                slot.put(item)

    writer = in_thread(write)
    got = list(slot)
    writer.join()
    assert got == sorted(set(got))
    assert got[-1] == 19_999
    assert (slot.offered, slot.taken) == (20_000, len(got))
    assert slot.offered == slot.taken + slot.dropped


STEPS = st.lists(st.sampled_from(["put", "take", "close", "leave"]), max_size=30)


@given(steps=STEPS)
@settings(deadline=None)
def test_what_was_put_was_taken_or_dropped(steps):
    slot, waiting, offered, got, lost, closed = Slot(), [], 0, [], [], False
    for step in [*steps, "leave"]:
        if step == "put":
            offered += 1
            if closed:
                with pytest.raises(Closed):
                    slot.put(offered)
                lost.append(offered)
            else:
                slot.put(offered)
                lost += waiting
                waiting = [offered]
        elif step == "take" and waiting:
            got.append(slot.take())
            assert got[-1] == waiting.pop()
        elif step == "take" and closed:
            with pytest.raises(Closed):
                slot.take()
        elif step == "close":
            slot.close()
            closed = True
        elif step == "leave":
            slot.leave()
            closed = True
            lost += waiting
            waiting = []
        assert (slot.offered, slot.taken, slot.dropped) == (offered, len(got), len(lost))
    assert slot.offered == slot.taken + slot.dropped


class Interrupted(BaseException):
    """What the test's signal raises."""


@pytest.fixture
def alarm():
    """A function that has a signal interrupt this thread once, after so many seconds and not before `when()`."""

    def arm(seconds, when=lambda: True):
        def interrupt(_number, _frame):
            if when():
                signal.setitimer(signal.ITIMER_REAL, 0)
                raise Interrupted

        signal.signal(signal.SIGALRM, interrupt)
        # Again and again: a signal just before a wait begins does not end it.
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.01)

    before = signal.getsignal(signal.SIGALRM)
    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupted_wait_leaves_no_lock_held(alarm):
    slot = Slot()
    with pytest.raises(Interrupted):
        alarm(0.01)
        slot.take()
    slot.put("a")
    assert slot.take() == "a"


def test_an_interrupt_at_any_bytecode_leaves_no_lock_held(alarm):
    for turn in range(300):
        slot = Slot()
        try:
            alarm(1e-5 + turn * 1e-6)  # from the first bytecode on; where it strikes is chance, the outcome is not
            while True:
                slot.put("a")
                slot.take()
        except Interrupted:
            pass
        assert slot.dropped <= 1
        slot.put("b")
        assert slot.take() == "b"
        slot.leave()
        assert slot.offered == slot.taken + slot.dropped


def test_an_interrupted_hand_over_loses_nothing_and_blocks_no_later_one(alarm):
    slot, got = Slot(every=True), []
    for item in "ab":  # nobody takes either: "a" is left inside, "b" waits for its room
        with pytest.raises(Interrupted):
            alarm(0.01, when=lambda: slot._inside)
            slot.put(item)
    assert (slot.offered, slot.taken, slot.dropped) == (1, 0, 0)
    reader = in_thread(lambda: got.extend(slot))
    slot.put("c")
    slot.close()
    reader.join()
    assert got == ["a", "c"]
    assert (slot.offered, slot.taken, slot.dropped) == (2, 2, 0)


def write_on(slot):
    """Put until refused; as the thread of a Pipeline does, it meets no signal."""
    with slot:
        while True:
            slot.put("a")


def test_a_reader_interrupted_at_any_bytecode_can_go_on_reading(alarm):
    for turn in range(300):
        slot = Slot(every=True)
        writer = in_thread(lambda slot=slot: write_on(slot))
        try:
            alarm(1e-5 + turn * 2e-6)
            while True:
                slot.take()
        except Interrupted:
            pass
        for _ in range(3):  # the writer was told of each item that went
            assert slot.take() == "a"
        slot.leave()
        writer.join()
        assert slot.offered == slot.taken + slot.dropped

"""Sender: what a camera's process hands over, and what it does not while the parent has not taken it."""

import mmap
import os
from contextlib import closing

import numpy as np
import pytest

from edge import config
from edge.errors import SourceError
from edge.sources import messages
from edge.sources.camera import Webcam
from edge.sources.ring import BUFFERS, Ring
from edge.sources.sender import ParentGone, Sender
from tests.fakes import FakeCamera

SETTINGS = config.Camera(width=64, height=64)


class Telling(FakeCamera):
    """Has the parent say something just before a picture: `said` is its messages, by the picture's number."""

    def __init__(self, parent, said, **options):
        super().__init__(**options)
        self._parent, self._said = parent, said

    def grab(self):
        for message in self._said.get(self._number + 1, ()):
            messages.send(self._parent, message)
        return super().grab()

    def get(self, prop):
        return 0.0  # no promises


class Growing(Telling):
    """From its fifth picture on, they are larger."""

    def retrieve(self):
        self._size = (64, 48) if self._number < BUFFERS else (80, 60)
        return super().retrieve()


@pytest.fixture
def line():
    ours, theirs = messages.line()
    with ours, theirs:
        yield ours, theirs


def sent(line, camera):
    """The messages of a camera that was read to its end, and the rings that came along."""
    ours, theirs = line
    with closing(Webcam("/dev/video0", SETTINGS, lambda _: camera)) as webcam, pytest.raises(SourceError):
        Sender(theirs).send_all(webcam)
    theirs.close()
    told, rings = [], []
    while (received := messages.receive(ours))[0] is not None:
        told.append(received[0])
        if received[1] >= 0:
            rings.append(Ring(received[1], tuple(received[0]["shape"]), mmap.PROT_READ))
            os.close(received[1])
    return told, rings


def free(buffer, generation=1):
    return {"kind": "free", "buffer": buffer, "generation": generation}


def numbers(told):
    return [each["number"] for each in told if each["kind"] == "picture"]


def test_no_buffer_is_filled_again_before_it_was_taken(line):
    told, (ring,) = sent(line, Telling(line[0], {7: [free(2)], 9: [free(0), free(1)]}, fails_at=12))
    pictures = [each for each in told if each["kind"] == "picture"]
    assert numbers(told) == [0, 1, 2, 3, 7, 9, 10]
    assert sorted(each["buffer"] for each in pictures[:BUFFERS]) == list(range(BUFFERS))
    assert pictures[BUFFERS]["buffer"] == 2
    for each in pictures[-3:]:
        assert (ring.buffer(each["buffer"]) == (each["number"], each["number"], 255)).all()
    ring.close()


def test_pictures_of_another_size_come_in_a_ring_of_their_own_whose_buffers_are_all_free(line):
    late = {BUFFERS: [free(0)], BUFFERS + 1: [free(each) for each in range(1, BUFFERS)]}  # of the ring before
    told, (small, large) = sent(line, Growing(line[0], late, fails_at=20))
    assert [each["kind"] for each in told].count("ring") == 2
    assert numbers(told) == list(range(2 * BUFFERS))  # and no more: the late ones are no buffers of the new ring
    assert (small.shape, large.shape) == ((48, 64, 3), (60, 80, 3))
    assert sorted(large.buffer(each)[0, 0, 0] for each in range(BUFFERS)) == list(range(BUFFERS, 2 * BUFFERS))
    small.close()
    large.close()


def test_a_parent_that_has_gone_ends_it(line):
    ours, theirs = line
    ours.close()
    with closing(Webcam("/dev/video0", SETTINGS, lambda _: FakeCamera())) as webcam, pytest.raises(ParentGone):
        Sender(theirs).send_all(webcam)


def test_a_ring_is_written_by_one_and_read_by_the_other_and_has_no_name():
    ring, descriptor = Ring.make((48, 64, 3))
    other = Ring(descriptor, (48, 64, 3))
    os.close(descriptor)
    for index in range(BUFFERS):
        ring.buffer(index)[:] = index + 1
    assert [np.unique(other.buffer(index)).tolist() for index in range(BUFFERS)] == [[1], [2], [3], [4]]
    assert not other.buffer(0).flags.writeable
    ring.close()
    other.close()

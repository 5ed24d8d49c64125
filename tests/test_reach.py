"""Reach: small faces are found by the quick network, with few runs of it a frame."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.footage import crowd, drift
from edge.config import Faces
from edge.faces import EVERYBODY, face_finder
from edge.faces.blazeface import BlazeFace
from edge.faces.reach import Reach, tiles
from edge.faces.sheet import CELLS, SIDE, Sheet
from edge.scene import Box, Face, Frame
from edge.sources.folder import read_picture
from tests.conftest import needs_mediapipe

ROOT = Path(__file__).parents[1]
NOBODY = np.full((480, 640, 3), 96, np.uint8)
SECOND = 30
BACKENDS = ["litert", pytest.param("mediapipe", marks=needs_mediapipe)]


def frame(pixels: np.ndarray, number: int) -> Frame:
    return Frame(pixels, number / SECOND, number / SECOND, number)


class Counted(BlazeFace):
    """Counts the runs of the network."""

    runs = 0

    def find(self, frame: Frame) -> tuple[Face, ...]:
        self.runs += 1
        return super().find(frame)


Seen = Iterator[tuple[tuple[Face, ...], int]]


def watched(pictures: Iterable[np.ndarray], max_faces: int = 10) -> Seen:
    """What is found in each, and by how many runs."""
    near = Counted(Faces(range="short", max_faces=EVERYBODY))
    reach = Reach(near, near, max_faces)
    for number, pixels in enumerate(pictures):
        before, seen = near.runs, frame(pixels, number)
        faces = reach.find(seen)
        reach.look_around(seen)
        yield faces, near.runs - before


def hits(faces: tuple[Face, ...], truth: tuple[Box, ...]) -> int:
    return sum(any(face.box.iou(box) >= 0.5 for face in faces) for box in truth)


def test_ten_small_faces_are_found_within_a_second_by_four_runs_a_frame() -> None:
    pictures, truths = zip(*crowd(60, 10, seed=1), strict=True)
    seen = list(watched(list(pictures)))
    found = [hits(faces, truth) for (faces, _), truth in zip(seen, truths, strict=True)][SECOND:]
    assert np.mean(found) >= 9.9
    assert max(runs for _, runs in seen) <= 4 and np.mean([runs for _, runs in seen]) < 3.4


def test_no_face_is_reported_twice() -> None:
    for faces, _ in watched(pixels for pixels, _ in crowd(40, 10, seed=2)):
        assert all(a.box.iou(b.box) < 0.2 for a in faces for b in faces if a is not b)


def test_whom_the_other_thread_saw_again_and_again_is_reported_once() -> None:
    """It may look around several times before the next frame is searched."""
    near, other = (BlazeFace(Faces(range="short", max_faces=EVERYBODY)) for _ in range(2))
    reach, ((crowded, truth),) = Reach(near, other, 10), crowd(1, 3, seed=1)
    for number in range(40):
        reach.look_around(frame(crowded, 6 * number))
    faces = reach.find(frame(crowded, 240))
    assert hits(faces, truth) == 3
    assert all(a.box.iou(b.box) < 0.2 for a in faces for b in faces if a is not b)


def test_a_near_face_costs_one_run_and_is_as_the_short_range_sees_it() -> None:
    pictures = [pixels for pixels, _ in crowd(40, 1, seed=1)]
    near = BlazeFace(Faces(range="short"))
    seen = list(watched(pictures))
    assert [faces for faces, _ in seen] == [near.find(frame(each, 0)) for each in pictures]
    assert sum(runs for _, runs in seen) <= 40 + 40 // 5 + 1, "and a tile every fifth frame"


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_comes_is_found_within_two_seconds_and_who_leaves_costs_nothing_more(backend: str) -> None:
    (crowded, truth), *_ = crowd(1, 3, seed=1)
    with closing(face_finder(Faces(backend, "auto"))) as finder:  # type: ignore[arg-type]
        counts = []
        for number in range(120):
            seen = frame(crowded if 30 <= number < 90 else NOBODY, number)
            counts.append(hits(finder.find(seen), truth))
            finder.look_around(seen)
    assert counts[:30] == [0] * 30 and {*counts[80:90]} == {3} and counts[90:] == [0] * 30
    runs = [runs for _, runs in watched([crowded] * 60 + [NOBODY] * 60)]
    assert sum(runs[61:]) <= 59 + 59 // 5 + 1


def test_a_clock_that_goes_back_or_stalls_does_no_harm() -> None:
    (crowded, truth), *_ = crowd(1, 10, seed=1)
    near, other = (BlazeFace(Faces(range="short", max_faces=EVERYBODY)) for _ in range(2))
    reach = Reach(near, other, 10)
    for moment in (1e6, *np.arange(0, 2, 1 / 30), 2.0, 2.0):
        seen = Frame(crowded, 0, float(moment), 0)
        faces = reach.find(seen)
        reach.look_around(seen)
    assert hits(faces, truth) == 10


def test_no_more_faces_are_reported_than_were_asked_for_and_they_are_the_largest() -> None:
    *_, (some, _) = watched([next(crowd(1, 10, seed=1))[0]] * 60, max_faces=4)
    *_, (every, _) = watched([next(crowd(1, 10, seed=1))[0]] * 60)
    assert some == every[:4] and len(every) == 10


@pytest.mark.parametrize("name", ["coffee", "hubble", "rocket"])
def test_without_faces_nothing_is_followed(name: str) -> None:
    picture = read_picture(ROOT / "tests" / "data" / "faceless" / f"{name}.jpg")
    seen = list(watched(drift(picture, 60, seed=1)))
    near = BlazeFace(Faces(range="short"))
    alone = sum(len(near.find(frame(pixels, 0))) for pixels in drift(picture, 60, seed=1))
    assert sum(len(faces) for faces, _ in seen) <= alone + 5
    assert sum(runs for _, runs in seen) < 90


def test_a_face_in_a_sheet_lies_where_it_does_in_the_picture() -> None:
    ((picture, truth),) = crowd(1, 9, seed=3)
    sheet = Sheet(picture, truth)
    faces = sheet.placed(BlazeFace(Faces(range="short")).find(frame(sheet.pixels, 0)))
    assert sheet.pixels.shape == (SIDE, SIDE, 3) and len(faces) == len(truth) == CELLS
    assert hits(tuple(faces), truth) == CELLS


@pytest.mark.parametrize(("width", "height"), [(640, 480), (270, 480), (1920, 1080), (4001, 37), (1, 1)])
def test_tiles_cover_the_frame(width: int, height: int) -> None:
    places, side = tiles(width, height)
    covered = np.zeros((height, width), bool)
    for left, top in places:
        assert 0 <= left < width and 0 <= top < height
        covered[top : top + side, left : left + side] = True
    assert covered.all() and len(places) <= 9


def test_a_face_that_sprang_aside_is_reported_once() -> None:
    """It is seen in the whole frame, and again in the cell about the place where it was."""
    ((picture, _),) = crowd(1, 1, seed=1)
    for pixels in (110, 120, 130):
        assert [len(faces) for faces, _ in watched([picture, np.roll(picture, pixels, axis=1)])] == [1, 1]

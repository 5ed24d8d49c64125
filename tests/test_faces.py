"""Faces: where they are in the frame, by both backends, and what damaged files and missing libraries do."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.footage import drift
from edge.config import Faces, Track
from edge.errors import EmotionEdgeError, ModelError
from edge.faces import blazeface, face_finder
from edge.faces import mediapipe as mediapipe_backend
from edge.faces.networks import NETWORKS
from edge.scene import Face, Frame
from edge.track import Tracker
from tests.conftest import needs_mediapipe

Picture = NDArray[np.uint8]

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "edge" / "assets" / "astronaut.jpg"
FACELESS = ROOT / "tests" / "data" / "faceless"
MEDIA = ROOT.parent / "shared" / "media"

MIN_SCORE = 0.5
SCORE_BAND = 0.01
"""Scores of the backends differ by 0.0017 at most on these media: a face this near to MIN_SCORE may be in one only."""

Backend = Literal["litert", "mediapipe"]
BOTH: tuple[Backend, Backend] = ("litert", "mediapipe")
BACKENDS = ["litert", pytest.param("mediapipe", marks=needs_mediapipe)]
Range = Literal["short", "full"]
RANGES = ["short", "full"]


def read(path: Path) -> Picture:
    picture: Picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return picture


def frame(pixels: Picture, number: int = 0) -> Frame:
    return Frame(pixels, captured_at=number / 30, moment=number / 30, number=number)


def found(pixels: Picture, settings: Faces) -> tuple[Face, ...]:
    with closing(face_finder(settings)) as finder:
        return finder.find(frame(pixels))


EXPECTED_DOUBTS = {("coffee", "short"), ("hubble", "short"), ("hubble", "full"), ("rocket", "full")}
"""Where the detector takes something for a face now and then."""


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("name", ["coffee", "hubble", "rocket"])
def test_where_there_is_no_face_none_is_believed(name: str, reach: Range) -> None:
    with closing(face_finder(Faces(range=reach))) as finder:
        tracker, doubted = Tracker(Track()), 0
        for number, pixels in enumerate(drift(read(FACELESS / f"{name}.jpg"), 100, seed=1)):
            seen = frame(pixels, number)
            tracks = tracker.update(finder.find(seen), seen.moment, partial(finder.is_face, seen))
            doubted += len(tracks.seen)
            assert not any(each.confirmed for each in tracks.seen)
    assert doubted or (name, reach) not in EXPECTED_DOUBTS


@pytest.mark.parametrize("reach", RANGES)
def test_a_face_is_one_at_a_closer_look(reach: Range) -> None:
    """A portrait over which the camera drifts, near and far; a face that is half out of the picture may be none."""
    sizes: list[tuple[int, int]] = [(640, 480), (320, 240)]
    clip = [frame(pixels) for size in sizes for pixels in drift(read(PORTRAIT), 40, seed=2, size=size)]
    with closing(face_finder(Faces(range=reach))) as finder:
        looked = [finder.is_face(seen, face) for seen in clip for face in finder.find(seen) if face.box.top > 0]
    assert len(looked) >= 30 and all(looked)


def pasted(picture: Picture, left: int, top: int, width: int = 512, height: int = 512) -> Picture:
    """The picture on a grey canvas."""
    canvas = np.full((height, width, 3), 128, np.uint8)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def key_points(face: Face) -> NDArray[np.float64]:
    """(6, 2) the six points of a face."""
    return np.array([face.right_eye, face.left_eye, face.nose, face.mouth, face.right_ear, face.left_ear])


def media() -> Iterator[tuple[str, Picture]]:
    """Each photo, and every tenth frame of each clip."""
    for path in sorted(MEDIA.glob("*.jpg")):
        yield path.name, read(path)
    for path in sorted(MEDIA.glob("*.mp4")):
        clip, number = cv2.VideoCapture(str(path)), 0
        while clip.grab():
            if number % 10 == 0:
                yield f"{path.name} {number}", cv2.cvtColor(clip.retrieve()[1], cv2.COLOR_BGR2RGB)
            number += 1
        clip.release()


def alone(faces: tuple[Face, ...], others: tuple[Face, ...]) -> list[Face]:
    """Those of `faces` that are surely above the threshold and are not among `others`."""
    return [
        face
        for face in faces
        if face.score > MIN_SCORE + SCORE_BAND and not any(face.box.iou(other.box) >= 0.9 for other in others)
    ]


@needs_mediapipe
@pytest.mark.skipif(not MEDIA.is_dir(), reason="the folder of test media is not beside this checkout")
@pytest.mark.parametrize("reach", RANGES)
def test_both_backends_find_the_same_faces(reach: Range) -> None:
    ours, theirs = (face_finder(Faces(name, reach, MIN_SCORE, 100)) for name in BOTH)
    pairs = 0
    with closing(ours), closing(theirs):
        for number, (name, pixels) in enumerate(media()):
            mine, other = ours.find(frame(pixels, number)), theirs.find(frame(pixels, number))
            assert not alone(mine, other) and not alone(other, mine), name
            for face in mine:
                for same in (each for each in other if each.box.iou(face.box) >= 0.9):
                    pairs += 1
                    assert np.abs(key_points(face) - key_points(same)).max() < 0.01 * face.box.width, name
                    assert abs(face.score - same.score) < SCORE_BAND, name
    assert pairs >= 40


@needs_mediapipe
@pytest.mark.parametrize("reach", RANGES)
def test_both_backends_find_the_same_face_in_the_portrait_that_ships(reach: Range) -> None:
    pixels = read(PORTRAIT)
    (ours,), (theirs,) = (found(pixels, Faces(name, reach)) for name in BOTH)
    assert ours.box.iou(theirs.box) >= 0.95
    assert np.abs(key_points(ours) - key_points(theirs)).max() < 0.5


@needs_mediapipe
def test_a_face_over_the_right_and_bottom_edges_is_the_same_to_both() -> None:
    pixels = np.ascontiguousarray(read(PORTRAIT)[:150, :245])
    (ours,), (theirs,) = (found(pixels, Faces(name)) for name in BOTH)
    assert ours.box.right > 245 and ours.box.bottom > 150
    assert ours.box.iou(theirs.box) >= 0.95


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((480, 640, 3), np.uint8), id="black"),
        pytest.param(np.full((480, 640, 3), 255, np.uint8), id="white"),
        pytest.param(np.full((1, 2000, 3), 90, np.uint8), id="1 high"),
        pytest.param(np.full((2000, 1, 3), 90, np.uint8), id="1 wide"),
        pytest.param(np.full((16, 16, 3), 90, np.uint8), id="16x16"),
        pytest.param(np.full((1, 1, 3), 90, np.uint8), id="1x1"),
        pytest.param(np.full((37, 4001, 3), 90, np.uint8), id="odd and wide"),
    ],
)
def test_a_frame_without_a_face_gives_none_and_no_exception(pixels: Picture, backend: Backend, reach: Range) -> None:
    """T08: faces[0] of nothing."""
    assert found(pixels, Faces(backend, reach)) == ()


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_gives_no_exception_and_no_sure_face(backend: Backend, reach: Range) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    assert all(face.score < 0.6 for face in found(noise, Faces(backend, reach)))


def test_a_frame_without_a_face_costs_no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(blazeface, "decoded", lambda *given: decoded.append(given))
    assert found(np.zeros((480, 640, 3), np.uint8), Faces()) == ()
    assert not decoded


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_face_is_found_in_a_grey_picture_and_in_any_memory_layout(backend: Backend, reach: Range) -> None:
    pixels = read(PORTRAIT)
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mirrored_view = pixels[:, ::-1]
    with closing(face_finder(Faces(backend, reach))) as finder:
        assert len(finder.find(frame(grey))) == 1
        assert finder.find(frame(mirrored_view, 1)) == finder.find(frame(mirrored_view.copy(), 2)) != ()


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_boxes_and_points_are_in_pixels_of_the_frame(backend: Backend, reach: Range) -> None:
    # Moves by whole cells of the network's coarsest grid, so that only our geometry can make a difference.
    face_alone = read(PORTRAIT)[:256, 96:352]
    (at_origin,) = found(pasted(face_alone, 0, 0), Faces(backend, reach))
    for left, top in ((128, 0), (0, 128), (256, 128)):
        (moved,) = found(pasted(face_alone, left, top), Faces(backend, reach))
        for side, by in (("left", left), ("right", left), ("top", top), ("bottom", top)):
            assert getattr(moved.box, side) - getattr(at_origin.box, side) == pytest.approx(by, abs=2)
        eyes_nose_mouth = (key_points(moved) - key_points(at_origin))[:4]
        assert np.abs(eyes_nose_mouth - (left, top)).max() < 2


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("cut", [(slice(None), slice(100, 400)), (slice(0, 300), slice(None))], ids=["high", "wide"])
def test_a_frame_that_is_not_square_is_seen_between_black_bars(cut: tuple[slice, slice], reach: Range) -> None:
    part = read(PORTRAIT)[cut]
    height, width = part.shape[:2]
    left, top = (512 - width) // 2, (512 - height) // 2
    squared = np.zeros((512, 512, 3), np.uint8)
    squared[top : top + height, left : left + width] = part
    (barred,), (bare,) = found(squared, Faces(range=reach)), found(part, Faces(range=reach))
    assert bare.score == barred.score
    assert np.abs(key_points(barred) - key_points(bare) - (left, top)).max() < 0.001
    assert bare.box.left + left == pytest.approx(barred.box.left, abs=0.001)
    assert bare.box.bottom + top == pytest.approx(barred.box.bottom, abs=0.001)


@pytest.mark.parametrize("reach", RANGES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_key_points_stand_where_they_do_in_a_face_that_looks_at_the_camera(backend: Backend, reach: Range) -> None:
    (face,) = found(read(PORTRAIT), Faces(backend, reach))
    box = face.box
    assert box.left < face.right_ear[0] < face.right_eye[0] < face.nose[0] < face.left_eye[0] < face.left_ear[0]
    assert box.top < face.right_eye[1] < face.nose[1] < face.mouth[1] < box.bottom
    # Marked by hand in the portrait: the pupils.
    assert face.right_eye == pytest.approx((204, 101), abs=8) and face.left_eye == pytest.approx((247, 103), abs=8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_largest_faces_come_first_and_are_the_ones_that_are_kept(backend: Backend) -> None:
    portrait = read(PORTRAIT)
    pixels = pasted(portrait, 384, 0, width=896)
    pixels[:384, :384] = cv2.resize(portrait, (384, 384), interpolation=cv2.INTER_AREA)
    larger, smaller = found(pixels, Faces(backend, "full"))
    assert larger.box.left > 384 > smaller.box.right
    assert larger.score < smaller.score, "the order is not that of the scores"
    assert found(pixels, Faces(backend, "full", max_faces=1)) == (larger,)


def test_a_face_below_the_score_that_is_asked_for_is_no_face() -> None:
    pixels = read(PORTRAIT)
    (face,) = found(pixels, Faces(min_score=0.5))
    assert len(found(pixels, Faces(min_score=face.score - 0.001))) == 1
    assert found(pixels, Faces(min_score=face.score + 0.001)) == ()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_carried_from_one_frame_to_the_next(backend: Backend) -> None:
    portrait, black = read(PORTRAIT), np.zeros((480, 640, 3), np.uint8)
    with closing(face_finder(Faces(backend))) as finder:
        first = finder.find(frame(portrait, 0))
        assert finder.find(frame(black, 1)) == ()
        assert finder.find(frame(portrait[:400, 100:], 2)) != first
        assert finder.find(frame(portrait, 3)) == first != ()


@needs_mediapipe
def test_frames_with_the_same_or_an_earlier_time_do_not_stop_mediapipe() -> None:
    portrait = read(PORTRAIT)
    with closing(face_finder(Faces("mediapipe"))) as finder:
        faces = [finder.find(Frame(portrait, at, at, 0)) for at in (5.0, 5.0, 5.0004, 3.0, 5.001)]
    assert len(faces[0]) == 1 and faces == faces[:1] * 5


def test_the_frame_is_not_written_to() -> None:
    pixels = read(PORTRAIT)
    pixels.flags.writeable = False
    assert len(found(pixels, Faces())) == 1


def test_anchors_lie_cell_by_cell_in_the_middle_of_their_cells() -> None:
    short, full = NETWORKS["short"].anchors(), NETWORKS["full"].anchors()
    assert short.shape == (896, 2) and full.shape == (2304, 2)
    assert short[:5].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4], [20, 4]]
    assert short[512:519].tolist() == [[8, 8]] * 6 + [[24, 8]]
    assert full[[0, 1, 48]].tolist() == [[2, 2], [6, 2], [2, 6]]


def boxes(*corners: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """(n, 8, 2) of left, top, right, bottom; the six points at the top-left corner."""
    points = [[[left, top], [right, bottom], *[[left, top]] * 6] for left, top, right, bottom in corners]
    return np.array(points, np.float32)


def test_boxes_that_overlap_become_their_mean_weighted_by_score() -> None:
    points = boxes((4, 0, 14, 10), (50, 50, 60, 60), (0, 0, 10, 10))
    (face, score), (other, other_score) = blazeface.merged(points, np.array([0.3, 0.6, 0.9], np.float32))
    assert face[:3].tolist() == [[1, 0], [11, 10], [1, 0]] and score == pytest.approx(0.9)
    assert other[:2].tolist() == [[50, 50], [60, 60]] and other_score == pytest.approx(0.6)


def test_boxes_that_overlap_by_less_than_the_threshold_stay_apart() -> None:
    points = boxes((0, 0, 10, 10), (5.5, 0, 15.5, 10), (20, 0, 30, 10), (25, 0, 35, 10))
    assert blazeface.overlaps(points[:2])[1] == pytest.approx(4.5 / 15.5)  # below 0.3
    assert blazeface.overlaps(points[2:])[1] == pytest.approx(5 / 15)
    assert len(list(blazeface.merged(points, np.array([0.9, 0.8, 0.7, 0.6], np.float32)))) == 3


def test_boxes_without_area_or_turned_inside_out_end() -> None:
    points = boxes((5, 5, 5, 5), (5, 5, 5, 5), (10, 10, 0, 0))
    faces = list(blazeface.merged(points, np.array([0.9, 0.8, 0.7], np.float32)))
    assert len(faces) == 3 and all(np.isfinite(face).all() for face, _ in faces)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reach", RANGES)
def test_a_damaged_network_is_refused_by_its_hash(
    backend: Backend, reach: Range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(NETWORKS[reach].read())
    content[len(content) // 2] ^= 1  # the interpreter alone would load this
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(content)
    monkeypatch.setitem(NETWORKS, reach, replace(NETWORKS[reach], path=damaged))
    with pytest.raises(ModelError, match=r"damaged\.tflite: \d+ bytes with sha256 .* install emotion-edge again$"):
        face_finder(Faces(backend, reach))


def test_a_missing_network_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "short", replace(NETWORKS["short"], path=tmp_path / "gone.tflite"))
    with pytest.raises(ModelError, match=r"gone\.tflite: cannot read the face detector: No such file"):
        face_finder(Faces())


def test_without_mediapipe_its_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(EmotionEdgeError, match=r'pip install "emotion-edge\[mediapipe\]" and apt install libegl1'):
        face_finder(Faces("mediapipe"))


DETECTION = """
import os, socket, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "mediapipe":
            print(*(os.environ.get(each) for each in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")))
            print(os.environ["no_proxy"], os.environ["NO_PROXY"])
sys.meta_path.insert(0, Watch())
try:
    socket.create_connection(("127.0.0.1", 10), 1)
except OSError:
    pass
import cv2
from edge.config import Faces
from edge.faces import face_finder
from edge.scene import Frame
pixels = cv2.imread(sys.argv[1])[..., ::-1]
finder = face_finder(Faces("mediapipe"))
faces = [finder.find(Frame(pixels, number, number, number)) for number in range(5)]
finder.close()
print(len(faces[-1]))
"""
"""A run of the detector, which first says what the environment is at the import, and knocks at port 10."""


def traceable() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


@needs_mediapipe
@pytest.mark.skipif(not traceable(), reason="strace is not installed, or may not trace here")
def test_mediapipe_speaks_to_nobody(tmp_path: Path) -> None:
    """Its reports to a Google host end at a closed port of this machine; not even the host's name is asked for."""
    log = tmp_path / "calls"
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    environment = {"PATH": "/usr/bin:/bin", "no_proxy": "*", "NO_PROXY": ".googleapis.com"}
    run = subprocess.run(
        ["strace", "-f", "-s", "0", "-e", calls, "-o", str(log), sys.executable, "-c", DETECTION, str(PORTRAIT)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    proxies, exceptions, faces = run.stdout.splitlines()
    assert proxies.split() == [mediapipe_backend.CLOSED_PORT] * 4
    assert exceptions.split() == ["localhost,127.0.0.1"] * 2
    assert faces == "1"
    reached = re.findall(r'sin6?_port=htons\((\d+)\).*?"([0-9a-f.:]+)"', log.read_text())
    assert ("10", "127.0.0.1") in reached, "the trace sees connections"
    assert set(reached) <= {("10", "127.0.0.1"), ("9", "127.0.0.1")}

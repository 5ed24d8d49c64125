"""Sources: the demo, films, pictures and cameras give upright RGB frames in order, or one sentence why not."""

import shutil
import subprocess
import sys
import time
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge import config
from edge.config import Camera
from edge.errors import SourceError
from edge.faces import face_finder
from edge.pipeline import Pipeline, Stage
from edge.scene import Frame, Scene
from edge.sources import open_source
from edge.sources.demo import ASSETS, SECONDS, DemoClip
from edge.sources.folder import PIXELS_LIMIT, ImageFolder, read_picture, size_of
from edge.sources.guard import Guarded
from edge.sources.repeated import Repeated
from edge.sources.video import USUAL_FPS, VideoFile

MEDIA = Path(__file__).parents[2] / "shared" / "media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="the folder of test media is not beside this checkout")
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)

FILM_FPS, FILM_FRAMES = 10, 20


def keep(source, frames) -> None:
    """Append each frame as it comes; a list(source) would be lost with an error."""
    for frame in source:
        frames.append(frame)


def refused(opening) -> str:
    """The one line with which `opening` is refused."""
    with pytest.raises(SourceError) as caught:
        opening()
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# The demo


def test_a_frame_of_the_demo_is_a_pure_function_of_its_number():
    forwards, other = DemoClip(160, 120), DemoClip(160, 120)
    wanted = [0, 100, 250, 420, 520, 800, 899]
    pictures = {number: forwards.picture(number) for number in wanted}
    for number in reversed(wanted):
        assert np.array_equal(other.picture(number), pictures[number])
    assert all(np.any(pictures[one] != pictures[next_]) for one, next_ in pairwise(wanted))


def test_the_demo_has_as_many_frames_as_it_says_and_no_two_alike():
    clip = DemoClip(160, 120, fps=4, paced=False)
    frames = list(clip)
    assert len(frames) == clip.length == SECONDS * 4
    assert [frame.number for frame in frames] == list(range(clip.length))
    assert [frame.moment for frame in frames] == [number / 4 for number in range(clip.length)]
    assert len({frame.pixels.tobytes() for frame in frames}) == len(frames)


def test_the_paced_demo_is_due_at_its_moments_and_the_unpaced_when_it_is_made():
    paced = list(islice(DemoClip(64, 64, fps=30), 10))
    assert DemoClip(64, 64).live
    due = [frame.captured_at - paced[0].captured_at for frame in paced]
    assert due == pytest.approx([frame.moment for frame in paced], abs=1e-6)
    unpaced = list(islice(DemoClip(64, 64, fps=0.1, paced=False), 3))
    assert unpaced[2].moment == 20
    assert unpaced[2].captured_at <= time.monotonic()  # and not 20 s from now


@pytest.mark.parametrize(("width", "height"), [(64, 64), (320, 240), (1280, 720), (480, 800), (641, 479)])
def test_the_demo_comes_in_every_size(width, height):
    for frame in islice(DemoClip(width, height, fps=2, paced=False), 0, None, 6):
        assert frame.pixels.shape == (height, width, 3)
        assert frame.pixels.dtype == np.uint8
        assert frame.took_ms > 0


def faces_at(clip: DemoClip, seconds: list[float], fps: float = 30.0) -> list[int]:
    with closing(face_finder(config.Faces())) as finder:
        return [len(finder.find(Frame(clip.picture(round(at * fps)), 0.0, at, 0))) for at in seconds]


def test_the_demo_has_one_face_several_and_none():
    assert faces_at(DemoClip(640, 480), [2, 10, 14, 18.5, 22, 28]) == [1, 2, 0, 1, 0, 2]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1280, 720), (480, 640)])
def test_the_demo_has_several_faces_and_none_in_other_sizes_too(width, height):
    assert faces_at(DemoClip(width, height), [14, 18.5, 22, 28]) == [0, 1, 0, 2]


# Pictures


def colours(tmp_path, name, **exif):
    """A picture, 40 wide and 20 high, red on its left half and blue on its right."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20], pixels[:, 20:] = RED, BLUE
    path = tmp_path / name
    tags = Image.Exif()
    if "orientation" in exif:
        tags[0x0112] = exif["orientation"]
    Image.fromarray(pixels).save(path, exif=tags, quality=95)
    return path


def near(pixel, colour):
    return np.abs(pixel.astype(int) - colour).max() < 30


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp"])
def test_a_picture_is_rgb(tmp_path, suffix):
    pixels = read_picture(colours(tmp_path, "p" + suffix))
    assert pixels.shape == (20, 40, 3)
    assert near(pixels[10, 5], RED) and near(pixels[10, 35], BLUE)


@pytest.mark.parametrize(
    ("orientation", "shape", "red", "blue"),
    [
        (1, (20, 40), (10, 5), (10, 35)),
        (2, (20, 40), (10, 35), (10, 5)),
        (3, (20, 40), (10, 35), (10, 5)),
        (6, (40, 20), (5, 10), (35, 10)),
        (8, (40, 20), (35, 10), (5, 10)),
    ],
)
def test_a_photo_is_turned_upright_by_its_exif(tmp_path, orientation, shape, red, blue):
    pixels = read_picture(colours(tmp_path, "p.jpg", orientation=orientation))
    assert pixels.shape == (*shape, 3)
    assert near(pixels[red], RED) and near(pixels[blue], BLUE)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_a_picture_of_any_kind_becomes_three_channels_of_bytes(tmp_path, mode):
    grey = Image.new("I;16", (8, 6), 300) if mode == "I;16" else Image.new("RGB", (8, 6), RED).convert(mode)
    grey.save(tmp_path / "p.png")
    pixels = read_picture(tmp_path / "p.png")
    assert (pixels.shape, pixels.dtype) == ((6, 8, 3), np.uint8)


def test_a_folder_is_read_by_name_with_rising_numbers_and_moments(tmp_path):
    for name in ("b.jpg", "a.png", "Ünïcode 名.webp", "c d.bmp"):
        colours(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.jpg").mkdir()
    source = ImageFolder(tmp_path, fps=10)
    frames = list(source)
    assert [Path(frame.name).name for frame in frames] == ["a.png", "b.jpg", "c d.bmp", "Ünïcode 名.webp"]
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert [frame.moment for frame in frames] == [0, 0.1, 0.2, 0.3]
    assert (source.length, source.skipped, source.live, source.name) == (4, 0, False, tmp_path.name)


def test_a_damaged_picture_is_passed_over_said_and_counted_each_time(tmp_path, caplog):
    for name in ("a.jpg", "d.jpg"):
        colours(tmp_path, name)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    (tmp_path / "c.png").write_bytes(b"")
    source = ImageFolder(tmp_path)
    for _ in range(2):
        caplog.clear()
        assert [(frame.number, Path(frame.name).name) for frame in source] == [(0, "a.jpg"), (1, "d.jpg")]
        assert source.skipped == 2
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
        assert "b.jpg" in caplog.messages[0] and "c.png: an empty file" in caplog.messages[1]


def test_a_folder_of_damaged_pictures_is_refused(tmp_path):
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
    source = ImageFolder(tmp_path)
    assert f"{tmp_path}: none of 2 pictures can be read" in refused(lambda: list(source))


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    assert "a folder without pictures: expected .bmp, .jpeg, .jpg" in refused(lambda: ImageFolder(tmp_path))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_picture_cut_anywhere_is_refused_without_another_word(tmp_path, suffix, capfd):
    whole = colours(tmp_path, "whole" + suffix).read_bytes()
    path = tmp_path / ("cut" + suffix)
    for share in (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert refused(lambda: read_picture(path)).startswith(str(path))
    assert capfd.readouterr().err == ""


def test_a_text_that_says_it_is_a_picture_is_refused(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("hello\n")
    assert refused(lambda: ImageFolder(path)) == (
        f"{path}: 6 bytes that are no picture: expected a JPEG, PNG, WebP or BMP"
    )


def test_a_missing_picture_is_refused(tmp_path):
    assert "none.jpg: No such file" in refused(lambda: ImageFolder(tmp_path / "none.jpg"))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = colours(tmp_path, "huge.png")
    content = bytearray(path.read_bytes())
    content[16:24] = (20_000).to_bytes(4) * 2
    path.write_bytes(content)
    assert f"20000x20000 pixels: expected at most {PIXELS_LIMIT}" in refused(lambda: read_picture(path))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_the_header_tells_the_size(tmp_path, suffix):
    assert size_of(colours(tmp_path, "p" + suffix).read_bytes()) == (40, 20)


# Films


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A film of FILM_FRAMES pictures at FILM_FPS: the red of their upper half tells the number, the lower is noise."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FILM_FPS, (64, 48))
    for number in range(FILM_FRAMES):
        picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        picture[:24] = (0, 0, number * 12)
        writer.write(picture)
    writer.release()
    return path


def told_numbers(frames) -> list[int]:
    return [round(frame.pixels[4:12, :, 0].mean() / 12) for frame in frames]


def test_every_frame_of_a_film_comes_once_and_in_order(film):
    source = VideoFile(film, paced=False)
    frames = list(source)
    assert told_numbers(frames) == [frame.number for frame in frames] == list(range(FILM_FRAMES))
    assert (source.length, source.live, source.name) == (FILM_FRAMES, False, "film.avi")
    assert [frame.moment for frame in frames] == pytest.approx([number / FILM_FPS for number in range(FILM_FRAMES)])
    assert all(before.captured_at <= after.captured_at for before, after in pairwise(frames))


def test_a_film_can_be_read_again(film):
    source = VideoFile(film, paced=False)
    assert told_numbers(source) == told_numbers(source)


def test_a_film_is_rgb(film):
    last = list(VideoFile(film, paced=False))[-1].pixels
    assert last.shape == (48, 64, 3)
    assert near(last[8, 20], (228, 0, 0))


def test_a_paced_film_is_due_at_its_moments(film):
    source = VideoFile(film, paced=True)
    frames = list(source)  # nothing waits here: the Pipeline does
    assert source.live
    assert told_numbers(frames) == list(range(FILM_FRAMES))
    due = [frame.captured_at - frames[0].captured_at for frame in frames]
    assert due == pytest.approx([frame.moment for frame in frames], abs=1e-6)


def numbers_at_changing_rates(source) -> list[int]:
    """Of four frames, then of four while 5 a second are wanted, then of four again."""
    frames = iter(source)
    numbers = []
    for source.rate_fps in (None, 5, None):
        numbers += [frame.number for frame in islice(frames, 4)]
    return numbers


def test_of_a_film_fewer_frames_can_be_had_each_what_it_is(film):
    source = VideoFile(film)
    assert numbers_at_changing_rates(source) == [0, 1, 2, 3, 5, 7, 9, 11, 12, 13, 14, 15]
    source.rate_fps = 5
    assert [*told_numbers(source)] == [frame.number for frame in source] == [*range(0, FILM_FRAMES, 2)]


def test_of_the_demo_fewer_frames_can_be_had():
    assert numbers_at_changing_rates(DemoClip(160, 120, 10)) == [0, 1, 2, 3, 5, 7, 9, 11, 12, 13, 14, 15]


def test_what_is_repeated_is_as_sparing_as_it_was(film):
    assert numbers_at_changing_rates(Repeated(VideoFile(film)))[:8] == [0, 1, 2, 3, 5, 7, 9, 11]
    pictures = Repeated(ImageFolder(ASSETS))
    pictures.rate_fps = 4
    assert [frame.number for frame in islice(pictures, 4)] == [0, 1, 2, 3]


def test_without_pace_a_pipeline_sees_every_frame_of_a_film_once(film):
    with Pipeline(VideoFile(film, paced=False), [Stage("see", lambda frame: Scene(frame, ()))], every=True) as scenes:
        assert told_numbers(scene.frame for scene in scenes) == list(range(FILM_FRAMES))
    assert sum(scenes.dropped.values()) == 0


def test_a_film_cut_off_gives_what_it_has_and_then_says_so(film, tmp_path):
    cut = tmp_path / "cut.avi"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    frames = []
    sentence = refused(lambda: keep(VideoFile(cut, paced=False), frames))
    assert 0 < len(frames) < FILM_FRAMES
    assert f"{cut}: ends after {len(frames) / FILM_FPS:.1f} s of 2.0 s: damaged or truncated" in sentence


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "an empty file: expected a video (MP4"),
        (b"hello\n", "6 bytes that cannot be read as a video"),
        (b"\0" * 5000, "5000 bytes that cannot be read as a video"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08free", "32 bytes that cannot be read as a video"),
    ],
    ids=["empty", "text", "zeros", "cut before its index"],
)
def test_what_is_no_film_is_refused(tmp_path, content, expected):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    sentence = refused(lambda: VideoFile(path))
    assert sentence.startswith(f"{path}: {expected}")


def test_a_missing_film_is_refused(tmp_path):
    assert "none.mp4: no file" in refused(lambda: VideoFile(tmp_path / "none.mp4"))


def test_a_film_that_vanished_since_is_refused(film, tmp_path):
    path = Path(shutil.copy(film, tmp_path))
    source = VideoFile(path)
    path.unlink()
    assert "no file" in refused(lambda: list(source))


@pytest.mark.parametrize("name", ["Ünïcode 名 film.avi", "cam:1.avi", "%02d.avi", "-i.avi"])
def test_a_film_may_have_any_name(film, tmp_path, name, monkeypatch):
    shutil.copy(film, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoFile(Path(name), paced=False))) == FILM_FRAMES


def ffmpeg(*arguments) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def mp4(film) -> Path:
    """The film as MP4, its index first, its upper half red on the left and blue on the right."""
    path = film.with_name("red.mp4")
    boxes = "drawbox=x=0:y=0:w=32:h=24:color=0xFA0000:t=fill,drawbox=x=32:y=0:w=32:h=24:color=0x0000FA:t=fill"
    ffmpeg("-i", film, "-vf", boxes, "-c:v", "mpeg4", "-q:v", 2, "-movflags", "+faststart", path)
    return path


@needs_ffmpeg
def test_a_film_is_turned_upright_if_its_container_says_so(mp4, tmp_path):
    turned = tmp_path / "turned.mp4"
    ffmpeg("-i", mp4, "-c", "copy", turned)
    content = bytearray(turned.read_bytes())
    # The matrix of the track header, fixed-point numbers (ISO/IEC 14496-12, 8.3.2): a quarter turn clockwise.
    at = content.index(b"tkhd") + 4 + 40
    one, none, whole = (0x10000).to_bytes(4), bytes(4), (0x40000000).to_bytes(4)
    assert content[at : at + 36] == one + none * 3 + one + none * 3 + whole
    content[at : at + 36] = none + one + none + (-0x10000).to_bytes(4, signed=True) + none * 4 + whole
    turned.write_bytes(content)
    upright = next(iter(VideoFile(mp4, paced=False))).pixels
    first = next(iter(VideoFile(turned, paced=False))).pixels
    assert near(upright[12, 8], RED) and near(upright[12, 56], BLUE)
    assert first.shape == (64, 48, 3)
    assert near(first[8, 36], RED) and near(first[56, 36], BLUE)


@needs_ffmpeg
def test_an_mp4_cut_off_behind_its_index_says_so_after_its_last_frame(mp4, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(mp4.read_bytes()[: mp4.stat().st_size // 2])
    frames = []
    assert "ends after" in refused(lambda: keep(VideoFile(cut, paced=False), frames))
    assert 0 < len(frames) < FILM_FRAMES


@needs_ffmpeg
def test_a_film_that_tells_neither_length_nor_rate_is_read_all_the_same(film, tmp_path):
    raw = tmp_path / "raw.mjpeg"
    ffmpeg("-i", film, "-c", "copy", "-f", "mjpeg", raw)
    source = VideoFile(raw, paced=False)
    moments = [frame.moment for frame in source]
    assert source.length is None
    assert len(moments) == FILM_FRAMES
    assert all(before < after for before, after in pairwise(moments))


@needs_ffmpeg
def test_a_sound_file_is_no_film(tmp_path):
    path = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", path)
    assert "cannot be read as a video" in refused(lambda: VideoFile(path))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_container_without_a_sound_rate_or_times_is_played_at_the_usual_one(film, monkeypatch, fps):
    real = cv2.VideoCapture

    class Film:
        """The real one, but for what an odd container says of itself."""

        def __init__(self, *arguments):
            self._film = real(*arguments)

        def get(self, prop):
            odd = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_FRAME_COUNT: -(2.0**63), cv2.CAP_PROP_POS_MSEC: 0.0}
            return odd[prop]

        def __getattr__(self, name):
            return getattr(self._film, name)

    monkeypatch.setattr(cv2, "VideoCapture", Film)
    source = VideoFile(film, paced=False)
    assert source.length is None
    assert [frame.moment for frame in source] == pytest.approx([number / USUAL_FPS for number in range(FILM_FRAMES)])


@needs_media
def test_a_film_of_a_phone_has_rising_moments_and_as_many_frames_as_it_says():
    source = VideoFile(MEDIA / "single_face.mp4", paced=False)
    frames = list(source)
    assert len(frames) == source.length == 72
    assert all(before.moment < after.moment for before, after in pairwise(frames))
    assert frames[0].pixels.shape == (360, 640, 3)


# Which source is meant


REFUSE = """
import sys
from edge.config import Camera
from edge.errors import SourceError
from edge.sources import open_source

try:
    for _ in open_source(Camera(source=sys.argv[1])):
        pass
except SourceError as error:
    print(error)
"""


@pytest.mark.parametrize("said", ["/dev/video99", "text.mp4", "cut.mp4", "cut.avi", "cut.jpg", "cut.bmp"])
def test_of_what_is_refused_the_libraries_say_nothing_themselves(film, tmp_path, said):
    cut = {
        ".mp4": b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08free",
        ".avi": film.read_bytes()[: film.stat().st_size // 2],
        ".jpg": colours(tmp_path, "p.jpg").read_bytes()[:-200],
        ".bmp": colours(tmp_path, "p.bmp").read_bytes()[:-200],
    }
    path = tmp_path / said
    if path.parent == tmp_path:
        path.write_bytes(cut[path.suffix] if path.stem == "cut" else b"hello\n")
    # A process of its own: OpenCV and FFmpeg read how much to say once.
    command = [sys.executable, "-c", REFUSE, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(path) in done.stdout and done.stdout.count("\n") == 1


@pytest.mark.parametrize("said", ["0", "7", "/dev/video0", "/dev/v4l/by-id/usb-cam"])
def test_a_number_or_a_device_is_a_camera(said):
    source = open_source(Camera(source=said))
    assert isinstance(source, Guarded)
    assert source.name == (f"/dev/video{said}" if said.isdecimal() else said)
    assert (source.live, source.length) == (True, None)


def test_the_demo_has_the_size_rate_and_pace_of_the_settings():
    source = open_source(Camera(source="demo", width=320, height=200, fps=10, pace=False))
    assert isinstance(source, DemoClip)
    assert (source.live, source.length) == (False, 300)
    assert next(iter(source)).pixels.shape == (200, 320, 3)


@pytest.mark.parametrize("pace", [True, False])
def test_a_file_is_a_film_in_its_own_time_or_not(film, pace):
    source = open_source(Camera(source=str(film), pace=pace))
    assert isinstance(source, VideoFile)
    assert source.live is pace


def test_a_folder_or_a_picture_is_pictures(tmp_path, monkeypatch):
    picture = colours(tmp_path, "p.JPG")
    monkeypatch.setenv("HOME", str(tmp_path))
    for said in (tmp_path, picture, "~", "~/p.JPG"):
        source = open_source(Camera(source=str(said)))
        assert isinstance(source, ImageFolder)
        assert (source.length, source.live) == (1, False)


@pytest.mark.parametrize(
    "said", ["", "nonsense", "²", "-1", "none.mp4", "none.jpg", "~nobody9/p.jpg", "x" * 300, "a\0.jpg", "rtsp://x/y"]
)
def test_nonsense_is_no_source(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = refused(lambda: open_source(Camera(source=said)))
    assert sentence.startswith(
        f'no source {said!r}: expected "demo", a camera (0, /dev/video0, picamera), a video file'
    )


def test_what_is_repeated_goes_on_with_rising_numbers_and_moments(short_clip):
    source = open_source(Camera(str(short_clip), pace=False, repeat=True))
    assert (source.name, source.live, source.length) == (short_clip.name, False, None)
    with closing(iter(source)) as frames:
        seen = [next(frames) for _ in range(75)]
    assert [frame.number for frame in seen] == list(range(75))
    steps = np.diff([frame.moment for frame in seen])
    assert steps == pytest.approx(np.full(74, 1 / 15), abs=0.001)
    assert np.array_equal(seen[0].pixels, seen[30].pixels)
    assert not np.array_equal(seen[0].pixels, seen[29].pixels)


def test_a_camera_is_not_repeated():
    assert not isinstance(open_source(Camera("0", repeat=True)), Repeated)

"""Faces cut out of photos: by the device's detector, framed as the device frames them, and nothing lost unsaid."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract import InputSpec, crop
from edge.errors import OutputError, SettingsError, SourceError
from edge.perceive import corners
from edge.sources.folder import read_picture
from train import importers
from train.extract import REPORT, Extraction, detected, extract

ROOT = Path(__file__).parents[1]
ASTRONAUT, HOPPER = (ROOT / "edge" / "assets" / name for name in ("astronaut.jpg", "grace_hopper.jpg"))
MEDIA = ROOT.parent / "shared" / "media"


def put(path: Path, pixels: np.ndarray) -> Path:
    """An RGB picture as a file, without loss where the suffix says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return path


def side_by_side() -> np.ndarray:
    """A photo of two people, made of the portraits that ship; the right one is the smaller."""
    left, right = read_picture(ASTRONAUT)[:320, 80:400], read_picture(HOPPER)[:512]
    return np.hstack([left, cv2.resize(right, (320, 320), interpolation=cv2.INTER_AREA)])


def no_face() -> np.ndarray:
    return np.repeat(np.tile(np.linspace(0, 255, 200).astype(np.uint8), (150, 1))[..., np.newaxis], 3, axis=2)


def report(out: Path) -> list[dict[str, str]]:
    with (out / REPORT).open(newline="") as stream:
        return list(csv.DictReader(stream))


def written(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))


def test_every_photo_is_in_the_report_and_the_folders_stay(tmp_path):
    """S08: the same folders, and a line for whatever became of a photo."""
    source, out = tmp_path / "photos", tmp_path / "faces"
    put(source / "train" / "happy" / "a.png", read_picture(ASTRONAUT))
    put(source / "test" / "neutral" / "b.jpg", read_picture(HOPPER))
    put(source / "test" / "neutral" / "empty.png", no_face())
    put(source / "train" / "happy" / "far.png", cv2.resize(read_picture(ASTRONAUT), (140, 140)))
    (source / "train" / "happy" / "cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:300])
    (source / "train" / "happy" / "film.gif").write_bytes(b"GIF89a")
    (source / "notes.txt").write_text("no photo")
    (source / ".cache").mkdir()
    (source / ".cache" / "thumb.png").write_bytes(b"no photo of the user's")
    counts = extract(source, out)
    assert {row["photo"]: row["outcome"] for row in report(out)} == {
        "train/happy/a.png": "written",
        "test/neutral/b.jpg": "written",
        "test/neutral/empty.png": "no face",
        "train/happy/far.png": "too small",
        "train/happy/cut.jpg": "unreadable",
        "train/happy/film.gif": "unreadable",
    }
    assert counts == {"written": 2, "no face": 1, "too small": 1, "unreadable": 2}
    assert written(out) == ["test/neutral/b.jpg-1.png", "train/happy/a.png-1.png"]
    assert {row["file"] for row in report(out) if row["outcome"] == "written"} == set(written(out))
    why = {row["photo"]: row["detail"] for row in report(out) if row["outcome"] == "unreadable"}
    assert "truncated" in why["train/happy/cut.jpg"] and "expected a JPEG" in why["train/happy/film.gif"]


def test_what_is_written_is_the_device_s_own_crop_of_the_device_s_own_face(tmp_path):
    put(tmp_path / "photos" / "a.png", read_picture(ASTRONAUT))
    extract(tmp_path / "photos", tmp_path / "faces")
    spec = InputSpec(side=96, channels=3)
    photo = read_picture(ASTRONAUT)
    (face,) = detected(Extraction().finder(), photo)
    expected = crop(photo, spec, corners(face, spec))
    np.testing.assert_array_equal(read_picture(tmp_path / "faces" / "a.png-1.png"), expected)
    assert report(tmp_path / "faces")[0]["face_px"] == str(round(face.box.width))


def test_a_tilted_face_is_put_upright(tmp_path):
    photo = read_picture(ASTRONAUT)
    tilt = cv2.getRotationMatrix2D((224, 128), -15, 1)
    put(tmp_path / "photos" / "straight.png", photo)
    put(tmp_path / "photos" / "tilted.png", cv2.warpAffine(photo, tilt, (512, 512)))
    extract(tmp_path / "photos", tmp_path / "faces")
    straight, tilted = (
        read_picture(tmp_path / "faces" / f"{name}.png-1.png")[..., 1] for name in ("straight", "tilted")
    )
    assert np.corrcoef(straight.ravel(), tilted.ravel())[0, 1] > 0.85
    turned = cv2.warpAffine(straight, cv2.getRotationMatrix2D((48, 48), -15, 1), (96, 96))
    assert np.corrcoef(turned.ravel(), tilted.ravel())[0, 1] < 0.7


@pytest.mark.parametrize(
    ("which", "outcomes"),
    [
        ("largest", ["written", "several faces"]),
        ("all", ["written", "written"]),
        ("only", ["several faces", "several faces"]),
    ],
)
def test_of_several_faces_the_largest_all_or_none_are_written(which, outcomes, tmp_path):
    """T08: faces[0] is not whoever the detector names first."""
    put(tmp_path / "photos" / "two.png", side_by_side())
    extract(tmp_path / "photos", tmp_path / "faces", Extraction(which=which))
    rows = report(tmp_path / "faces")
    assert [row["outcome"] for row in rows] == outcomes
    assert [(row["faces"], row["face"]) for row in rows] == [("2", "1"), ("2", "2")]
    assert int(rows[0]["face_px"]) > int(rows[1]["face_px"])
    assert len(written(tmp_path / "faces")) == outcomes.count("written")


def test_a_smaller_limit_lets_smaller_faces_through(tmp_path):
    put(tmp_path / "photos" / "far.png", cv2.resize(read_picture(ASTRONAUT), (140, 140)))
    for limit, outcome in ((20.0, "written"), (60.0, "too small")):
        extract(tmp_path / "photos", tmp_path / outcome, Extraction(min_face_px=limit))
        assert [row["outcome"] for row in report(tmp_path / outcome)] == [outcome]


def test_photos_that_differ_in_their_suffix_only_do_not_overwrite_each_other(tmp_path):
    for name, picture in (("a.png", ASTRONAUT), ("a.jpg", HOPPER), ("a.jpg.png", ASTRONAUT)):
        put(tmp_path / "photos" / name, read_picture(picture))
    assert extract(tmp_path / "photos", tmp_path / "faces") == {"written": 3}
    assert len(written(tmp_path / "faces")) == 3


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    put(tmp_path / "photos" / "a.png", read_picture(ASTRONAUT))
    mine = tmp_path / "faces" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        extract(tmp_path / "photos", tmp_path / "faces")
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputError, match="not empty"):
        extract(tmp_path / "photos", tmp_path / "photos")


def test_the_photos_stay_as_they_are(tmp_path):
    photo = put(tmp_path / "photos" / "a.png", read_picture(ASTRONAUT))
    before = photo.read_bytes()
    extract(tmp_path / "photos", tmp_path / "faces")
    assert photo.read_bytes() == before and list((tmp_path / "photos").iterdir()) == [photo]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("photo")])
def test_what_holds_no_photos_is_refused_in_one_line(make, tmp_path):
    make(tmp_path / "photos")
    with pytest.raises(SourceError, match="expected") as refused:
        extract(tmp_path / "photos", tmp_path / "faces")
    assert "\n" not in str(refused.value) and not (tmp_path / "faces").exists()


@pytest.mark.parametrize("setting", [{"which": "best"}, {"side": 4}, {"min_face_px": -1.0}])
def test_a_setting_that_cannot_be_is_refused(setting):
    with pytest.raises(SettingsError, match="expected"):
        Extraction(**setting)


def test_the_faces_are_a_data_set_in_a_form_that_is_read(tmp_path):
    source, out = tmp_path / "photos", tmp_path / "faces"
    put(source / "train" / "happy" / "a.png", read_picture(ASTRONAUT))
    put(source / "test" / "neutral" / "b.png", read_picture(HOPPER))
    extract(source, out)
    faces = importers.read(out)
    assert sorted(zip(faces.name, faces.split, strict=True)) == [("happy", "train"), ("neutral", "test")]


@pytest.mark.skipif(not MEDIA.is_dir(), reason="no shared/media beside the checkout")
def test_photos_from_elsewhere_give_the_faces_that_are_in_them(tmp_path):
    known = {"two_people.jpg": 2, "no_face_mountain.jpg": 0, "obama_480p.jpg": 1, "robocup_selfie.jpg": 6}
    for name in known:
        shutil.copy(MEDIA / name, tmp_path / name)
    extract(tmp_path, tmp_path / "faces", Extraction(which="all", range="full", min_face_px=24))
    found = dict.fromkeys(known, 0)
    for row in report(tmp_path / "faces"):
        found[row["photo"]] += row["outcome"] == "written"
    assert found == known

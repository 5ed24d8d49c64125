"""`emotion-edge image`: each face of each photo, for people and for programs."""

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract import GROUP_OF, LABELS, UNCERTAIN
from edge.faces.blazeface import BlazeFace
from edge.sources.folder import read_picture

ASSETS = Path(__file__).parents[1] / "edge" / "assets"
ASTRONAUT, HOPPER = ASSETS / "astronaut.jpg", ASSETS / "grace_hopper.jpg"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """Two people in one picture, the larger face at the right."""
    astronaut, hopper = (read_picture(path) for path in (ASTRONAUT, HOPPER))
    left, right = (cv2.resize(each, (400, 400)) for each in (astronaut[10:290, 92:372], hopper[14:444, 44:474]))
    path = tmp_path_factory.mktemp("pair") / "pair.png"
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack([left, right]), cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def nobody(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("nobody") / "grey.png"
    cv2.imwrite(str(path), np.full((120, 160, 3), 90, np.uint8))
    return path


def test_the_table_has_a_line_for_each_face_with_what_was_read(in_process):
    done = in_process("image", ASTRONAUT, HOPPER)
    assert done.returncode == 0
    first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert first[:4] == [str(ASTRONAUT), "face 1", "105 px", "happy"]
    assert first[4].startswith("happy ")
    assert second[0] == str(HOPPER)
    assert second[3] == "neutral"


def test_json_has_an_object_for_each_photo_with_every_score(in_process):
    done = in_process("image", ASTRONAUT, HOPPER, "--json")
    photos = [json.loads(line) for line in done.stdout.splitlines()]
    assert [photo["image_path"] for photo in photos] == [str(ASTRONAUT), str(HOPPER)]
    for photo, emotion in zip(photos, ["happy", "neutral"], strict=True):
        (face,) = photo["faces"]
        assert (face["emotion"], face["group"], face["reason"]) == (emotion, GROUP_OF[emotion], "")
        assert tuple(face["scores"]) == LABELS
        assert sum(face["scores"].values()) == pytest.approx(1, abs=0.001)
        assert face["confidence"] == max(face["scores"].values())
        assert sum(face["groups"].values()) == pytest.approx(1, abs=0.001)
        assert face["groups"]["positive"] == face["scores"]["happy"]
        left, top, right, bottom = face["box_px"]
        assert 0 <= left < right
        assert 0 <= top < bottom


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_is_read_by_a_csv_reader_and_has_a_row_for_each_face(in_process, pair, nobody):
    done = in_process("image", ASTRONAUT, pair, nobody, "--csv")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == ",".join(["image_path", "emotion", "confidence", "reason", *LABELS])
    got = rows(done.stdout)
    assert [row["image_path"] for row in got] == [str(path) for path in (ASTRONAUT, pair, pair, nobody)]
    assert [row["emotion"] for row in got] == ["happy", "neutral", "happy", ""]
    assert [row["reason"] for row in got] == ["", "", "", "no face"]
    assert float(got[0]["happy"]) == float(got[0]["confidence"]) > 0.5


def test_a_path_with_commas_quotes_and_spaces_is_one_csv_field(in_process, nobody, tmp_path):
    path = tmp_path / 'holiday, "2024", ä.png'
    path.write_bytes(nobody.read_bytes())
    assert [row["image_path"] for row in rows(in_process("image", path, "--csv").stdout)] == [str(path)]


def test_of_two_people_the_larger_face_comes_first(in_process, pair):
    (photo,) = map(json.loads, in_process("image", pair, "--json").stdout.splitlines())
    widths = [face["box_px"][2] - face["box_px"][0] for face in photo["faces"]]
    assert [face["emotion"] for face in photo["faces"]] == ["neutral", "happy"]
    assert widths == sorted(widths, reverse=True)
    assert [line.split("\t")[1] for line in in_process("image", pair).stdout.splitlines()] == ["face 1", "face 2"]


def test_a_photo_without_a_face_says_so_in_every_form(in_process, nobody):
    assert in_process("image", nobody).stdout == f"{nobody}\tno face\n"
    assert json.loads(in_process("image", nobody, "--json").stdout) == {"image_path": str(nobody), "faces": []}
    (row,) = rows(in_process("image", nobody, "--csv").stdout)
    assert (row["emotion"], row["confidence"], row["happy"]) == ("", "", "")


def test_a_face_that_is_not_read_has_no_scores_but_a_reason(in_process, tmp_path):
    settings = tmp_path / "edge.toml"
    settings.write_text("[limits]\nmin_face_px = 300\n")
    words = "image", ASTRONAUT, "--config", settings
    assert "uncertain (small)" in in_process(*words).stdout
    (row,) = rows(in_process(*words, "--csv").stdout)
    assert (row["emotion"], row["reason"], row["happy"]) == (UNCERTAIN, "small", "")
    (face,) = json.loads(in_process(*words, "--json").stdout)["faces"]
    assert (face["emotion"], face["group"], face["reason"], face["scores"]) == (UNCERTAIN, UNCERTAIN, "small", {})


def test_a_folder_stands_for_its_pictures(in_process):
    done = in_process("image", ASSETS, "--csv")
    assert [row["image_path"] for row in rows(done.stdout)] == [str(ASTRONAUT), str(HOPPER)]


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_what_cannot_be_read_is_named_and_the_rest_is_read_all_the_same(form, in_process, tmp_path):
    damaged, text, missing, empty = (tmp_path / name for name in ("cut.jpg", "text.png", "missing.jpg", "empty"))
    damaged.write_bytes(ASTRONAUT.read_bytes()[:300])
    text.write_text("no picture")
    empty.mkdir()
    done = in_process("image", damaged, ASTRONAUT, text, missing, empty, HOPPER, form)
    assert done.returncode == 2
    complaints = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in complaints] == [
        ["emotion-edge", str(path)] for path in (damaged, text, missing, empty)
    ]
    got = rows(done.stdout) if form == "--csv" else [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["image_path"] for each in got] == [str(ASTRONAUT), str(HOPPER)]


def test_the_detector_is_let_go_also_when_reading_fails(in_process, monkeypatch):
    closed = []

    def close(finder: BlazeFace) -> None:
        closed.append(finder)

    monkeypatch.setattr(BlazeFace, "close", close)
    monkeypatch.setattr("edge.photos._json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        in_process("image", ASTRONAUT, "--json")
    assert len(closed) == 1

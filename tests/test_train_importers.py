"""Every published form of data set, each in a small copy of its real layout with generated pictures."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract import FER2013_LABELS, LABELS
from edge.errors import SourceError
from train import importers
from train.data import FaceSet
from train.importers import FORMATS, affectnet, ckplus, fer2013, folders, pictures

RNG = np.random.default_rng(3)
ED_NAMES = ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
PLAIN_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def picture(height: int = 48, width: int = 48, colour: bool = False) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3) if colour else (height, width), np.uint8)


def put(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture() if pixels is None else pixels
    path.write_bytes(cv2.imencode(path.suffix, pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes())
    return path


def names(faces: FaceSet) -> list[str]:
    return [LABELS[each] if each >= 0 else "?" for each in faces.label]


def usage_csv(path: Path, pixels: list[np.ndarray], header: str = "emotion,pixels,Usage") -> None:
    order = [each.strip() for each in header.split(",")]
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [
        {"emotion": str(i % 7), "pixels": " ".join(map(str, face.ravel())), "Usage": usages[i % 3]}
        for i, face in enumerate(pixels)
    ]
    path.write_text("\n".join([header, *(",".join(row[each] for each in order) for row in rows)]) + "\n")


def fer2013_folders(folder: Path, labels: tuple[str, ...], files: dict[str, str]) -> Path:
    for split, name in files.items():
        for label in labels:
            put(folder / split / label / name)
    return folder


def ckplus_tree(folder: Path) -> Path:
    """Two people; the second has a sequence with a label, one with an empty label folder and one with none."""
    for person, sequence, frames in (("S005", "001", 6), ("S010", "001", 6), ("S010", "002", 5), ("S010", "003", 5)):
        for frame in range(1, frames + 1):
            name = f"{person}_{sequence}_{frame:08}.png"
            put(folder / "cohn-kanade-images" / person / sequence / name, picture(49, 64))
    for person, sequence, text in (("S005", "001", "   3.0000000e+00\n"), ("S010", "001", "   7.0000000e+00\n")):
        label = folder / "Emotion" / person / sequence / f"{person}_{sequence}_00000006_emotion.txt"
        label.parent.mkdir(parents=True)
        label.write_text(text)
    (folder / "Emotion" / "S010" / "002").mkdir()
    return folder


def ck48(folder: Path) -> Path:
    for label, people in {"anger": ("S010", "S011"), "contempt": ("S138",), "sadness": ("S010",)}.items():
        for person in people:
            for frame in (15, 16, 17):
                put(folder / "CK+48" / label / f"{person}_004_{frame:08}.png")
    return folder


def muxspace(folder: Path) -> Path:
    lists = folder / "data"
    lists.mkdir(parents=True)
    legend = ["user.id,image,emotion", "628,facial-expressions_2868588k.jpg,angry", "302,Ann_Roe_0001.jpg,HAPPINESS"]
    legend += ["302,Ann_Roe_0002.jpg,Neutral", "302,Bo_Poe_0001.jpg,bored", "302,Gone_Away_0001.jpg,fear"]
    (lists / "legend.csv").write_text("\n".join(legend) + "\n")
    (lists / "500_picts_satz.csv").write_text("906,Cy_Doe_0003.jpg,sad\r906,Cy_Doe_0004.jpg,Surprise\r")
    for name in (
        "facial-expressions_2868588k",
        "Ann_Roe_0001",
        "Ann_Roe_0002",
        "Bo_Poe_0001",
        "Cy_Doe_0003",
        "Cy_Doe_0004",
    ):
        put(folder / "images" / f"{name}.jpg", picture(60, 50, colour=True))
    return folder


def rafdb(folder: Path) -> Path:
    lines = [f"train_{code:05}.jpg {code}" for code in range(1, 8)] + ["test_0001.jpg 4"]
    put(folder / "Image" / "aligned" / "test_0001_aligned.jpg", picture(100, 100, colour=True))
    for code in range(1, 8):
        put(folder / "Image" / "aligned" / f"train_{code:05}_aligned.jpg", picture(100, 100, colour=True))
    (folder / "EmoLabel").mkdir()
    (folder / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return folder


AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def affectnet_set(folder: Path) -> Path:
    lists, images = folder / "Manually_Annotated_file_lists", folder / "Manually_Annotated_Images"
    lists.mkdir(parents=True)
    rows = [f"689/{code}.jpg,8,4,40,30,1.0;2.0,{code},{-code / 10:.2f},0.5" for code in range(8)]
    rows += [f"7/{code}.jpg,NULL,NULL,NULL,NULL,NULL,{code},-2,-2" for code in (8, 9, 10)]
    (lists / "training.csv").write_text("\n".join([AFFECTNET_HEADER, *rows]) + "\n")
    (lists / "validation.csv").write_text(f"{AFFECTNET_HEADER}\n1/v.jpg,0,0,99,99,1;2,1,0.9,-0.1\n")
    for name in [*(f"689/{code}" for code in range(8)), "7/8", "7/9", "7/10", "1/v"]:
        put(images / f"{name}.jpg", picture(60, 80, colour=True))
    return folder


NINE = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise", "uncertain")


def nine_classes(folder: Path) -> Path:
    rows = [f"{i},./train/{label}/{i}.jpg,{label}" for i, label in enumerate(NINE)]
    folder.mkdir(exist_ok=True)
    (folder / "train.csv").write_text("\n".join([",image_path,emotion", *rows]) + "\n")
    for i, label in enumerate(NINE):
        put(folder / "train" / label / f"{i}.jpg", picture(70, 60, colour=True))
    return folder


def plain(folder: Path) -> Path:
    for split in ("train", "valid", "test"):
        for label in ("Happy", "sadness", "bored"):
            put(folder / split / label / "a.png")
    return folder


def csv_folder(folder: Path) -> Path:
    usage_csv(folder / "fer2013.csv", [picture() for _ in range(7)])
    return folder


def im_folders(folder: Path) -> Path:
    return fer2013_folders(folder, ED_NAMES, {"train": "im0.png", "test": "im0.png"})


LAYOUTS = {
    fer2013: csv_folder,
    importers.fer2013_folders: im_folders,
    ckplus: ckplus_tree,
    importers.ck48: ck48,
    importers.muxspace: muxspace,
    importers.rafdb: rafdb,
    affectnet: affectnet_set,
    importers.paths_csv: nine_classes,
    folders: plain,
}


@pytest.mark.parametrize("form", LAYOUTS, ids=lambda form: form.__name__.rpartition(".")[2])
def test_each_layout_is_known_as_one_form_and_read(tmp_path, form):
    folder = LAYOUTS[form](tmp_path)
    assert [each for each in FORMATS if each.matches(folder)] == [form] * (form is not folders)
    assert len(importers.read(folder)) == len(form.read(folder)) > 0


def test_every_form_has_a_layout_here():
    assert set(LAYOUTS) == {*FORMATS, folders}


@pytest.mark.parametrize(
    ("name", "header"), [("fer2013.csv", "emotion,pixels,Usage"), ("icml_face_data.csv", "emotion, Usage, pixels")]
)
def test_both_spellings_of_the_fer2013_csv_give_the_same_faces(tmp_path, name, header):
    """S01: seven labels, three usages, 2,304 numbers; the later file has spaces in its first line."""
    pixels = [picture() for _ in range(21)]
    usage_csv(tmp_path / name, pixels, header)
    for path in (tmp_path, tmp_path / name):
        read = importers.read(path)
        np.testing.assert_array_equal(read.pixels, pixels)
        assert names(read) == [FER2013_LABELS[i % 7] for i in range(21)]
        assert list(read.split[:3]) == ["train", "validation", "test"]


@pytest.mark.parametrize("labels", [PLAIN_NAMES, ED_NAMES])
def test_both_spellings_of_the_fer2013_folders_give_the_same_labels(tmp_path, labels):
    """S03: angry and disgust, or angry and disgusted: one canonical set; there is no validation folder."""
    read = importers.read(fer2013_folders(tmp_path, labels, {"train": "im0.png", "test": "im7.png"}))
    assert read.source[0] == "fer2013"
    assert sorted(names(read)) == sorted([*FER2013_LABELS] * 2)
    assert {*read.split} == {"train", "test"}


def test_fer2013_folders_whose_files_tell_the_usage_have_the_official_splits(tmp_path):
    fer2013_folders(tmp_path, PLAIN_NAMES, {"train": "Training_3908.jpg", "test": "PrivateTest_88305.jpg"})
    fer2013_folders(tmp_path, PLAIN_NAMES, {"test": "PublicTest_98197.jpg"})
    read = importers.read(tmp_path)
    assert [(read.split == each).sum() for each in ("train", "validation", "test")] == [7, 7, 7]


def test_a_face_is_the_same_in_the_csv_and_in_a_folder_of_png(tmp_path):
    pixels = [picture() for _ in range(7)]
    usage_csv(tmp_path / "fer2013.csv", pixels)
    for i, face in enumerate(pixels):
        put(tmp_path / "folders" / "train" / PLAIN_NAMES[i] / "im0.png", face)
        put(tmp_path / "folders" / "test" / PLAIN_NAMES[i] / "im0.png")
    by_csv, by_folder = importers.read(tmp_path / "fer2013.csv"), importers.read(tmp_path / "folders")
    assert set(by_csv.sha256) == set(by_folder.sha256[by_folder.split == "train"])


def test_ckplus_takes_the_first_frame_as_neutral_and_the_last_three_as_the_peak(tmp_path, capsys):
    """S04 and T03: 3 is disgust and 7 surprise, by CK+'s own numbers; what has no label is counted, not guessed."""
    read = importers.read(ckplus_tree(tmp_path))
    assert names(read) == ["neutral", *["disgust"] * 3, "neutral", *["surprise"] * 3]
    assert [key[-12:-4] for key in read.key[:4]] == ["00000001", "00000004", "00000005", "00000006"]
    assert list(read.subject) == ["S005"] * 4 + ["S010"] * 4
    assert "2 sequences have no emotion file: left out" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "happy", "8.0000000e+00", "2.5"])
def test_a_damaged_ckplus_label_is_refused_by_name(tmp_path, text):
    ckplus_tree(tmp_path)
    label = next((tmp_path / "Emotion" / "S005").rglob("*.txt"))
    label.write_text(text)
    with pytest.raises(SourceError, match=rf"{label.name}: emotion .*expected a .*number from 0 to 7"):
        importers.read(tmp_path)


def test_ckplus_without_labels_says_what_is_missing(tmp_path):
    put(tmp_path / "cohn-kanade-images" / "S005" / "001" / "S005_001_00000001.png")
    with pytest.raises(SourceError, match="no folder Emotion"):
        importers.read(tmp_path)


def test_ck48_knows_people_by_file_name(tmp_path):
    read = importers.read(ck48(tmp_path))
    assert names(read) == ["angry"] * 6 + ["contempt"] * 3 + ["sad"] * 3
    assert list(read.subject) == ["S010"] * 3 + ["S011"] * 3 + ["S138"] * 3 + ["S010"] * 3
    np.testing.assert_array_equal(importers.read(tmp_path / "CK+48").sha256, read.sha256)


def test_muxspace_lists_unknown_labels_and_knows_people(tmp_path, capsys):
    """S05: one list with a line of names, one without and with old line ends; names in any case."""
    read = importers.read(muxspace(tmp_path))
    assert names(read) == ["angry", "happy", "neutral", "?", "sad", "surprise"]
    assert read.unknown() == {"bored": 1}
    assert list(read.subject[1:]) == ["Ann_Roe", "Ann_Roe", "Bo_Poe", "Cy_Doe", "Cy_Doe"]
    assert "1 listed pictures are not in images/" in capsys.readouterr().err


def test_rafdb_counts_its_emotions_from_one(tmp_path):
    """T03: 4 is happiness here, and sad in FER2013."""
    read = importers.read(rafdb(tmp_path))
    order = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    assert names(read) == [*order, "happy"]
    assert list(read.split) == ["train"] * 7 + ["test"]


@pytest.mark.parametrize("line", ["train_00001.jpg", "train_00001.jpg 0", "train_00001.jpg 8", "other_1.jpg 2"])
def test_a_damaged_rafdb_list_is_refused_with_the_line(tmp_path, line):
    rafdb(tmp_path)
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text(f"test_0001.jpg 4\n{line}\n")
    with pytest.raises(SourceError, match=r"line 2: .*number from 1 to 7"):
        importers.read(tmp_path)


def test_affectnet_gives_ratings_where_they_are_and_keeps_its_three_other_answers_as_unknown(tmp_path):
    read = importers.read(affectnet_set(tmp_path))
    order = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]
    assert names(read) == [*order, "?", "?", "?", "happy"]
    assert read.unknown() == {"no-face": 1, "none": 1, "uncertain": 1}
    np.testing.assert_allclose(read.valence[:8], [-i / 10 for i in range(8)], atol=1e-6)
    assert np.isnan(read.valence[8:11]).all() and np.isnan(read.arousal[8:11]).all()
    assert list(read.split) == ["train"] * 11 + ["validation"]


def test_affectnet_faces_are_cut_to_their_box(tmp_path):
    folder = affectnet_set(tmp_path)
    whole = pictures.opened(folder / "Manually_Annotated_Images" / "689" / "0.jpg")
    cut = next(affectnet._faces(folder)).picture
    np.testing.assert_array_equal(cut, whole[4:34, 8:48])


@pytest.mark.parametrize(("column", "value"), [("expression", "11"), ("valence", "-1.5"), ("arousal", "much")])
def test_a_damaged_affectnet_line_is_refused(tmp_path, column, value):
    folder = affectnet_set(tmp_path)
    path = folder / "Manually_Annotated_file_lists" / "validation.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[0][column] = value
    path.write_text("\n".join([AFFECTNET_HEADER, ",".join(rows[0].values())]) + "\n")
    with pytest.raises(SourceError, match=rf"validation.csv, line 2: {column} '{value}'"):
        importers.read(folder)


def test_the_nine_classes_keep_uncertain_as_a_name_that_is_no_label(tmp_path):
    """S06: eight are labels of ours, the ninth is listed."""
    read = importers.read(nine_classes(tmp_path))
    assert sorted(names(read)) == sorted([*LABELS, "?"])
    assert read.unknown() == {"uncertain": 1}
    assert {*read.split} == {""}


def test_paths_with_back_slashes_are_found(tmp_path):
    """T14: a list that was written on Windows."""
    folder = nine_classes(tmp_path)
    (folder / "train.csv").write_text(",image_path,emotion\n0,.\\train\\anger\\0.jpg,anger\n")
    assert names(importers.read(folder)) == ["angry"]


def test_plain_folders_have_splits_where_folders_say_so(tmp_path):
    read = importers.read(plain(tmp_path / "mine"))
    assert {*read.source} == {"mine"}
    assert {*read.split} == {"train", "validation", "test"}
    assert read.unknown() == {"bored": 3}
    below = importers.read(tmp_path / "mine" / "valid")
    assert {*below.split} == {""} and len(below) == 3


def test_pictures_beside_folders_of_splits_are_not_passed_over(tmp_path):
    put(plain(tmp_path) / "happy" / "b.png")
    with pytest.raises(SourceError, match=r"\['happy'\] beside folders of splits"):
        importers.read(tmp_path)


def test_a_folder_that_is_two_data_sets_is_refused(tmp_path):
    usage_csv(tmp_path / "fer2013.csv", [picture() for _ in range(7)])
    im_folders(tmp_path)
    with pytest.raises(SourceError, match=r"can be read as .*fer2013\.csv.* and as FER2013 folders"):
        importers.read(tmp_path)
    assert len(importers.read(tmp_path / "fer2013.csv")) == 7


def test_what_is_no_data_set_is_refused_with_all_that_would_be_one(tmp_path):
    with pytest.raises(
        SourceError, match=r"no data set: expected .*fer2013\.csv.*CK\+.*RAF-DB.*<split>/<emotion>"
    ) as refusal:
        importers.read(tmp_path)
    assert "\n" not in str(refusal.value)
    with pytest.raises(SourceError, match="nothing there"):
        importers.read(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"x" * 60])
def test_a_picture_that_cannot_be_decoded_is_refused_by_name_in_one_line(tmp_path, content):
    folder = plain(tmp_path)
    (folder / "train" / "Happy" / "b.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"Happy/b\.png: \d+ bytes are no picture") as refusal:
        importers.read(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_half_a_picture_is_refused(suffix):
    content = cv2.imencode(suffix, picture(64, 64, colour=True))[1].tobytes()
    with pytest.raises(SourceError, match=r"half: .* bytes are no picture"):
        pictures.decoded(content[: len(content) // 2], "half")


def test_a_picture_that_is_listed_but_gone_is_refused_by_name(tmp_path):
    rafdb(tmp_path)
    (tmp_path / "Image" / "aligned" / "train_00003_aligned.jpg").unlink()
    with pytest.raises(SourceError, match=r"train_00003_aligned\.jpg: no such picture"):
        importers.read(tmp_path)


def test_a_grey_picture_is_grey_however_it_is_stored(tmp_path):
    grey = picture()
    stored = [put(tmp_path / "a.png", grey), put(tmp_path / "b.png", np.stack([grey] * 3, axis=-1))]
    for path in stored:
        np.testing.assert_array_equal(pictures.opened(path), grey)


def test_a_blank_face_of_thirty_bytes_is_read():
    """OpenCV refuses so small a WebP file; FER2013 has blank faces."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (48, 48), (255, 255, 255)).save(stream, "WEBP", lossless=True, method=6, quality=100)
    assert len(stream.getvalue()) < pictures.WEBP_HEADER_BYTES
    np.testing.assert_array_equal(pictures.decoded(stream.getvalue(), "blank"), np.full((48, 48), 255))


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more"])
def test_a_damaged_parquet_file_is_no_data_set(tmp_path, content):
    path = tmp_path / "faces.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"faces\.parquet: no data set"):
        importers.read(path)

"""What an audit finds in pictures made to have each fault, its file and page, and that nothing is lost by it."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract import LABELS, InputSpec, box_corners, crop
from edge.errors import EmotionEdgeError, OutputError, SourceError
from edge.perceive import corners
from edge.sources.folder import read_picture
from train import checks, pages
from train.audit import audit, excluded
from train.data import SIDE, Face, FaceSet, gathered, trainable
from train.extract import Extraction, detected
from train.findings import COLUMNS, Finding
from train.suspects import gradients, suspected

ROOT = Path(__file__).parents[1]
ASTRONAUT, HOPPER = (ROOT / "edge" / "assets" / name for name in ("astronaut.jpg", "grace_hopper.jpg"))

needs_cleanlab = pytest.mark.filterwarnings("ignore")  # its own dependencies' deprecations are not ours to mend


def portrait(path: Path = ASTRONAUT) -> np.ndarray:
    """The face of a portrait that ships, grey, as a data set has it."""
    photo = read_picture(path)
    (face,) = detected(Extraction().finder(), photo)
    return crop(photo, InputSpec(side=SIDE), corners(face, InputSpec()))[..., 0]


def brighter(picture: np.ndarray, levels: int) -> np.ndarray:
    """The same face in another light: another picture, and no face of its own."""
    return np.clip(picture.astype(int) + levels, 0, 255).astype(np.uint8)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)


def stripes(label: int, seed: int) -> np.ndarray:
    """A pattern whose direction says which label it is."""
    rng = np.random.default_rng([label, seed])
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    angle = np.pi * label / 4 + rng.normal(0, 0.05)
    wave = 60 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 0.8 + rng.uniform(0, 6))
    return np.clip(128 + wave + rng.normal(0, 15, (SIDE, SIDE)), 0, 255).astype(np.uint8)


def face_set(*faces: Face) -> FaceSet:
    return gathered(faces, "made", "ours")


def one(picture: np.ndarray, split: str = "train", name: str = "happy") -> FaceSet:
    return face_set(Face(picture, "0", name, split))


def kinds(faces: FaceSet) -> list[tuple[int, str, bool]]:
    return sorted((each.row, each.kind, each.exclude) for each in checks.checked(faces))


def of(found: list[Finding], kind: str) -> list[Finding]:
    return [each for each in found if each.kind == kind]


@pytest.mark.parametrize("path", [ASTRONAUT, HOPPER], ids=["astronaut", "hopper"])
def test_a_good_face_has_no_findings(path):
    assert kinds(one(portrait(path))) == []


@pytest.mark.parametrize(
    ("made", "kind", "exclude"),
    [
        (lambda face: np.full_like(face, 90), "blank", True),
        (lambda face: (face // 16 + 120).astype(np.uint8), "flat", False),
        (lambda face: (face // 5).astype(np.uint8), "too dark", False),
        (lambda face: (face // 5 + 204).astype(np.uint8), "too bright", False),
        (lambda face: cv2.GaussianBlur(face, (0, 0), 1.7), "blurred", False),
        (lambda face: cv2.GaussianBlur(face, (0, 0), 4.0), "blurred", True),
        (lambda face: noise(1), "no face", True),
    ],
    ids=["blank", "flat", "dark", "bright", "soft", "unreadable for the device", "no face"],
)
def test_each_fault_of_a_picture_is_named_and_only_the_worst_are_to_be_left_out(made, kind, exclude):
    """S09: blurred, badly lit and face-less pictures; dim and bright ones are what a camera sees, so they stay."""
    found = {each.kind: each.exclude for each in checks.checked(one(made(portrait())))}
    assert found[kind] == exclude
    assert not (set(found) & {"blank", "flat", "too dark", "too bright", "blurred"}) - {kind}


def test_dark_skin_is_not_called_underexposed():
    """A face of few light pixels has a low mean; it is dark only if nothing in it is light."""
    dark = np.clip(portrait().astype(float) * 0.45, 0, 255).astype(np.uint8)
    assert dark.mean() < 70
    assert "too dark" not in {kind for _, kind, _ in kinds(one(dark))}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_only_training_faces_are_suggested_to_be_left_out(split):
    assert kinds(one(np.full((SIDE, SIDE), 90, np.uint8), split))[0] == (0, "blank", False)
    assert (0, "no face", False) in kinds(one(noise(1), split))


def test_a_second_face_beside_the_first_is_found_and_an_eye_in_it_is_none():
    astronaut, hopper = portrait(), portrait(HOPPER)
    small = [cv2.resize(each, (24, 24), interpolation=cv2.INTER_AREA) for each in (astronaut, hopper)]
    both = np.full((SIDE, SIDE), 128, np.uint8)
    both[12:36, :24], both[12:36, 24:] = small
    assert [each.detail for each in of(checks.checked(one(both)), "several faces")] == ["2 faces"]
    first = detected(Extraction().finder(), checks.framed(astronaut))[0]
    assert checks.beside([first, first]) == []


def test_most_small_grey_faces_are_found_when_enlarged_in_a_frame():
    """A data set's face fills its picture; without a frame about it the detector misses more of them."""
    finder = Extraction().finder()
    turned = [cv2.warpAffine(portrait(path), cv2.getRotationMatrix2D((24, 24), angle, 1.25), (SIDE, SIDE))
              for path in (ASTRONAUT, HOPPER) for angle in (-20, -10, 0, 10, 20)]  # fmt: skip
    assert all(detected(finder, checks.framed(each)) for each in turned)


def test_exact_copies_are_found_and_a_training_copy_of_a_held_out_face_is_left_out():
    """T07: test pictures that stand in the training data too."""
    face = portrait()
    faces = face_set(
        Face(face, "a", "happy", "train"),
        Face(face, "b", "happy", "test"),
        Face(portrait(HOPPER), "c", "neutral", "train"),
        Face(portrait(HOPPER), "d", "neutral", "train"),
    )
    assert kinds(faces) == [
        (0, "exact copy, across splits", True),
        (1, "exact copy, across splits", False),
        (2, "exact copy, same split", False),
        (3, "exact copy, same split", False),
    ]
    details = {each.row: each.detail for each in checks.checked(faces)}
    assert details[0] == "same picture as made/b (test, happy)"


def test_of_several_copies_the_one_that_is_held_out_is_named():
    face = portrait()
    splits = ("train", "train", "validation")
    faces = face_set(*[Face(face, str(row), "happy", split) for row, split in enumerate(splits)])
    found = of(checks.checked(faces), "exact copy, across splits")
    assert [(each.row, each.exclude) for each in found] == [(0, True), (1, True), (2, False)]
    assert all("made/2 (validation" in each.detail for each in found[:2])


def test_one_picture_with_two_labels_is_left_out_of_training():
    faces = face_set(Face(portrait(), "a", "happy", "train"), Face(portrait(), "b", "sad", "train"))
    found = of(checks.checked(faces), "copies with different labels")
    assert [(each.row, each.exclude, each.detail) for each in found] == [
        (0, True, "the same picture is called happy and sad"),
        (1, True, "the same picture is called happy and sad"),
    ]


def test_near_copies_are_found_across_splits():
    """T04: a picture saved again is another file and the same face."""
    face = portrait()
    again = cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_GRAYSCALE)
    assert (again != face).any()
    faces = face_set(
        Face(face, "a", "happy", "train"), Face(again, "b", "happy", "test"), Face(portrait(HOPPER), "c", "", "train")
    )
    assert kinds(faces) == [(0, "near copy, across splits", True), (1, "near copy, across splits", False)]


def test_blank_pictures_are_not_called_copies():
    faces = face_set(*[Face(np.full((SIDE, SIDE), grey, np.uint8), str(grey), "", "train") for grey in (0, 0, 1)])
    assert {kind for _, kind, _ in kinds(faces)} == {"blank", "no face"}


def shares(**votes: float) -> np.ndarray:
    return np.array([votes.get(label, 0.0) for label in LABELS], np.float32)


def test_votes_that_agree_on_another_label_speak_against_it_and_few_votes_do_not():
    def voted(key: str, split: str, **votes: float) -> Face:
        given, most = shares(**votes), max(votes, key=lambda each: votes[each])
        return Face(noise(int(key)), key, "fear", split, given, LABELS.index(most) if votes[most] > 0.5 else -1)

    faces = face_set(
        voted("0", "train", sad=0.75, neutral=0.25),
        voted("1", "train", fear=1.0),
        voted("2", "train", sad=0.75, fear=0.25),
        voted("3", "train", sad=0.5, neutral=0.5),
        voted("4", "test", sad=1.0),
    )
    found = suspected(faces, None)
    assert [(each.row, each.kind, each.exclude) for each in found] == [(0, "votes disagree", False)]
    assert found[0].detail == "labelled fear; votes: sad 75%, neutral 25%"


def test_a_face_that_the_detector_doubts_is_left_out_only_if_the_voters_saw_none_either():
    doubtful, face = portrait(), portrait(HOPPER)
    doubtful[:34] = 128  # no more than the mouth is left
    (found,) = of(checks.checked(one(doubtful)), "no face")
    assert not found.exclude and re.fullmatch(r"best score 0\.[34]\d", found.detail)
    voted = face_set(
        Face(doubtful, "0", "happy", "train", shares(), -1),
        Face(face, "1", "happy", "train", shares(happy=0.6, sad=0.4), LABELS.index("happy")),
    )
    (found,) = of(checks.checked(voted), "no face")
    assert found.exclude and found.detail.endswith("most votes: unknown, or not a face")


def mislabelled(per_label: int = 25, wrong: int = 2) -> tuple[FaceSet, set[int]]:
    """Patterns of four labels, of each some called by the next label's name; the rows of those."""
    names = ("angry", "fear", "happy", "sad")
    faces: list[Face] = []
    flipped: set[int] = set()
    for label in range(4):
        for each in range(per_label):
            if each < wrong:
                flipped.add(len(faces))
            name = names[(label + (each < wrong)) % 4]
            faces.append(Face(stripes(label, each), str(len(faces)), name, "train"))
    return face_set(*faces), flipped


@needs_cleanlab
def test_wrong_labels_are_found_by_answers_that_did_not_learn_from_them():
    """S09: cleanlab on out-of-fold predictions; a plain classifier's verdict leaves nothing out."""
    pytest.importorskip("cleanlab")
    faces, flipped = mislabelled()
    found = suspected(faces, None)
    assert {each.row for each in found} == flipped
    assert {(each.kind, each.exclude) for each in found} == {("suspected label", False)}
    assert re.fullmatch(r"labelled \w+ \(\d+%\); a plain classifier says \w+ \(\d+%\)", found[0].detail)


@needs_cleanlab
def test_right_labels_are_not_suspected():
    pytest.importorskip("cleanlab")
    faces, flipped = mislabelled(wrong=0)
    assert not flipped and suspected(faces, None) == []


@needs_cleanlab
def test_labels_of_held_out_faces_are_not_looked_at():
    pytest.importorskip("cleanlab")
    faces, _ = mislabelled()
    split = np.where(np.arange(len(faces)) % 2, "train", "test")
    held = face_set(*[Face(faces.pixels[i], str(i), str(faces.name[i]), str(split[i])) for i in range(len(faces))])
    found = suspected(held, None)
    assert found and {str(held.split[each.row]) for each in found} == {"train"}


def test_labels_too_rare_for_a_verdict_are_left_alone():
    faces = face_set(*[Face(stripes(i % 2, i), str(i), ("happy", "sad")[i % 2], "train") for i in range(10)])
    assert suspected(faces, None) == []


def test_gradients_tell_directions_apart_and_not_light():
    upright, lying = gradients(np.stack([stripes(0, 0), stripes(2, 0)]))
    paler = gradients((stripes(0, 0) // 2 + 60)[np.newaxis])[0]
    assert np.linalg.norm(upright - paler) < 0.15 * np.linalg.norm(upright - lying)


def data_on_disk(folder: Path) -> Path:
    """<split>/<label>/*.png with a fault of several kinds."""
    face, other = portrait(), portrait(HOPPER)
    pictures = {
        "train/happy/good.png": face,
        "train/happy/blank.png": np.full((SIDE, SIDE), 90, np.uint8),
        "train/neutral/copy.png": other,
        "train/neutral/<b>.png": noise(1),
        "validation/neutral/copied.png": other,
        "test/happy/dim.png": (face[:, ::-1] // 5).astype(np.uint8),
        "test/happy/uncertain.png": noise(2),
    }
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), picture)
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "audit.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_audit_writes_a_file_a_page_and_a_summary_and_changes_nothing(tmp_path):
    data = data_on_disk(tmp_path / "data")
    before = {path: path.read_bytes() for path in data.rglob("*.png")}
    summary = audit([data], tmp_path / "out")
    assert {path: path.read_bytes() for path in data.rglob("*.png")} == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audit.csv", "audit.html", "audit.json"]
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == summary
    assert summary["faces"] == 7 and summary["labels"]["train"]["neutral"] == 2
    found = [(Path(row["key"]).name, row["finding"], row["exclude"]) for row in rows(tmp_path / "out")]
    assert ("blank.png", "blank", "1") in found
    assert ("copy.png", "exact copy, across splits", "1") in found
    assert ("copied.png", "exact copy, across splits", "0") in found
    assert ("dim.png", "too dark", "0") in found
    assert ("<b>.png", "no face", "1") in found
    assert not [each for each in found if each[0] == "good.png"]
    assert summary["findings"] == Counter(row["finding"] for row in rows(tmp_path / "out"))
    assert summary["exclude"] == 3


def test_the_page_has_its_pictures_within_and_needs_nothing_from_elsewhere(tmp_path):
    audit([data_on_disk(tmp_path / "data")], tmp_path / "out")
    text = (tmp_path / "out" / "audit.html").read_text()
    assert not re.search('<script|https?:|src="(?!data:)', text)
    assert "prefers-color-scheme: dark" in text
    assert text.count("<figure>") == len(rows(tmp_path / "out"))
    assert "&lt;b&gt;.png" in text and "<b>.png" not in text, "a file's name is text, not HTML"
    assert "Without a training face: angry" in text


def test_the_file_s_faces_stay_out_and_an_edit_by_hand_counts(tmp_path):
    from train import importers

    data, out = data_on_disk(tmp_path / "data"), tmp_path / "out"
    audit([data], out)
    faces = trainable(importers.read_all([data]))
    assert set(faces.key[np.isin(faces.sha256, list(excluded(out / "audit.csv")))]) == {"train/neutral/<b>.png"}
    text = (out / "audit.csv").read_text()
    (out / "audit.csv").write_text(text.replace(",1\n", ",0\n"))
    assert excluded(out / "audit.csv") == set()


def test_a_second_audit_of_the_same_faces_leaves_an_edited_file_alone(tmp_path):
    data, out = data_on_disk(tmp_path / "data"), tmp_path / "out"
    first = audit([data], out)
    (out / "audit.csv").write_text("edited")
    assert audit([data], out) == first
    assert (out / "audit.csv").read_text() == "edited"


def test_an_audit_of_other_faces_does_not_overwrite_the_first(tmp_path):
    data, out = data_on_disk(tmp_path / "data"), tmp_path / "out"
    audit([data], out)
    before = (out / "audit.csv").read_text()
    cv2.imwrite(str(data / "train" / "happy" / "more.png"), noise(9))
    with pytest.raises(OutputError, match="other data"):
        audit([data], out)
    assert (out / "audit.csv").read_text() == before


def test_unknown_labels_are_listed(tmp_path):
    """S05: none is dropped silently."""
    data = data_on_disk(tmp_path / "data")
    (data / "train" / "smug").mkdir()
    cv2.imwrite(str(data / "train" / "smug" / "x.png"), brighter(portrait(), 5))
    summary = audit([data], tmp_path / "out")
    assert summary["unknown_labels"] == {"smug": 1}
    assert "<td>smug</td>" in (tmp_path / "out" / "audit.html").read_text()


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column exclude and sha256"),
        ("sha256;exclude\n", "line 1: no column exclude and sha256, separated by commas"),
        (f"sha256,exclude\n{DIGEST},0\n{DIGEST},yes\n", "line 3: exclude 'yes': expected 0 or 1"),
        (f"sha256,exclude\n{DIGEST}\n", "line 2: exclude '': expected 0 or 1"),
        ("sha256,exclude\n1.2E+34,1\n", "line 2: sha256 '1.2e\\+34': expected 64 hexadecimal digits"),
        (b"sha256,exclude\n\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_the_line(text, message, tmp_path):
    path = tmp_path / "audit.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SourceError, match=message) as refused:
        excluded(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_a_missing_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        excluded(tmp_path / "none.csv")


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path):
    """With a byte order mark, Windows line ends, columns in another order, and one of the user's own."""
    path = tmp_path / "audit.csv"
    path.write_bytes(f"\ufeffexclude,sha256,note\r\n1,{DIGEST.upper()},seen\r\n0,{'f' * 64},\r\n".encode())
    assert excluded(path) == {DIGEST}


def test_the_file_begins_with_its_columns(tmp_path):
    audit([data_on_disk(tmp_path / "data")], tmp_path / "out")
    assert (tmp_path / "out" / "audit.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
    faces, _ = mislabelled(per_label=12)
    with pytest.raises(EmotionEdgeError, match=r"no manifest.txt there"):
        suspected(faces, tmp_path)


def test_a_page_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        pages.write(tmp_path / "file" / "page.html", "")


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_pictures_on_a_page_are_the_pictures(channels):
    import base64

    picture = np.random.default_rng(0).integers(0, 256, (5, 7, *channels), np.uint8)
    coded = np.frombuffer(base64.b64decode(pages.data_uri(picture).split(",")[1]), np.uint8)
    shown = cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB if channels == (3,) else cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(shown, picture.reshape(shown.shape))


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_a_run_s_network_judges_the_faces_that_it_did_not_learn_from(tmp_path):
    """In its verdict on its own training faces it repeats their labels; on strangers it finds the wrong ones."""
    from train.augment import STILL
    from train.fit import fit
    from train.recipe import Recipe

    names = ("angry", "fear", "happy", "sad")
    for split, count in (("train", 60), ("validation", 10), ("test", 2)):
        for label, name in enumerate(names):
            (tmp_path / "known" / split / name).mkdir(parents=True)
            for each in range(count):
                picture = stripes(label, each + {"train": 1000, "validation": 2000, "test": 3000}[split])
                cv2.imwrite(str(tmp_path / "known" / split / name / f"{each}.png"), picture)
    run = tmp_path / "run"
    plain = Recipe(network="residual-nano", heads=("label",), augment=STILL, epochs=10, batch=16, average=0.0)
    fit([tmp_path / "known"], run, plain)
    faces, flipped = mislabelled()
    found = suspected(faces, run)
    worst_first = sorted(found, key=lambda each: -each.weight)
    assert {each.row for each in worst_first[: len(flipped)]} == flipped
    assert all(each.exclude and "a trained network says" in each.detail for each in found)


def test_box_crops_of_the_portraits_are_faces_too():
    """Not only faces that stand as our own crop has them."""
    photo = read_picture(ASTRONAUT)
    (face,) = detected(Extraction().finder(), photo)
    box = face.box
    cut = crop(photo, InputSpec(side=SIDE), box_corners(box.left, box.top, box.right, box.bottom, InputSpec()))
    assert kinds(one(cut[..., 0])) == []

"""FER2013 with the FER+ protocol, and what may be trained and measured on."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge.contract import FER2013_LABELS, LABELS
from edge.errors import SourceError
from train import data, importers
from train.fingerprint import NEAR_BITS, near_pairs, perceptual_hash

USAGES = ("Training",) * 13 + ("PublicTest",) * 4 + ("PrivateTest",) * 4


def faces(count: int = 21, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)


def smooth_faces(count: int, seed: int) -> list[np.ndarray]:
    """Pictures that survive compression, as photos do."""
    small = np.random.default_rng(seed).integers(0, 256, (count, 6, 6), np.uint8)
    return [cv2.resize(each, (48, 48), interpolation=cv2.INTER_CUBIC) for each in small]


def write_fer2013(folder: Path, pixels: np.ndarray, header: str = "emotion,pixels,Usage") -> None:
    rows = [f"{i % 7},{' '.join(map(str, face.ravel()))},{USAGES[i]}" for i, face in enumerate(pixels)]
    (folder / "fer2013.csv").write_text("\n".join([header, *rows]) + "\n")


def write_votes(folder: Path, counts: list[list[int]]) -> None:
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [
        f"{usage},fer{i:07}.png,{','.join(map(str, row))}"
        for i, (usage, row) in enumerate(zip(USAGES, counts, strict=False))
    ]
    (folder / "fer2013new.csv").write_text("\n".join([header, *rows]) + "\n")


def votes_for(column: int, votes: int = 10) -> list[int]:
    return [votes if each == column else 0 for each in range(10)]


def gathered(pictures: list[np.ndarray], source: str, split: str, name: str = "happy") -> data.FaceSet:
    listed = (data.Face(each, str(i), name, split) for i, each in enumerate(pictures))
    return data.gathered(listed, source, "none")


def test_fer2013_csv_gives_every_row_with_its_label_and_official_split(tmp_path):
    """S01 and S02."""
    pixels = faces()
    write_fer2013(tmp_path, pixels)
    read = importers.read(tmp_path)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert [LABELS[each] for each in read.majority] == [FER2013_LABELS[i % 7] for i in range(21)]
    assert [(read.split == each).sum() for each in ("train", "validation", "test")] == [13, 4, 4]


def test_fer_plus_columns_are_mapped_by_name_and_not_by_place(tmp_path):
    """T03: the votes' order is another than ours; equal integers mean different emotions."""
    write_fer2013(tmp_path, faces())
    write_votes(tmp_path, [votes_for(i % 8) for i in range(21)])
    read = importers.read(tmp_path)
    order = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"]
    assert [LABELS[each] for each in read.majority] == [order[i % 8] for i in range(21)]
    np.testing.assert_array_equal(read.votes.argmax(axis=1), read.majority)
    assert [LABELS[each] for each in read.label] == [FER2013_LABELS[i % 7] for i in range(21)]


def test_data_sets_with_other_label_orders_merge_by_name(tmp_path):
    """T03: FER2013's 3 is happy, FER+'s 3 is sadness."""
    plain, voted = tmp_path / "plain", tmp_path / "voted"
    for folder in (plain, voted):
        folder.mkdir()
        write_fer2013(folder, faces(seed=len(folder.name)))
    write_votes(voted, [votes_for(3)] * 21)
    both = importers.read_all([plain, voted])
    assert len(both) == 42
    assert LABELS[both.majority[3]] == "happy"
    assert {LABELS[each] for each in both.majority[21:]} == {"sad"}


def test_each_data_set_of_a_merge_has_faces_of_its_own_in_every_split(tmp_path):
    """T13: the validation faces of a merge are not those of one data set alone."""
    write_fer2013(tmp_path, faces())
    for label in ("happy", "sad"):
        for i, each in enumerate(faces(30, seed=len(label))):
            (tmp_path / "own" / label).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "own" / label / f"{i}.png"), each)
    both = importers.read_all([tmp_path, tmp_path / "own"])
    for split in ("train", "validation", "test"):
        assert {*both.source[both.split == split]} == {"fer2013", "own"}


@pytest.mark.parametrize(
    ("counts", "majority", "shares"),
    [
        ([4, 0, 0, 1, 3, 2, 0, 0, 0, 0], None, {"neutral": 4 / 9, "angry": 3 / 9, "disgust": 2 / 9}),
        ([6, 4, 0, 0, 0, 0, 0, 0, 0, 0], "neutral", {"neutral": 0.6, "happy": 0.4}),
        ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None, {"neutral": 0.5, "happy": 0.5}),
        ([0, 5, 0, 0, 0, 0, 0, 0, 4, 1], "happy", {"happy": 1.0}),
        ([0, 4, 0, 0, 0, 0, 0, 0, 6, 0], None, {}),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None, {}),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None, {}),
    ],
)
def test_votes_follow_the_fer_plus_protocol(tmp_path, counts, majority, shares):
    write_fer2013(tmp_path, faces())
    write_votes(tmp_path, [counts] * 21)
    read = importers.read(tmp_path)
    assert read.majority[0] == (-1 if majority is None else LABELS.index(majority))
    assert {LABELS[i]: share for i, share in enumerate(read.votes[0]) if share} == pytest.approx(shares)


def test_a_data_set_without_votes_counts_its_label_as_the_only_one(tmp_path):
    write_fer2013(tmp_path, faces())
    read = importers.read(tmp_path)
    np.testing.assert_array_equal(read.votes, np.eye(len(LABELS))[read.label])
    np.testing.assert_array_equal(read.truth("votes"), read.truth("label"))


def test_training_leaves_out_blank_faces_and_copies_of_held_out_faces(tmp_path):
    """T07: a test face that was copied into training is not trained on."""
    pixels = faces()
    pixels[2] = 128
    pixels[15] = pixels[4]
    write_fer2013(tmp_path, pixels)
    counts = [votes_for(0)] * 21
    counts[7] = votes_for(9)
    write_votes(tmp_path, counts)
    read = importers.read_all([tmp_path])
    assert list(np.flatnonzero(read.copied)) == [15]
    assert list(data.trainable(read).key) == ["0", "1", "3", "5", "6", "7", "8", "9", "10", "11", "12"]


def test_training_leaves_out_faces_that_nobody_labelled():
    known, unknown = gathered(list(faces(3)), "a", "train"), gathered(list(faces(2, 9)), "b", "train", "bored")
    assert {*data.trainable(data.joined([known, unknown])).source} == {"a"}


def test_training_leaves_out_near_copies_of_another_data_sets_held_out_faces():
    """T04: the same photo in two data sets, compressed again."""
    photos = smooth_faces(6, 1)
    held_out = gathered(photos[:2], "a", "test")
    again = [cv2.imdecode(cv2.imencode(".jpg", each)[1], cv2.IMREAD_GRAYSCALE) for each in photos]
    training = gathered(again, "b", "train")
    assert list(data.trainable(data.joined([held_out, training])).key) == ["2", "3", "4", "5"]


@pytest.fixture
def trained(tmp_path: Path) -> tuple[data.FaceSet, Path]:
    """FER2013 in small, and the manifest of a run on its training faces."""
    write_fer2013(tmp_path, np.stack(smooth_faces(21, 2)))
    read, manifest = importers.read_all([tmp_path]), tmp_path / "manifest.txt"
    manifest.write_text(data.Trained.of(data.trainable(read)).text())
    return read, manifest


def test_faces_that_were_trained_on_are_refused(trained):
    """T06 and T07: a figure on trained faces is no figure."""
    read, manifest = trained
    data.refuse_trained(data.judged(read, "test"), manifest)
    with pytest.raises(SourceError, match="13 of 13 faces to evaluate on were trained on"):
        data.refuse_trained(data.judged(read, "train"), manifest)


def test_a_single_leaked_face_is_enough_to_refuse(trained):
    """T07: one training face among those of the test split."""
    read, manifest = trained
    leaked = replace(read, split=np.where(np.arange(21) == 3, "test", read.split))
    with pytest.raises(SourceError, match="1 of 5"):
        data.refuse_trained(data.judged(leaked, "test"), manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda each: cv2.imdecode(cv2.imencode(".jpg", each, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE),
        lambda each: cv2.resize(each, (96, 96), interpolation=cv2.INTER_CUBIC),
        lambda each: cv2.convertScaleAbs(each, alpha=0.9, beta=10),
    ],
    ids=["compressed", "enlarged", "brightened"],
)
def test_near_copies_of_training_faces_are_refused_in_another_data_set(trained, change):
    """T06: the same photo by another way; in its own data set, whose splits are official, it stays."""
    read, manifest = trained
    copies = [change(each) for each in read.pixels[read.split == "train"]]
    with pytest.raises(SourceError, match="13 of 13"):
        data.refuse_trained(gathered(copies, "mine", "test"), manifest)
    data.refuse_trained(gathered(copies, "fer2013", "test"), manifest)


def test_an_older_manifest_of_hashes_alone_still_refuses_identical_faces(trained):
    read, manifest = trained
    manifest.write_text("\n".join(read.sha256[:13]) + "\n")
    data.refuse_trained(data.judged(read, "test"), manifest)
    with pytest.raises(SourceError, match="13 of 13"):
        data.refuse_trained(data.judged(read, "train"), manifest)


def test_a_manifest_is_read_as_it_was_written_and_says_nothing_of_the_order(trained):
    read, manifest = trained
    marks = data.Trained.of(read)
    manifest.write_text(marks.text())
    again = data.Trained.read(manifest)
    assert again.text() == marks.text() == data.Trained.of(read.where(np.arange(21)[::-1])).text()
    order, found = np.argsort(marks.sha256), np.argsort(again.sha256)
    for name in ("sha256", "phash", "source"):
        np.testing.assert_array_equal(getattr(again, name)[found], getattr(marks, name)[order])


@pytest.mark.parametrize("text", ["aa bb\n", "aa xyz source\n", "aa\naa 01 source more\nbb cc\n"])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.txt").write_text(text)
    with pytest.raises(SourceError, match="no list of training faces"):
        data.Trained.read(tmp_path / "manifest.txt")
    with pytest.raises(SourceError, match="no list of training faces"):
        data.Trained.read(tmp_path / "gone.txt")


hashes = some.lists(some.integers(0, 2**64 - 1), max_size=12)


@given(hashes, hashes, some.lists(some.integers(0, 63), max_size=4, unique=True), some.integers(0, 11))
def test_near_pairs_are_all_that_a_comparison_of_each_with_each_finds(one, other, flipped, at):
    if one:  # near, or nearly near: that is what has to be told apart
        other = [*other, one[at % len(one)] ^ sum(1 << bit for bit in flipped)]
    plainly = {(i, j) for i, a in enumerate(one) for j, b in enumerate(other) if (a ^ b).bit_count() <= NEAR_BITS}
    found = near_pairs(np.array(one, np.uint64), np.array(other, np.uint64))
    assert {(int(i), int(j)) for i, j in found} == plainly


def test_a_grey_face_has_one_hash_whatever_its_brightness():
    photo = smooth_faces(1, 4)[0]
    dark = cv2.convertScaleAbs(photo, alpha=0.5)
    assert (perceptual_hash(photo) ^ perceptual_hash(dark)).bit_count() <= NEAR_BITS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("emotion,usage\n1,x\n", r"expected \['Usage', 'emotion', 'pixels'\]"),
        ("emotion,pixels,Usage\n3,1 2 3,Training\n", "line 2: 3 pixel values"),
        ("emotion,pixels,Usage\n3,1 2 three,Training\n", "line 2: pixels that are no numbers"),
        ("emotion,pixels,Usage\n3,1 2 3\n", "line 2: 2 values: expected 3"),
        (f"emotion,pixels,Usage\n9,{'0 ' * 2304},Training\n", "line 2: emotion '9'"),
        (f"emotion,pixels,Usage\n3,{'256 ' * 2304},Training\n", "expected 2304 from 0 to 255"),
        (f"emotion,pixels,Usage\n3,{'0 ' * 2304},Somewhere\n", "line 2: Usage 'Somewhere'"),
        ("emotion,pixels,Usage\n", "no faces in it"),
        ("", "columns \\[\\]"),
    ],
)
def test_a_damaged_csv_is_refused_with_the_line(tmp_path, text, says):
    (tmp_path / "fer2013.csv").write_text(text)
    with pytest.raises(SourceError, match=re.compile(says)) as refusal:
        importers.read(tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n\xff\xfe\x00")
    with pytest.raises(SourceError, match="not readable as CSV"):
        importers.read(tmp_path)


def test_votes_of_another_length_are_refused(tmp_path):
    write_fer2013(tmp_path, faces())
    write_votes(tmp_path, [votes_for(0)] * 20)
    with pytest.raises(SourceError, match="20 rows: expected 21"):
        importers.read(tmp_path)


def test_votes_that_are_no_counts_are_refused(tmp_path):
    write_fer2013(tmp_path, faces())
    write_votes(tmp_path, [votes_for(0, votes=11)] * 21)
    with pytest.raises(SourceError, match="line 2: neutral '11': expected a number from 0 to 10"):
        importers.read(tmp_path)


def test_fer2013_has_the_published_counts(shared_faces):
    """S02: 28,709 + 3,589 + 3,589 faces; strict majority leaves contempt 119 and 16."""
    assert [(shared_faces.split == each).sum() for each in ("train", "validation", "test")] == [28709, 3589, 3589]
    contempt = LABELS.index("contempt")
    assert (data.judged(shared_faces, "train").majority == contempt).sum() == 119
    assert (data.judged(shared_faces, "test").majority == contempt).sum() == 16
    assert shared_faces.copied[shared_faces.split == "test"].sum() == 288


def test_nothing_of_fer2013s_own_splits_is_refused(shared_faces, tmp_path):
    """T06: after training on all that may be trained on, both held-out splits can still be measured on."""
    (tmp_path / "manifest.txt").write_text(data.Trained.of(data.trainable(shared_faces)).text())
    for split in ("validation", "test"):
        data.refuse_trained(shared_faces.where(shared_faces.split == split), tmp_path / "manifest.txt")


@pytest.mark.long
def test_near_copies_are_not_found_by_chance(shared_faces):
    """The number of bits was measured: muxspace shares no photo with FER2013, and none of its faces is near one."""
    other = Path(__file__).parents[2] / "shared" / "data" / "muxspace96.parquet"
    assert not data.Trained.of(shared_faces).holds(importers.read(other)).any()

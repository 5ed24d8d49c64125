"""The importers, the FER+ protocol, and what may be trained, calibrated and measured on."""

import csv
from pathlib import Path

import numpy as np
import pytest

from edge.contract import FER2013_LABELS, LABELS
from edge.errors import SourceError
from quantize import samples
from train import data, metrics

USAGES = ("Training",) * 13 + ("PublicTest",) * 4 + ("PrivateTest",) * 4


def faces(count: int = 21, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)


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


def test_fer2013_csv_gives_every_row_with_its_label_and_official_split(tmp_path):
    pixels = faces()
    write_fer2013(tmp_path, pixels)
    read = data.read(tmp_path)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert [LABELS[each] for each in read.majority] == [FER2013_LABELS[i % 7] for i in range(21)]
    assert [(read.split == each).sum() for each in ("train", "validation", "test")] == [13, 4, 4]


def test_fer_plus_columns_are_mapped_by_name_and_not_by_place(tmp_path):
    """T03: the votes' order is another than ours; equal integers mean different emotions."""
    write_fer2013(tmp_path, faces())
    write_votes(tmp_path, [votes_for(i % 8) for i in range(21)])
    read = data.read(tmp_path)
    order = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"]
    assert [LABELS[each] for each in read.majority] == [order[i % 8] for i in range(21)]
    np.testing.assert_array_equal(read.votes.argmax(axis=1), read.majority)


def test_data_sets_with_other_label_orders_merge_by_name(tmp_path):
    """T03: FER2013's 3 is happy, FER+'s 3 is sadness."""
    plain, voted = tmp_path / "plain", tmp_path / "voted"
    for folder in (plain, voted):
        folder.mkdir()
        write_fer2013(folder, faces(seed=len(folder.name)))
    write_votes(voted, [votes_for(3)] * 21)
    both = data.read_all([plain, voted])
    assert len(both) == 42
    assert LABELS[both.majority[3]] == "happy"
    assert {LABELS[each] for each in both.majority[21:]} == {"sad"}


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
    read = data.read(tmp_path)
    assert read.majority[0] == (-1 if majority is None else LABELS.index(majority))
    assert {LABELS[i]: share for i, share in enumerate(read.votes[0]) if share} == pytest.approx(shares)


def test_training_leaves_out_blank_faces_voteless_faces_and_copies_of_held_out_faces(tmp_path):
    pixels = faces()
    pixels[2] = 128
    pixels[15] = pixels[4]
    write_fer2013(tmp_path, pixels)
    counts = [votes_for(0)] * 21
    counts[7] = votes_for(9)
    write_votes(tmp_path, counts)
    read = data.read(tmp_path)
    assert list(np.flatnonzero(read.copied)) == [15]
    assert list(data.trainable(read).row) == [0, 1, 3, 5, 6, 8, 9, 10, 11, 12]


def test_faces_that_were_trained_on_are_refused(tmp_path):
    """T06 and T07: a figure on trained faces is no figure."""
    write_fer2013(tmp_path, faces())
    read = data.read(tmp_path)
    manifest = tmp_path / "manifest.txt"
    manifest.write_text("\n".join(data.trainable(read).digests()))
    data.refuse_trained(data.judged(read, "test"), manifest)
    with pytest.raises(SourceError, match="13 of 13 faces to evaluate on were trained on"):
        data.refuse_trained(data.judged(read, "train"), manifest)


def test_a_single_leaked_face_is_enough_to_refuse(tmp_path):
    pixels = faces()
    write_fer2013(tmp_path, pixels)
    manifest = tmp_path / "manifest.txt"
    manifest.write_text("\n".join(data.read(tmp_path).where(np.array([18])).digests()))
    with pytest.raises(SourceError, match="1 of 4"):
        data.refuse_trained(data.judged(data.read(tmp_path), "test"), manifest)


def test_each_data_set_of_a_merge_has_figures_of_its_own(tmp_path):
    """T13: both sets are measured, not the first twice."""
    write_fer2013(tmp_path, faces())
    read = data.read(tmp_path)
    other = data.FaceSet(**{**vars(read), "source": np.full(len(read), "other")})
    both = data.FaceSet(**{name: np.concatenate([getattr(read, name), getattr(other, name)]) for name in vars(read)})
    scores = np.eye(len(LABELS))[both.majority]
    scores[21:] = np.eye(len(LABELS))[(both.majority[21:] + 1) % 8]
    figures = metrics.report(scores, both, LABELS)
    assert figures["sources"]["fer2013"]["accuracy"] == 1.0
    assert figures["sources"]["other"]["accuracy"] == 0.0
    assert figures["accuracy"] == 0.5


def test_calibration_faces_are_training_faces_the_same_each_time_and_of_every_label(tmp_path):
    write_fer2013(tmp_path, faces())
    training = data.trainable(data.read(tmp_path))
    chosen = samples.calibration(training, each=1)
    assert sorted(LABELS[each] for each in chosen.majority) == sorted(FER2013_LABELS)
    assert chosen.digests() == samples.calibration(training, each=1).digests()
    with pytest.raises(ValueError, match="training faces only"):
        samples.calibration(data.read(tmp_path))


def test_the_committed_calibration_list_names_training_faces_of_the_shared_data(shared_faces):
    with (Path(samples.__file__).parent / "calibration.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 300
    training = data.trainable(shared_faces)
    assert {row["sha256"] for row in rows} <= set(training.digests())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("emotion,usage\n1,x\n", "expected .*pixels"),
        ("emotion,pixels,Usage\n3,1 2 3,Training\n", "line 2: 3 pixel values"),
        (f"emotion,pixels,Usage\n9,{'0 ' * 2304},Training\n", "emotion '9'"),
        (f"emotion,pixels,Usage\n3,{'0 ' * 2304},Somewhere\n", "Somewhere"),
    ],
)
def test_a_damaged_csv_is_refused_with_the_line(tmp_path, text, says):
    (tmp_path / "fer2013.csv").write_text(text)
    with pytest.raises(SourceError, match=says):
        data.read(tmp_path)


def test_votes_of_another_length_are_refused(tmp_path):
    write_fer2013(tmp_path, faces())
    write_votes(tmp_path, [votes_for(0)] * 20)
    with pytest.raises(SourceError, match="20 rows: expected 21"):
        data.read(tmp_path)


def test_the_spelling_of_icml_face_data_is_read_too(tmp_path):
    write_fer2013(tmp_path, faces(), header="emotion, pixels, Usage")
    assert len(data.read(tmp_path)) == 21


def test_a_path_without_data_says_what_is_expected(tmp_path):
    with pytest.raises(SourceError, match=r"fer2013\.csv"):
        data.read(tmp_path)


def test_fer2013_has_the_published_counts(shared_faces):
    """28,709 + 3,589 + 3,589 faces; strict majority leaves contempt 119 and 16."""
    assert [(shared_faces.split == each).sum() for each in ("train", "validation", "test")] == [28709, 3589, 3589]
    contempt = LABELS.index("contempt")
    assert (data.judged(shared_faces, "train").majority == contempt).sum() == 119
    assert (data.judged(shared_faces, "test").majority == contempt).sum() == 16
    assert shared_faces.copied[shared_faces.split == "test"].sum() == 288

"""One file that says which faces are used, and the table that people look at before they train."""

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pyarrow import Table, parquet

from edge.contract import LABELS
from edge.errors import SourceError
from train import data, importers, manifest

RNG = np.random.default_rng(5)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two data sets: official splits with an unknown name, and none."""
    one, other = tmp_path / "one", tmp_path / "other"
    for split, count in {"train": 6, "val": 2, "test": 2}.items():
        for label in ("happy", "sad", "bored"):
            put(one / split / label, count)
    put(other / "fear", 20)
    return one, other


def put(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), RNG.integers(0, 256, (48, 48), np.uint8))


def written(path: Path, *sets: Path) -> data.FaceSet:
    manifest.write(path, [(each, importers.with_splits(each)) for each in sets])
    return importers.read_all(sets)


def changed(path: Path, change) -> None:
    rows = parquet.read_table(path).to_pylist()
    parquet.write_table(Table.from_pylist(change(rows)), path)


def same(one: data.FaceSet, other: data.FaceSet) -> None:
    for each in fields(data.FaceSet):
        np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name), err_msg=each.name)


def test_a_manifest_gives_the_faces_that_it_was_made_of(tmp_path, folders):
    faces = written(tmp_path / "out" / "manifest.parquet", *folders)
    same(importers.read(tmp_path / "out" / "manifest.parquet"), faces)
    same(importers.read_all([tmp_path / "out" / "manifest.parquet"]), faces)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["manifest.parquet"]


def test_it_keeps_votes_ratings_and_people(tmp_path):
    votes = np.array([0.25, 0, 0, 0.75, 0, 0, 0, 0], np.float32)
    pictures = RNG.integers(0, 256, (3, 48, 48), np.uint8)
    listed = [
        data.Face(pictures[0], "0", "happy", "train", votes, 3),
        data.Face(pictures[1], "1", "sad", "train", np.zeros(8, np.float32), -1),
        data.Face(pictures[2], "2", "sad", "train", valence=-0.5, arousal=0.25, subject="S1"),
    ]
    faces = data.gathered(listed, "made here", "mine")
    manifest.write(tmp_path / "m.parquet", [(tmp_path / "set", faces)])
    same(manifest.read(tmp_path / "m.parquet", lambda _: faces), faces)


def test_nothing_in_the_file_is_a_bare_number_for_a_label(tmp_path, folders):
    """T03: labels, majorities and votes stand there by name."""
    written(tmp_path / "m.parquet", *folders)
    for row in parquet.read_table(tmp_path / "m.parquet").to_pylist():
        assert row["label"] in {*LABELS, None} and row["majority"] is None
        assert row["name"] and (row["label"] is None) == (row["name"] == "bored")


def test_rows_labels_and_splits_are_the_manifests(tmp_path, folders):
    written(tmp_path / "m.parquet", *folders)

    def change(rows):
        kept = [row for row in rows if row["name"] != "bored"]
        return [row | {"label": "angry", "split": "test"} if row["name"] == "sad" else row for row in kept]

    changed(tmp_path / "m.parquet", change)
    read = importers.read_all([tmp_path / "m.parquet"])
    assert read.unknown() == {}
    sad = read.name == "sad"
    assert {LABELS[each] for each in read.label[sad]} == {LABELS[each] for each in read.majority[sad]} == {"angry"}
    assert {*read.split[sad]} == {"test"}


def test_splits_that_were_chosen_by_hand_are_not_drawn_again(tmp_path, folders):
    written(tmp_path / "m.parquet", folders[1])
    changed(tmp_path / "m.parquet", lambda rows: [row | {"split": "train"} for row in rows])
    assert {*importers.read_all([tmp_path / "m.parquet"]).split} == {"train"}


def test_a_picture_that_has_changed_or_is_gone_is_named(tmp_path, folders):
    written(tmp_path / "m.parquet", *folders)
    cv2.imwrite(str(folders[0] / "val" / "sad" / "1.png"), RNG.integers(0, 256, (48, 48), np.uint8))
    with pytest.raises(SourceError, match=r"1 pictures of .*one have changed or are gone, 'val/sad/1\.png' the first"):
        importers.read(tmp_path / "m.parquet")
    (folders[0] / "test" / "happy" / "0.png").unlink()
    with pytest.raises(SourceError, match="2 pictures of"):
        importers.read(tmp_path / "m.parquet")


def test_a_data_set_that_is_gone_is_named(tmp_path, folders):
    written(tmp_path / "m.parquet", *folders)
    folders[1].rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"other: nothing there"):
        importers.read(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda rows: [row | {"split": "exam"} for row in rows],
            r"splits \['exam'\]: expected train, validation",
        ),
        (lambda rows: [{**rows[0], "label": "joyous"}, *rows[1:]], "label 'joyous': expected one of angry"),
    ],
)
def test_a_manifest_that_says_what_is_not_is_refused(tmp_path, folders, change, says):
    written(tmp_path / "m.parquet", *folders)
    changed(tmp_path / "m.parquet", change)
    with pytest.raises(SourceError, match=says):
        importers.read(tmp_path / "m.parquet")


def test_a_manifest_without_rows_is_refused(tmp_path, folders):
    written(tmp_path / "m.parquet", *folders)
    table = parquet.read_table(tmp_path / "m.parquet")
    parquet.write_table(table.slice(0, 0), tmp_path / "m.parquet")
    with pytest.raises(SourceError, match="no faces in it"):
        importers.read(tmp_path / "m.parquet")


def test_the_summary_counts_every_label_of_every_split_and_lists_unknown_names(tmp_path, folders):
    """S11 and T05."""
    text = manifest.summary(written(tmp_path / "m.parquet", *folders))
    assert "| data set | split | fear | happy | sad | unknown | all |" in text
    assert "| one | train | 0 | 6 | 6 | 6 | 18 |" in text
    assert "| one | validation | 0 | 2 | 2 | 2 | 6 |" in text
    assert "| other | train | 16 | 0 | 0 | 0 | 16 |" in text
    assert "'bored' 10" in text
    assert "for one of the rarest: 2.7" in text


def test_the_summary_names_labels_that_a_split_lacks(tmp_path, folders):
    faces = written(tmp_path / "m.parquet", *folders)
    lacking = replace(faces, split=np.where(faces.name == "sad", "train", faces.split))
    assert "**No sad in the validation split**" in manifest.summary(lacking)
    assert "**No" not in manifest.summary(faces)


def test_the_imbalance_is_of_the_training_split_alone(folders):
    faces = importers.read_all([folders[0]])
    assert manifest.imbalance(faces) == 1.0
    assert np.isnan(manifest.imbalance(faces.where(faces.split == "test")))

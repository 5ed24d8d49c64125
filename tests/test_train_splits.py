"""How faces are dealt to training, validation and test where a data set does not say."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge.contract import LABELS
from edge.errors import SourceError
from train import splits
from train.data import Face, FaceSet, gathered

RNG = np.random.default_rng(11)


def face_set(labels: list[str], subjects: list[str] | None = None, official: list[str] | None = None) -> FaceSet:
    """Faces that are all different, with these labels, people and splits."""
    pictures = np.random.default_rng(7).integers(0, 256, (len(labels), 48, 48), np.uint8)
    return gathered(
        (
            Face(picture, str(i), labels[i], official[i] if official else "", subject=subjects[i] if subjects else "")
            for i, picture in enumerate(pictures)
        ),
        "test set",
        "none",
    )


def counts(faces: FaceSet, label: str) -> dict[str, int]:
    return {name: int(((faces.split == name) & (faces.name == label)).sum()) for name in splits.SPLITS}


some_labels = some.lists(some.sampled_from(LABELS[:4]), min_size=1, max_size=60)


@given(some_labels)
def test_every_label_is_in_every_split_if_there_are_three_faces_of_it(labels):
    """T05 and S10."""
    faces = splits.assigned(face_set(labels))
    for label in set(labels):
        there = counts(faces, label)
        assert (
            all(there.values())
            if labels.count(label) >= 3
            else there
            == {"train": labels.count(label)}
            | {
                "validation": 0,
                "test": 0,
            }
        )


@given(some.lists(some.tuples(some.sampled_from(LABELS[:3]), some.integers(0, 9)), min_size=1, max_size=60))
def test_one_person_is_never_in_two_splits(drawn):
    """T04: three frames of one film are nearly the same picture."""
    faces = splits.assigned(face_set([label for label, _ in drawn], [f"S{person}" for _, person in drawn]))
    for person in np.unique(faces.subject):
        assert len(np.unique(faces.split[faces.subject == person])) == 1


@given(some_labels, some.randoms(use_true_random=False), some.integers(0, 3))
def test_the_splits_do_not_depend_on_the_order_of_the_faces(labels, random, seed):
    faces = face_set(labels)
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = splits.assigned(faces.where(np.array(order)), seed)
    assert splits.digest(shuffled) == splits.digest(splits.assigned(faces, seed))
    np.testing.assert_array_equal(shuffled.split, splits.assigned(faces, seed).split[order])


def test_each_label_has_its_share_in_each_split():
    faces = splits.assigned(face_set(["happy"] * 600 + ["sad"] * 100 + ["fear"] * 30))
    assert counts(faces, "happy") == {"train": 480, "validation": 60, "test": 60}
    assert counts(faces, "sad") == {"train": 80, "validation": 10, "test": 10}
    assert counts(faces, "fear") == {"train": 24, "validation": 3, "test": 3}


def test_people_of_different_size_give_shares_that_are_nearly_right():
    people = [f"S{person}" for person in range(60) for _ in range(1 + person % 7)]
    faces = splits.assigned(face_set([LABELS[i % 5] for i in range(len(people))], people))
    for name, share in splits.SHARES.items():
        assert 0.5 * share < (faces.split == name).mean() < 2 * share


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_group_of_a_label_is_for_training(seed):
    faces = splits.assigned(face_set(["happy"] * 10, ["S1"] * 8 + ["S2", "S3"]), seed)
    assert {*faces.split[faces.subject == "S1"]} == {"train"}
    assert splits.absent(faces) == {}


def test_the_same_seed_gives_the_same_splits_and_another_seed_others():
    faces = face_set(["happy"] * 60)
    assert splits.digest(splits.assigned(faces, 1)) == splits.digest(splits.assigned(faces, 1))
    assert splits.digest(splits.assigned(faces, 1)) != splits.digest(splits.assigned(faces, 2))


def test_official_splits_stay_as_they_are():
    official = ["train", "validation", "test"] * 10
    faces = splits.assigned(face_set(["happy"] * 30, official=official))
    assert list(faces.split) == official


def test_a_test_split_without_validation_has_it_drawn_from_training():
    """FER2013 folders and RAF-DB: what is held out officially stays held out."""
    official = ["train"] * 100 + ["test"] * 20
    faces = splits.assigned(face_set(["happy", "sad"] * 60, official=official))
    assert (faces.split[100:] == "test").all()
    assert counts(faces, "happy") == counts(faces, "sad") == {"train": 45, "validation": 5, "test": 10}


def test_test_faces_alone_stay_test_faces():
    faces = splits.assigned(face_set(["happy"] * 9, official=["test"] * 9))
    assert {*faces.split} == {"test"}


def test_near_duplicates_of_nobody_in_particular_stay_together():
    """T04: the same photo stored three times, each compressed otherwise, is in one split."""
    photos = [
        cv2.resize(RNG.integers(0, 256, (6, 6), np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC) for _ in range(20)
    ]
    stored = [
        (i, cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE))
        for i, photo in enumerate(photos)
        for quality in (95, 80, 60)
    ]
    faces = splits.assigned(gathered((Face(picture, str(i), "happy") for i, picture in stored), "photos", "none"))
    assert {*faces.split} == {*splits.SPLITS}
    for key in np.unique(faces.key):
        assert len(np.unique(faces.split[faces.key == key])) == 1


def test_people_and_near_duplicates_join_into_one_group():
    pictures = np.random.default_rng(2).integers(0, 256, (4, 48, 48), np.uint8)
    listed = [(pictures[0], "A"), (pictures[1], "A"), (pictures[1], "B"), (pictures[2], "B"), (pictures[3], "")]
    faces = gathered((Face(each, str(i), "sad", subject=who) for i, (each, who) in enumerate(listed)), "x", "none")
    groups = splits.grouped(faces)
    assert len(set(groups[:4])) == 1 and groups[4] != groups[0]


def test_a_label_that_a_split_lacks_is_named():
    """T05: two faces of fear cannot be in three splits."""
    faces = splits.assigned(face_set(["happy"] * 30 + ["fear"] * 2))
    assert splits.absent(faces) == {"validation": ("fear",), "test": ("fear",)}
    with pytest.raises(SourceError, match="the validation split has no face labelled fear"):
        splits.refuse_absent(faces)
    splits.refuse_absent(faces.where(faces.name == "happy"))


def test_a_validation_split_that_holds_only_the_last_labels_is_refused():
    """T05: an ordered list cut in two."""
    labels = ["angry"] * 10 + ["happy"] * 10 + ["sad"] * 10
    faces = face_set(labels, official=["train"] * 24 + ["validation"] * 6)
    with pytest.raises(SourceError, match="the validation split has no face labelled angry, happy"):
        splits.refuse_absent(faces)
    with pytest.raises(SourceError, match="no validation faces"):
        splits.refuse_absent(replace(faces, split=np.full(30, "train")))


def test_an_unknown_name_is_no_label_that_a_split_could_lack():
    faces = face_set(["happy"] * 9 + ["bored"], official=["train", "validation", "test"] * 3 + ["train"])
    assert splits.absent(faces) == {}


def test_the_digest_changes_with_a_single_face():
    faces = splits.assigned(face_set(["happy"] * 30))
    other = "test" if faces.split[0] == "train" else "train"
    moved = replace(faces, split=np.array([other, *faces.split[1:]]))
    assert splits.digest(moved) != splits.digest(faces)

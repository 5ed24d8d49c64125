"""A file is there whole, or as it was before, and nothing lies beside it."""

import pytest

from edge.whole import whole


def test_it_becomes_the_file_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with whole(path) as aside:
        aside.write_text("new")
        assert (path.read_text(), aside.suffix) == ("old", ".json")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_file_is_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"), whole(path) as aside:
        aside.write_text("ne")
        raise ValueError("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_written_over(tmp_path):
    with whole(tmp_path / "a.json") as aside:
        pass_by = aside
        aside.write_text("one")
    pass_by.write_text("left by a kill")
    with whole(tmp_path / "a.json") as aside:
        aside.write_text("two")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["two"]


def test_without_its_folder_it_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError), whole(tmp_path / "none" / "a.json") as aside:
        aside.write_text("new")

"""`emotion-edge events`: which record, which of its events, and in what form."""

import csv
import json
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from edge.events import CameraEvent
from edge.listing import HEADING, LOOK_SECONDS
from edge.record import Recorder
from edge.timeline import Held, rows_of, spans_of
from tests.disks import growing_no_further
from tests.stores import Clock, documents, filled, opened, record
from tests.test_bad_input import complaint
from tests.test_record import EVENT, LOST

ROOT = Path(__file__).parents[1]

STORY = (
    (replace(EVENT, type="start", track=1, label="happy", dwell_ms=0.0), 10),
    (replace(EVENT, type="change", track=1, label="sad", dwell_ms=10_000.0), 5),
    (replace(EVENT, type="start", track=2, label="neutral", dwell_ms=0.0), 5),
    (LOST, 60),
    (replace(EVENT, type="end", track=1, label="sad", dwell_ms=7_000.0), 3600),
    (CameraEvent("camera_back", "/dev/video0", "no picture for 1.5 s", 2500.0, 99.5), 30),
    (replace(EVENT, type="change", track=2, label="uncertain", reason="blurred", confidence=0.0, top=()), 20),
)
"""Seven events, each with the seconds that pass after it: the first at 10:15:30."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of the story."""
    clock, path = Clock(), tmp_path / "events.db"
    with closing(opened(path, clock)) as store:
        recorder = Recorder("kitchen", "m@1#ab", [store], clock.clocks)
        for event, seconds in STORY:
            recorder.write(event)
            clock.pass_by(seconds)
    return path


def listed(in_process, path: Path, *words: object) -> list[int]:
    """The numbers of the events that `list` prints."""
    done = in_process("events", "list", "--store", path, "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line)["seq"] for line in done.stdout.splitlines()]


def test_the_table_has_a_line_for_each_event(path: Path, in_process) -> None:
    done = in_process("events", "list", "--store", path)
    heading, *rows = done.stdout.splitlines()
    assert heading == HEADING and len(rows) == 7
    assert rows[1].split() == ["2", "2026-11-21T10:15:40.000Z", "change", "1", "sad", "83%", "after", "10.0", "s"]
    assert rows[3].split(maxsplit=4)[2:] == ["camera_lost", "-", "/dev/video0 no picture for 1.5 s"]


def test_a_time_of_a_clock_that_nobody_kept_right_is_marked(tmp_path: Path, in_process) -> None:
    filled(tmp_path / "events.db", 1, Clock(synchronized=False))
    assert "2026-11-21T10:15:30.000Z~" in in_process("events", "list", "--store", tmp_path / "events.db").stdout


def test_what_would_steer_a_terminal_is_not_printed(tmp_path: Path, in_process) -> None:
    with closing(opened(tmp_path / "events.db")) as store:
        Recorder("", "", [store]).write(replace(LOST, reason="\x1b[2Jgone\n"))
    done = in_process("events", "list", "--store", tmp_path / "events.db")
    assert "?[2Jgone?" in done.stdout and "\x1b" not in done.stdout


def test_json_lines_are_the_records(path: Path, in_process) -> None:
    done = in_process("events", "list", "--store", path, "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == documents(path)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ((), [1, 2, 3, 4, 5, 6, 7]),
        (("--limit", 2), [6, 7]),
        (("--type", "start"), [1, 3]),
        (("--type", "start", "--type", "camera_lost"), [1, 3, 4]),
        (("--label", "sad"), [2, 5]),
        (("--label", "sad", "--type", "end"), [5]),
        (("--label", "sad", "--limit", 1), [5]),
        (("--label", "joyful"), []),
        (("--since", "2026-11-21T10:15:45Z"), [3, 4, 5, 6, 7]),
        (("--until", "2026-11-21T11:15:45+01:00"), [1, 2, 3]),
        (("--since", "2026-11-21T10:15:41Z", "--until", "2026-11-21T10:16:50Z"), [3, 4, 5]),
    ],
)
def test_events_are_chosen_by_time_type_label_and_number(words, numbers, path: Path, in_process) -> None:
    assert listed(in_process, path, *words) == numbers


def test_a_span_counts_back_from_now(tmp_path: Path, in_process) -> None:
    path, clock = tmp_path / "events.db", Clock(now=time.time() - 3 * 3600)
    with closing(opened(path, clock)) as store:
        for seq in (1, 2, 3):
            store.write(record(seq, clock))
            clock.pass_by(3600)
    assert listed(in_process, path, "--since", "2.5h") == [2, 3]
    assert listed(in_process, path, "--until", "90m") == [1, 2]
    assert listed(in_process, path, "--since", "1w") == [1, 2, 3]
    assert listed(in_process, path, "--since", "5s") == []


def test_the_record_is_the_one_of_the_flag_the_settings_or_systemd(
    path: Path, tmp_path: Path, in_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "edge.toml"
    settings.write_text(f'[store]\npath = "{path}"\n')
    assert in_process("events", "list", "--config", settings).stdout.count("\n") == 8
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    assert in_process("events", "list").stdout.count("\n") == 8
    assert "missing.db: No such file" in complaint(in_process("events", "list", "--store", tmp_path / "missing.db"))
    monkeypatch.delenv("STATE_DIRECTORY")
    assert "which record of events? expected --store FILE" in complaint(in_process("events", "list"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("list", "--since", "yesterday"), "--since 'yesterday': expected a time such as"),
        (("list", "--until", "99999999999999w"), "--until '99999999999999w': expected a time such as"),
        (("list", "--limit", "0"), "0 events: expected 1 or more"),
        (("export", "--out", "events"), "events: which format? expected --format, one of csv, jsonl, parquet"),
        (("plot", "--out", "events.gif"), "events.gif: expected a name that ends in .png or .svg or .pdf"),
        (("plot", "--out", "events.png", "--type", "camera_lost"), "no face in these events: nothing to plot"),
        (("export", "--out", "missing/events.csv"), "cannot be written: No such file or directory"),
        (("export", "--out", "/dev/null", "--format", "csv"), "/dev/null: is no file: choose another --out"),
        (("export", "--out", "events.db", "--format", "csv"), "events.db: is the record itself: choose another --out"),
    ],
)
def test_what_does_not_do_is_one_line(
    words, says: str, path: Path, in_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    before = sorted(path.parent.glob("[a-z.]*[!lm]"))
    assert says in complaint(in_process("events", *words, "--store", path))
    assert sorted(path.parent.glob("[a-z.]*[!lm]")) == before


def test_tail_prints_the_newest_and_follows_those_to_come(path: Path) -> None:
    assert LOOK_SECONDS <= 1
    command = [sys.executable, "-m", "edge", "events", "tail", "--store", str(path), "-n", "2", "--json", "--follow"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None and tail.stderr is not None
        assert [json.loads(tail.stdout.readline())["seq"] for _ in range(2)] == [6, 7]
        with closing(opened(path)) as store:
            for seq in range(8, 12):
                store.write(record(seq))
                assert json.loads(tail.stdout.readline())["seq"] == seq
        tail.terminate()
        assert tail.stderr.read() == b""


def test_reading_needs_no_daemon_and_does_not_disturb_one(path: Path, emotion_edge) -> None:
    with closing(opened(path)) as store:
        store.write(record(8))
        assert emotion_edge("events", "tail", "-n", "1", "--store", path, "--json").returncode == 0
    done = emotion_edge("events", "tail", "-n", "1", "--store", path, "--json")
    assert json.loads(done.stdout)["seq"] == 8


def test_csv_has_a_column_for_each_field(path: Path, tmp_path: Path, in_process) -> None:
    done = in_process("events", "export", "--store", path, "--out", tmp_path / "events.csv")
    assert done.stdout == f"{tmp_path / 'events.csv'}: 7 events\n"
    with (tmp_path / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seq"] for row in rows] == list("1234567")
    first, lost = rows[0], rows[3]
    assert (first["label"], first["x"], first["height"], first["age_ms"] != "") == ("happy", "0.31", "0.24", True)
    assert json.loads(first["top"])[0] == ["happy", 0.8312]
    assert (lost["camera"], lost["reason"]) == ("/dev/video0", "no picture for 1.5 s")
    assert lost["label"] == lost["track"] == lost["top"] == ""


def test_json_lines_can_be_exported_and_chosen(path: Path, tmp_path: Path, in_process) -> None:
    in_process("events", "export", "--store", path, "--out", tmp_path / "o", "--format", "jsonl", "--label", "sad")
    lines = (tmp_path / "o").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [each for each in documents(path) if each.get("label") == "sad"]


def test_parquet_has_types(path: Path, tmp_path: Path, in_process) -> None:
    in_process("events", "export", "--store", path, "--out", tmp_path / "events.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "events.parquet")
    assert table.column("seq").to_pylist() == [1, 2, 3, 4, 5, 6, 7]
    assert table.column("ts")[0].as_py() == datetime(2026, 11, 21, 10, 15, 30, tzinfo=UTC)
    assert table.column("confidence").to_pylist()[3] is None
    assert str(table.schema.field("uncertain").type) == "bool"


@pytest.mark.parametrize(("what", "module"), [("export", "pyarrow"), ("plot", "matplotlib")])
def test_without_its_library_it_says_what_to_install(
    what: str, module: str, path: Path, tmp_path: Path, in_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.figure", None)
    out = tmp_path / ("o.parquet" if what == "export" else "o.png")
    assert 'pip install "emotion-edge[export]"' in complaint(in_process("events", what, "--store", path, "--out", out))
    assert not out.exists()


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet", "o.png"])
def test_an_export_that_the_disk_refuses_leaves_what_was_there(name: str, tmp_path: Path, in_process) -> None:
    path, out = tmp_path / "events.db", tmp_path / name
    with closing(opened(path)) as store:
        for seq in range(1, 2001):
            store.write(record(seq, Clock(now=1795256130.0 + seq), track=seq % 7))
    out.write_text("as it was")
    in_process("events", "tail", "--store", path)  # SQLite's own files beside it are made
    with growing_no_further(5000):
        done = in_process("events", "plot" if name == "o.png" else "export", "--store", path, "--out", out)
    assert "cannot be written" in complaint(done)
    assert out.read_text() == "as it was"
    assert not list(tmp_path.glob(".*"))


def test_the_plot_is_a_picture_with_the_labels_colours(path: Path, tmp_path: Path, in_process) -> None:
    done = in_process("events", "plot", "--store", path, "--out", tmp_path / "o.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    picture = cv2.imread(str(tmp_path / "o.png"))
    for blue, green, red in ((14, 127, 255), (180, 119, 31), (207, 190, 23)):  # happy, sad, neutral
        assert np.all(picture == (blue, green, red), axis=2).sum() > 100


def test_spans_are_from_a_label_s_event_to_the_next_of_its_face(path: Path) -> None:
    ten_fifteen = datetime(2026, 11, 21, 10, 15, 30, tzinfo=UTC).timestamp()
    spans = [replace(each, began=each.began - ten_fifteen, ended=each.ended - ten_fifteen) for each in _spans(path)]
    assert spans == [
        Held(1, "happy", 0, 10),
        Held(1, "sad", 10, 17),
        Held(3, "neutral", 15, 3710),
    ]
    assert rows_of(spans) == [0, 0, 1]


def _spans(path: Path) -> list[Held]:
    return spans_of(documents(path))


def test_a_face_whose_daemon_was_killed_has_no_end_that_we_know(tmp_path: Path) -> None:
    path, clock = tmp_path / "events.db", Clock()
    with closing(opened(path, clock)) as store:
        recorder = Recorder("", "", [store], clock.clocks)
        start, change = replace(EVENT, type="start", dwell_ms=0.0), replace(EVENT, type="change", dwell_ms=2000.0)
        for event, track in ((start, 1), (start, 2), (change, 2), (start, 1), (replace(change, type="end"), 1)):
            recorder.write(replace(event, track=track))
            clock.pass_by(10)
    assert [(each.face, each.ended - each.began) for each in _spans(path)] == [(2, 10), (4, 2)]


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    ask = (
        "import sys, edge.cli; edge.cli._parser().parse_args(['events', 'list']);"
        "print([name for name in ('sqlite3', 'matplotlib', 'pyarrow', 'cv2', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert done.stdout == "[]\n"

"""Settings: defaults that work, everything can be set from TOML, and whatever does not fit is refused in one line."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from edge import config
from edge.config import Settings, build, read
from edge.errors import SettingsError

SHIPPED = Path(__file__).parents[1] / "systemd" / "edge.toml"

SET: dict[str, dict[str, object]] = {
    "camera": {
        "source": "/dev/video0",
        "width": 1280,
        "height": 720,
        "fps": 25.5,
        "format": "YUYV",
        "upside_down": True,
        "focus_metres": 1.5,
        "pace": False,
        "repeat": True,
        "frozen_seconds": 2.5,
        "give_up_after": 5,
    },
    "faces": {"backend": "mediapipe", "range": "full", "min_score": 0.6, "max_faces": 3},
    "model": {"file": "mine.tflite", "threads": 2, "abstain": 0.7},
    "limits": {"min_face_px": 40.5, "min_sharpness": 0.1, "max_turn": 0.3},
    "track": {"min_iou": 0.4, "lost_seconds": 2.5, "confirm_frames": 5, "longest_seconds": 60.5},
    "events": {
        "smooth_seconds": 0.8,
        "margin": 0.2,
        "dwell_seconds": 1.5,
        "device": "kitchen",
        "path": "events.jsonl",
        "report_seconds": 60.5,
    },
    "store": {"path": "events.db", "keep_days": 7.5, "keep_mb": 10.5},
    "mqtt": {
        "host": "broker.lan",
        "port": 8884,
        "tls": False,
        "ca_file": "ca.pem",
        "user": "edge",
        "password_file": "password",
        "topic": "faces",
        "discovery": "ha",
    },
    "page": {
        "address": "localhost",
        "port": 8080,
        "token_file": "token",
        "hosts": ["kitchen.lan"],
        "picture": False,
        "certificate": "page.crt",
        "key": "page.key",
    },
    "governor": {
        "max_age_ms": 99.5,
        "max_celsius": 70.5,
        "longest_interval": 2,
        "slow_fps": 7.5,
        "idle_seconds": 3.5,
        "idle_fps": 5.5,
        "spans_folder": "spans",
    },
    "privacy": {
        "context": "home",
        "notice_shown": True,
        "medical_or_safety": True,
        "contact": "Ada, room 3",
    },
}
"""A value for every setting, none of them the default; one that a file may hold as it is."""

NAMES = [(table.name, each.name) for table in fields(Settings) for each in fields(getattr(Settings(), table.name))]

WITHOUT_DEFAULT = {
    (table, name) for table, name in NAMES if getattr(getattr(Settings(), table), name) is None or name == "device"
}
"""No default that TOML can say: none, or this computer's name. The shipped file shows an example of each."""


def meant(settings: object, table: str, name: str) -> object:
    """A setting as a file says it."""
    value = getattr(getattr(settings, table), name)
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def toml(table: str, name: str, value: object) -> str:
    return f"[{table}]\n{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"


@pytest.fixture
def settings_file(tmp_path):
    """A function that writes a settings file, and gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "edge.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(path: Path) -> str:
    """The one line that refuses a file, which it names."""
    with pytest.raises(SettingsError) as caught:
        read(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence


def test_the_defaults_are_valid_and_an_empty_file_means_them(settings_file):
    assert read(settings_file("")) == Settings()
    assert Settings().camera.source == "demo"
    assert Settings().events.device == socket.gethostname()


def test_a_value_is_tried_for_each_setting_and_differs_from_the_default():
    assert [(table, name) for table, names in SET.items() for name in names] == NAMES
    assert not [name for name in NAMES if SET[name[0]][name[1]] == getattr(getattr(Settings(), name[0]), name[1])]


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_each_setting_can_be_set_from_a_file_and_changes_nothing_else(settings_file, table, name):
    got = read(settings_file(toml(table, name, SET[table][name])))
    assert meant(got, table, name) == SET[table][name]
    assert {each: meant(got, *each) for each in NAMES if each != (table, name)} == {
        each: meant(Settings(), *each) for each in NAMES if each != (table, name)
    }


def test_all_can_be_set_at_once(settings_file):
    everything = "".join(
        f"[{table}]\n" + "".join(toml(table, *each).split("\n")[1] + "\n" for each in names.items())
        for table, names in SET.items()
    )
    assert read(settings_file(everything)) == build(Settings, SET)


def test_a_whole_number_is_taken_where_a_fraction_may_stand(settings_file):
    fps = read(settings_file("[camera]\nfps = 25\n")).camera.fps
    assert fps == 25
    assert type(fps) is float


def test_the_file_is_utf_8_whatever_the_locale(settings_file):
    path = settings_file('[events]\ndevice = "Küche"\n')
    show = "import edge.config, pathlib, sys; print(ascii(edge.config.read(pathlib.Path(sys.argv[1])).events.device))"
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", show, path], capture_output=True, text=True, env=plain, check=False)
    assert (done.stdout, done.stderr) == ("'K\\xfcche'\n", "")


@pytest.mark.parametrize("table", SET)
def test_an_unknown_name_is_refused_with_the_names_that_there_are(settings_file, table):
    sentence = refused(settings_file(f"[{table}]\nqqqqq = 1\n"))
    assert f"[{table}] unknown name 'qqqqq'. There are: {', '.join(SET[table])}" in sentence


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_a_misspelt_name_is_refused_with_a_suggestion(settings_file, table, name):
    sentence = refused(settings_file(toml(table, name + "s", SET[table][name])))
    assert f"[{table}] unknown name {name + 's'!r}; did you mean {name!r}?" in sentence


def test_an_unknown_table_is_refused_with_a_suggestion(settings_file):
    sentence = refused(settings_file("[cameras]\nfps = 30\n"))
    assert "unknown name 'cameras'; did you mean 'camera'? There are: camera, faces, model" in sentence


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("camera = 1", "camera = 1: expected a table [camera]"),
        ("[camera]\nsource = 0", "[camera] source = 0: expected text"),
        ("[camera]\nwidth = 640.0", "[camera] width = 640.0: expected a whole number"),
        ("[camera]\nwidth = true", "[camera] width = True: expected a whole number"),
        ('[camera]\nfps = "30"', "[camera] fps = '30': expected a number"),
        ("[camera]\nfps = true", "[camera] fps = True: expected a number"),
        ("[camera]\npace = 1", "[camera] pace = 1: expected true or false"),
        ('[faces]\nrange = "far"', "[faces] range = 'far': expected one of 'auto', 'short', 'full'"),
        ("[faces]\nbackend = []", "[faces] backend = []: expected one of 'litert', 'mediapipe'"),
        ("[events]\npath = 1", "[events] path = 1: expected a path, as text"),
        ('[model]\nabstain = "half"', "[model] abstain = 'half': expected a number"),
        ("[events]\ndevice = 2024-01-01", "[events] device = datetime.date(2024, 1, 1): expected text"),
        ("[page]\nhosts = 'me'", "[page] hosts = 'me': expected a list of texts"),
        ("[page]\nhosts = [1]", "[page] hosts = [1]: expected a list of texts"),
        ("[page]\naddress = '0.0.0.0'", "[page] address = '0.0.0.0' can be reached by others: expected token_file"),
        ("[mqtt]\ntopic = 'a/#'", "[mqtt] topic = 'a/#': expected a topic without + and #"),
        (f"[mqtt]\ntopic = '{'a' * 201}'", "[mqtt] topic has 201 letters: expected at most 200"),
        ("[mqtt]\ntopic = ''", "[mqtt] topic = '': expected the first part of the topics"),
        ("[[track]]\nmin_iou = 0.3", "track = [{'min_iou': 0.3}]: expected a table [track]"),
    ],
)
def test_a_wrong_type_is_refused(settings_file, content, expected):
    assert expected in refused(settings_file(content))


BOUNDS = [
    ("camera", "width", 64, 7680),
    ("camera", "height", 64, 4320),
    ("camera", "fps", 0.1, 1000),
    ("camera", "focus_metres", 0, 1000),
    ("camera", "frozen_seconds", 0, 60),
    ("camera", "give_up_after", 0, 1_000_000),
    ("faces", "min_score", 0.05, 0.99),
    ("faces", "max_faces", 1, 100),
    ("model", "threads", 0, 64),
    ("model", "abstain", 0, 0.99),
    ("limits", "min_face_px", 0, 4000),
    ("limits", "min_sharpness", 0, 1000),
    ("limits", "max_turn", 0, 10),
    ("track", "min_iou", 0.05, 0.95),
    ("track", "lost_seconds", 0.05, 60),
    ("track", "confirm_frames", 1, 100),
    ("track", "longest_seconds", 1, 86400),
    ("events", "smooth_seconds", 0, 60),
    ("events", "margin", 0, 0.9),
    ("events", "dwell_seconds", 0, 60),
    ("events", "report_seconds", 0, 86400),
    ("store", "keep_days", 0.01, 36500),
    ("store", "keep_mb", 1, 1_000_000),
    ("mqtt", "port", 0, 65535),
    ("page", "port", 0, 65535),
    ("governor", "max_age_ms", 1, 60000),
    ("governor", "max_celsius", 1, 150),
    ("governor", "longest_interval", 1, 64),
    ("governor", "slow_fps", 0, 1000),
    ("governor", "idle_seconds", 0, 86400),
    ("governor", "idle_fps", 0.1, 1000),
]


def test_every_number_has_bounds():
    numbers = {name for name in NAMES if type(SET[name[0]][name[1]]) in (int, float)}
    assert {(table, name) for table, name, _, _ in BOUNDS} == numbers


@pytest.mark.parametrize(("table", "name", "low", "high"), BOUNDS)
def test_a_number_may_be_at_its_bounds_and_not_beyond(settings_file, table, name, low, high):
    step = 1 if isinstance(SET[table][name], int) else 0.001
    for given in (low, high):
        assert getattr(getattr(read(settings_file(toml(table, name, given))), table), name) == given
    for given in (low - step, high + step):
        sentence = refused(settings_file(toml(table, name, given)))
        assert f"[{table}] {name} = {given!r}: expected {low} to {high}" in sentence


@pytest.mark.parametrize("given", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_out_of_range(settings_file, given):
    assert f"min_score = {given}: expected 0.05 to 0.99" in refused(settings_file(f"[faces]\nmin_score = {given}\n"))


def test_a_setting_out_of_range_is_refused_without_a_file_too():
    with pytest.raises(SettingsError, match=re.escape("[track] confirm_frames = 0: expected 1 to 100")):
        config.Track(confirm_frames=0)


def test_a_missing_file_is_refused(tmp_path):
    assert "cannot read the settings: No such file" in refused(tmp_path / "none.toml")


def test_a_folder_is_no_settings_file(tmp_path):
    assert "cannot read the settings: Is a directory" in refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"[camera\n",
        b"fps = ",
        b"[camera]\nfps = 1\nfps = 2\n",
        b"[camera]\n[camera]\n",
        b"\xff\xfe",
        b"\x89PNG\r\n\x1a\n\0",
        b"[camera]\nfps = 1" + b"0" * 400,
        b"[camera]\nfps = 1" + b"0" * 5000,
        b"a = " + b"[" * 100_000,
    ],
    ids=["table", "value", "twice", "table twice", "bytes", "picture", "no float", "no number", "nested"],
)
def test_what_is_no_toml_is_refused(settings_file, content):
    assert "no valid TOML: " in refused(settings_file(content))


def test_the_shipped_file_means_the_defaults():
    assert read(SHIPPED) == Settings()


def shipped_values() -> dict[tuple[str, str], object]:
    """Each setting in the shipped file, as if its comment mark were removed."""
    uncommented = re.sub(r"(?m)^#(?=\w)", "", SHIPPED.read_text("utf-8"))
    return {
        (table, name): value for table, names in tomllib.loads(uncommented).items() for name, value in names.items()
    }


def test_the_shipped_file_has_every_setting_in_order_and_at_its_default():
    shown = shipped_values()
    assert list(shown) == NAMES
    assert {name: value for name, value in shown.items() if name not in WITHOUT_DEFAULT} == {
        name: meant(Settings(), *name) for name in NAMES if name not in WITHOUT_DEFAULT
    }


def test_the_examples_of_the_shipped_file_are_allowed():
    tables: dict[str, dict[str, object]] = {}
    for (table, name), value in shipped_values().items():
        tables.setdefault(table, {})[name] = value
    settings = build(Settings, tables)
    assert all(is_dataclass(getattr(settings, table)) for table in SET)
    assert settings.events.path and settings.events.device and settings.model.abstain


def test_each_setting_of_the_shipped_file_has_a_comment_that_tells_its_bounds():
    comments = dict(re.findall(r"(?m)^# (.+)\n#(\w+ = .+)$", SHIPPED.read_text("utf-8")))
    assert len(comments) == len(NAMES)
    said = {line.split(" = ")[0]: comment for comment, line in comments.items()}
    assert not [name for _, name, low, high in BOUNDS if f"{low} to {high}" not in said[name]]


@pytest.mark.parametrize(("table", "name"), NAMES)
def test_each_setting_can_be_changed_by_its_name(table, name):
    given = SET[table][name]
    said = str(given).lower() if isinstance(given, bool) else str(given)
    settings = config.changed(Settings(), [f"{table}.{name}={said}", "camera.fps = 12"])
    assert (meant(settings, table, name), settings.camera.fps) == (
        12 if (table, name) == ("camera", "fps") else given,
        12,
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("dwell=1", "'dwell=1': expected TABLE.NAME=VALUE with a TABLE of camera, faces"),
        ("events.dwell_seconds", "expected TABLE.NAME=VALUE"),
        ("event.dwell_seconds=1", "expected TABLE.NAME=VALUE with a TABLE of camera"),
        ("events.dwell_second=1", "[events] unknown name 'dwell_second'; did you mean 'dwell_seconds'?"),
        ("events.dwell_seconds=long", "[events] dwell_seconds = 'long': expected a number"),
        ("events.dwell_seconds=-1", "[events] dwell_seconds = -1.0: expected 0 to 60"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(said, expected):
    with pytest.raises(SettingsError, match=re.escape(expected)):
        config.changed(Settings(), [said])

"""Log records as entries of the journal, over a real socket, and how the program knows that it is watched by one."""

import io
import logging
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.journal import Journal, entry, is_journal, pairs, priority

ROOT = Path(__file__).parents[1]


def fields(content: bytes) -> dict[str, str]:
    """What journald reads from an entry (systemd's "Native Journal Protocol")."""
    found, rest = {}, content
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, given, value = line.partition(b"=")
        if not given:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def record(message: str, *words: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("emotion_edge", level, __file__, 1, message, words, None)


@pytest.fixture
def journal(tmp_path):
    """A journal's socket, and a log that goes there; what it does not take is in `printed`."""
    address = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(address))
        end.settimeout(30)
        log, handler = logging.Logger("emotion_edge"), Journal(io.StringIO(), str(address))
        log.addHandler(handler)
        yield log, end, handler.stream
        handler.close()


def test_a_record_is_one_entry_with_its_priority_and_its_pairs(journal):
    log, end, printed = journal
    log.warning("camera=%s lost reason=%r", "/dev/video0", "no picture: it's gone")
    assert fields(end.recv(65536)) == {
        "MESSAGE": 'camera=/dev/video0 lost reason="no picture: it\'s gone"',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "emotion-edge",
        "EMOTION_EDGE_CAMERA": "/dev/video0",
        "EMOTION_EDGE_REASON": "no picture: it's gone",
    }
    assert printed.getvalue() == ""


@pytest.mark.parametrize(
    ("level", "expected"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2), (5, 7)],
)
def test_priorities_are_those_of_syslog(level, expected):
    assert priority(level) == expected


def test_a_traceback_is_one_entry_of_several_lines(journal):
    log, end, _ = journal
    try:
        raise ValueError("of several\nlines")
    except ValueError:
        log.exception("thread=%s failed", "infer")
    found = fields(end.recv(65536))
    assert found["MESSAGE"].startswith("thread=infer failed\nTraceback (most recent call last):\n")
    assert found["MESSAGE"].endswith("ValueError: of several\nlines")
    assert (found["PRIORITY"], found["EMOTION_EDGE_THREAD"]) == ("3", "infer")


def test_what_the_journal_does_not_take_is_printed(journal):
    log, end, printed = journal
    log.info("too long: %s", "x" * 10_000_000)
    end.close()
    log.info("after its end")
    assert printed.getvalue().startswith("too long: xxx")
    assert printed.getvalue().endswith("x\nafter its end\n")


def test_the_speed_line_becomes_figures_that_can_be_asked_for():
    line = "speed fps=29.9 age_ms p50=7.1 capture=1.1/1.5/2.0 dropped=stale_frame:1 faces=1"
    assert dict(pairs(line)) == {
        "EMOTION_EDGE_FPS": "29.9",
        "EMOTION_EDGE_P50": "7.1",
        "EMOTION_EDGE_CAPTURE": "1.1/1.5/2.0",
        "EMOTION_EDGE_DROPPED": "stale_frame:1",
        "EMOTION_EDGE_FACES": "1",
    }


def test_a_text_with_pairs_in_it_is_one_value():
    said = "x' camera=/dev/null\nPRIORITY=0"
    assert dict(pairs(f"page reason={said!r} code=2")) == {"EMOTION_EDGE_REASON": said, "EMOTION_EDGE_CODE": "2"}


@given(st.text(), st.text())
def test_no_text_can_add_or_change_a_field(message, value):
    found = fields(entry(record("%s code=%r", message, value), message))
    assert found["MESSAGE"] == message
    assert found["PRIORITY"] == "6"
    assert all(name.startswith("EMOTION_EDGE_") for name in found.keys() - {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"})


def test_a_file_name_that_is_no_text_is_told_all_the_same():
    assert fields(entry(record("x"), "camera=\udc80"))["MESSAGE"] == "camera=?"


def run_with_stderr(stream: socket.socket, journal_stream: str) -> None:
    command = [sys.executable, "-m", "edge", "run", "--source", "/none"]
    environment = {**os.environ, "JOURNAL_STREAM": journal_stream, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stderr=stream.fileno(), stdout=subprocess.DEVNULL, env=environment, timeout=100)
    assert done.returncode == 2


@pytest.mark.parametrize(("shift", "mark"), [(0, "<3>"), (1, "")])
def test_only_where_standard_error_is_the_journal_lines_have_its_marks(shift, mark):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        status = os.fstat(theirs.fileno())
        run_with_stderr(theirs, f"{status.st_dev}:{status.st_ino + shift}")
        theirs.close()
        lines = ours.makefile().read().splitlines()
    assert lines[-1].startswith(f"{mark}emotion-edge: no source '/none'")


def test_a_stream_without_a_file_is_no_journal(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        status = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(stream, environment)
        assert not is_journal(stream, {})
    assert not is_journal(stream, environment)
    assert not is_journal(io.StringIO(), environment)

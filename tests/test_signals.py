"""Real signals to the real process: it ends cleanly, says so by its exit code, and its last events are whole."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUN = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-m", "edge", "run"]


def started(*arguments: str, events: Path) -> subprocess.Popen:
    """The daemon on the demo clip, after its first line of log."""
    command = [*RUN, "--events", str(events), *arguments]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert daemon.stderr is not None
    for text in daemon.stderr:
        if "start " in text:
            return daemon
    raise AssertionError(f"no start line; exit code {daemon.wait()}")


def ended(daemon: subprocess.Popen, events: Path) -> None:
    output, errors = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, errors
    assert "Traceback" not in errors
    assert "left behind" not in errors
    assert "stop " in errors
    assert output == ""
    records = [json.loads(record) for record in events.read_text().splitlines()]
    begun = {record["track"] for record in records if record["type"] == "start"}
    assert begun == {record["track"] for record in records if record["type"] == "end"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_cleanly(number, tmp_path):
    events = tmp_path / "events.jsonl"
    daemon = started("--no-pace", events=events)
    daemon.send_signal(number)
    ended(daemon, events)


def test_a_second_signal_does_not_tear_the_closing(tmp_path):
    events = tmp_path / "events.jsonl"
    daemon = started(events=events)
    daemon.send_signal(signal.SIGTERM)
    daemon.send_signal(signal.SIGINT)
    daemon.send_signal(signal.SIGTERM)
    ended(daemon, events)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_at_any_moment_end_it_cleanly_fifty_times_of_fifty(number, tmp_path):
    rng = random.Random(number)
    for turn in range(50):
        events = tmp_path / f"events-{turn}.jsonl"
        daemon = started("--no-pace", events=events)
        assert daemon.stderr is not None
        try:
            daemon.wait(rng.uniform(0, 0.5))  # any moment of the run will do; nothing is measured here
        except subprocess.TimeoutExpired:
            daemon.send_signal(number)
        ended(daemon, events)


@pytest.mark.long
def test_the_end_of_a_clip_ends_it_cleanly_fifty_times_of_fifty(tmp_path, short_clip):
    for turn in range(50):
        events = tmp_path / f"events-{turn}.jsonl"
        ended(started("--source", str(short_clip), "--no-pace", events=events), events)


def test_a_reader_that_goes_away_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    daemon = subprocess.run(
        [*RUN, "--no-pace"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=100, check=False
    )
    os.close(write)
    assert daemon.returncode == 0
    assert "Traceback" not in daemon.stderr

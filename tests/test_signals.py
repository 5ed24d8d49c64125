"""Real signals to the real process, errors in its stages, the end of its file: it ends, says so by its exit code, and
its last events are whole."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning"]
RUN = [*PYTHON, "-m", "edge", "run"]
STOPS = [signal.SIGTERM, signal.SIGINT]
BURST = [signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGINT]

PLANTED = """
import sys
from edge import errors, perceive, stats
from edge.cli import main
whole = {place}
def broken(self, what, *rest):
    if getattr(what, "frame", what).number == 45:
        raise {error}
    return whole(self, what, *rest)
{place} = broken
sys.exit(main())
"""
"""The real command line, with a fault in a stage, long enough after the start for an event."""


SWALLOWS = """
import os, time
os.write(1, b"importing")
try:
    time.sleep(100)
except BaseException as error:
    raise ImportError("initialization failed") from error
"""
"""What native modules do with an interrupt while they are imported."""


class Daemon:
    """`emotion-edge run` with its events in a file."""

    def __init__(self, events: Path, *arguments: str, command: Sequence[str] = RUN) -> None:
        self.events = events
        # Unbuffered: what is read here to wait for a line is missing nowhere.
        self.process = subprocess.Popen(
            [*command, "--events", str(events), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.errors = b""

    def logged(self, word: str) -> "Daemon":
        """Once it has logged a line with this word."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.errors += line
            if word.encode() in line:
                return self
        raise AssertionError(f"no {word!r}; exit code {self.process.wait()}, {self.errors!r}")

    def ended(self, code: int = 0, tracebacks: int = 0) -> list[str]:
        """The lines of its log, after it ended as it should."""
        output, rest = self.process.communicate(timeout=60)
        errors = (self.errors + rest).decode()
        assert self.process.returncode == code, errors
        assert errors.count("Traceback") == tracebacks, errors
        assert "left behind" not in errors
        assert "Exception ignored" not in errors
        assert [line for line in errors.splitlines() if line.startswith("INFO stop ")], errors
        assert output == b""
        assert self.begun() == self.tracks("end"), "who is still there when it ends, ends with it"
        return errors.splitlines()

    def begun(self) -> set[int]:
        return self.tracks("start")

    def tracks(self, kind: str) -> set[int]:
        records = [json.loads(line) for line in self.events.read_text().splitlines()]
        assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
        return {record["track"] for record in records if record["type"] == kind}


def often(tmp_path: Path) -> list[str]:
    """Settings with which it logs its speed all the time."""
    settings = tmp_path / "edge.toml"
    settings.write_text("[events]\nreport_seconds = 0.001\n")
    return ["--config", str(settings)]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("pace", [[], ["--no-pace"]])
def test_a_signal_right_after_the_start_ends_it_cleanly(number, pace, events):
    daemon = Daemon(events, *pace).logged("start ")
    daemon.process.send_signal(number)
    daemon.ended()


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_in_the_midst_of_work_ends_it_cleanly_and_the_last_events_are_written(number, events, tmp_path):
    daemon = Daemon(events, "--no-pace", *often(tmp_path)).logged("speed ")
    while not daemon.events.stat().st_size:
        daemon.logged("speed ")
    daemon.process.send_signal(number)
    assert "speed" not in daemon.ended()[-1]
    assert daemon.begun()


@pytest.mark.parametrize("word", ["start ", "speed "])
def test_signals_in_a_row_do_not_tear_the_closing(word, events, tmp_path):
    daemon = Daemon(events, *often(tmp_path)).logged(word)
    for each in BURST:
        daemon.process.send_signal(each)
    daemon.ended()


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_while_it_starts_ends_it_at_once(number, tmp_path):
    """Imports swallow an interrupt, or say that a library is missing: so there it is none."""
    slow = tmp_path / "cv2.py"
    slow.write_text(SWALLOWS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    daemon = subprocess.Popen(RUN, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    assert daemon.stdout is not None
    assert daemon.stdout.read(9) == b"importing"
    daemon.send_signal(number)
    assert daemon.communicate(timeout=60) == (b"", b"")
    assert daemon.returncode == 0


def test_the_end_of_a_file_ends_it_cleanly(events, short_clip):
    daemon = Daemon(events, "--source", str(short_clip), "--no-pace")
    assert "captured=30 published=30" in "".join(daemon.ended())
    assert daemon.begun() == {1}


@pytest.fixture(scope="session")
def cut_clip(tmp_path_factory, short_clip) -> Path:
    """A clip that ends before it should: its reading fails after some frames."""
    path = tmp_path_factory.mktemp("cut") / "cut.avi"
    path.write_bytes(short_clip.read_bytes()[: short_clip.stat().st_size * 3 // 4])
    return path


def test_an_error_while_capturing_ends_it_with_one_line_and_the_last_events(events, cut_clip):
    daemon = Daemon(events, "--source", str(cut_clip), "--no-pace")
    *log, last = daemon.ended(code=2)
    assert last.startswith(f"emotion-edge: {cut_clip}: ends after ")
    assert all(line.startswith("INFO") for line in log)
    assert daemon.begun() == {1}


@pytest.mark.parametrize("place", ["perceive.Perceiver.find", "perceive.Perceiver.read", "stats.Stats.add"])
def test_an_error_in_a_stage_that_a_user_can_mend_ends_it_with_one_line(place, events):
    planted = PLANTED.format(place=place, error="errors.ModelError('no more')")
    daemon = Daemon(events, "--no-pace", command=[*PYTHON, "-c", planted, "run"])
    assert daemon.ended(code=2)[-1] == "emotion-edge: no more"
    assert daemon.begun() == {1}


@pytest.mark.parametrize("place", ["perceive.Perceiver.find", "perceive.Perceiver.read", "stats.Stats.add"])
def test_a_fault_of_ours_in_a_stage_ends_it_with_its_traceback_and_the_last_events(place, events):
    planted = PLANTED.format(place=place, error="RuntimeError('our fault')")
    daemon = Daemon(events, "--no-pace", command=[*PYTHON, "-c", planted, "run"])
    assert daemon.ended(code=1, tracebacks=1)[-1] == "RuntimeError: our fault"
    assert daemon.begun() == {1}


def test_a_reader_that_goes_away_is_no_traceback(short_clip):
    read, write = os.pipe()
    os.close(read)
    command = [*RUN, "--no-pace", "--source", str(short_clip)]
    daemon = subprocess.run(
        command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=100, check=False
    )
    os.close(write)
    assert daemon.returncode == 0
    assert "Traceback" not in daemon.stderr
    assert "WARNING events lost at the end: output=standard output lost=2" in daemon.stderr


def signalled(daemon: Daemon, numbers: Sequence[signal.Signals], within_seconds: float) -> None:
    """At a moment after the start, if it has not ended before; any moment will do, nothing is measured here."""
    daemon.logged("start ")
    try:
        daemon.process.wait(within_seconds)
    except subprocess.TimeoutExpired:
        for each in numbers:
            daemon.process.send_signal(each)
    daemon.ended()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT], BURST], ids=["SIGTERM", "SIGINT", "in a row"])
@pytest.mark.parametrize("pace", [[], ["--no-pace"]])
def test_signals_at_any_moment_end_it_cleanly_fifty_times_of_fifty(numbers, pace, tmp_path):
    rng = random.Random(7)
    for turn in range(50):
        signalled(Daemon(tmp_path / f"{turn}.jsonl", *pace), numbers, rng.uniform(0, 1))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_end_of_a_clip_ends_it_cleanly_fifty_times_of_fifty(tmp_path, short_clip):
    for turn in range(50):
        daemon = Daemon(tmp_path / f"{turn}.jsonl", "--source", str(short_clip), "--no-pace")
        daemon.ended()
        assert daemon.begun() == {1}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_signals_while_it_ends_by_itself_end_it_cleanly_fifty_times_of_fifty(tmp_path, short_clip):
    rng = random.Random(8)
    for turn in range(50):
        daemon = Daemon(tmp_path / f"{turn}.jsonl", "--source", str(short_clip), "--no-pace")
        signalled(daemon, BURST, rng.uniform(0, 0.2))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["perceive.Perceiver.find", "perceive.Perceiver.read", "stats.Stats.add"])
def test_an_error_in_a_stage_ends_it_cleanly_fifty_times_of_fifty(place, tmp_path):
    planted = PLANTED.format(place=place, error="errors.ModelError('no more')")
    for turn in range(50):
        daemon = Daemon(tmp_path / f"{turn}.jsonl", "--no-pace", command=[*PYTHON, "-c", planted, "run"])
        daemon.ended(code=2)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_error_while_capturing_ends_it_cleanly_fifty_times_of_fifty(tmp_path, cut_clip):
    for turn in range(50):
        daemon = Daemon(tmp_path / f"{turn}.jsonl", "--source", str(cut_clip), "--no-pace")
        daemon.ended(code=2)
        assert daemon.begun() == {1}

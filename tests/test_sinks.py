"""JsonLines on real files, full disks, closed pipes and killed processes."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.errors import OutputError
from edge.record import Recorder
from edge.sinks import HOLD, JsonLines
from tests.disks import growing_no_further, mounted
from tests.test_record import EVENT, MODEL, Clock, clocks


class Written:
    """JsonLines behind a Recorder, as the daemon has them."""

    def __init__(self, target: Path | Any, clock: Clock | None = None) -> None:
        self._sink = JsonLines(target, clock or Clock())
        self.write = Recorder("emo-kitchen", MODEL, [self._sink], clocks(clock or Clock())).write
        self.close = self._sink.close

    @property
    def held(self) -> int:
        return self._sink.held

    @property
    def lost(self) -> int:
        return self._sink.lost


opened = Written


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def sequence(path: Path) -> list[int]:
    return [record["seq"] for record in records(path)]


def test_an_event_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    sink = opened(tmp_path / "events.jsonl")
    for count in range(1, 4):
        sink.write(EVENT)
        assert sequence(tmp_path / "events.jsonl") == list(range(1, count + 1))


def test_a_record_is_one_write() -> None:
    """A pipe in packet mode gives back what each single write gave it."""
    reader, writer = os.pipe2(os.O_DIRECT)
    with open(writer, "wb") as stream:
        sink = opened(stream)
        sink.write(EVENT)
        sink.write(EVENT)
    packets = [os.read(reader, 65536) for _ in range(3)]
    os.close(reader)
    assert [json.loads(packet)["seq"] for packet in packets[:2]] == [1, 2]
    assert packets[0].endswith(b"}\n") and packets[2] == b""


def test_a_stream_stays_open_and_keeps_what_was_printed_before(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        stream.write("{}\n")
        sink = opened(stream)
        sink.write(EVENT)
        sink.close()
        stream.write("{}\n")
    assert [record.get("seq") for record in records(tmp_path / "out")] == [None, 1, None]


def test_a_stream_that_is_closed_is_refused(tmp_path: Path) -> None:
    stream = (tmp_path / "out").open("w")
    stream.close()
    for closed in (stream, None):
        with pytest.raises(OutputError, match=r"standard output is closed: expected .*\[events\] path"):
            opened(closed)


def test_numbers_go_on_where_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(3):
        sink = opened(path)
        sink.write(EVENT)
        sink.write(EVENT)
        sink.close()
    assert sequence(path) == [1, 2, 3, 4, 5, 6]


def test_numbers_go_on_in_a_file_longer_than_the_part_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = opened(path)
    for _ in range(500):
        sink.write(EVENT)
    sink.close()
    assert path.stat().st_size > 3 * 64 * 1024
    opened(path).write(EVENT)
    assert sequence(path) == list(range(1, 502))


def test_a_device_name_cannot_pass_for_a_number_nor_break_the_line(tmp_path: Path) -> None:
    path, name = tmp_path / "events.jsonl", '{"seq":9000,"seq":9001\n\u2028\udc80'
    for _ in range(2):
        Recorder(name, MODEL, [JsonLines(path)]).write(EVENT)
    assert sequence(path) == [1, 2]
    assert records(path)[0]["device"] == name


@pytest.mark.parametrize("cut", [1, 20, 200, -1])
def test_a_last_line_torn_by_a_power_cut_is_kept_and_the_next_record_has_its_own(tmp_path: Path, cut: int) -> None:
    """Cut before its number, after it, in the middle, and just in front of its newline."""
    path = tmp_path / "events.jsonl"
    sink = opened(path)
    for _ in range(3):
        sink.write(EVENT)
    sink.close()
    lines = path.read_bytes().splitlines(keepends=True)
    torn = b"".join(lines[:2]) + lines[2][:cut]
    path.write_bytes(torn)
    sink = opened(path)
    assert path.read_bytes() == torn
    sink.write(EVENT)
    sink.write(EVENT)
    assert path.read_bytes().startswith(torn + b"\n")
    fresh = [json.loads(line)["seq"] for line in path.read_bytes()[len(torn) + 1 :].splitlines()]
    assert fresh == ([3, 4] if cut == 1 else [4, 5])


def test_opening_and_closing_leave_a_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":1,"se')
    opened(path).close()
    assert path.read_bytes() == b'{"v":1,"se'


def test_a_file_of_something_else_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 a picture")
    with pytest.raises(OutputError, match=r"holiday\.jpg: holds something else than events"):
        opened(path)
    assert path.read_bytes() == b"\xff\xd8\xff\xe0 a picture"


def test_a_path_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "missing" / "events.jsonl", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "No such device or address"),
    ):
        with pytest.raises(OutputError) as caught:
            opened(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: cannot open the event file: {why}; expected")
        assert "\n" not in message


def test_a_place_that_is_read_only_is_one_sentence(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="cannot open the event file: Permission denied"):
            opened(tmp_path / "events.jsonl")
        return
    with (
        mounted(tmp_path / "mount", "ro,size=64k") as place,
        pytest.raises(OutputError, match="cannot open the event file: Read-only file system"),
    ):
        opened(place / "events.jsonl")


def test_a_full_device_holds_events_counts_the_lost_ones_and_says_so_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    sink = opened(Path("/dev/full"), clock)
    for count in range(HOLD + 1):
        sink.write(EVENT)
        assert (sink.held, sink.lost) == (count + 1, 0)
    for count in range(50):
        sink.write(EVENT)
        assert (sink.held, sink.lost) == (HOLD + 1, count + 1)
    assert len(caplog.records) == 1
    assert "output=/dev/full error='No space left on device' held=1 lost=0" in caplog.text
    clock.now += 59.9
    sink.write(EVENT)
    assert len(caplog.records) == 1
    clock.now += 0.2
    sink.write(EVENT)
    assert len(caplog.records) == 2
    sink.close()
    assert (sink.held, sink.lost) == (0, HOLD + 1 + 52)
    assert f"lost={HOLD + 1 + 52}" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("room", [0, 1, 200, -1])
def test_a_line_cut_by_a_full_disk_is_completed_when_there_is_room(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Room for nothing, a byte, half a line, and all of it but the newline."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "events.jsonl"
    sink = opened(path)
    sink.write(EVENT)
    whole = path.read_bytes()
    room = room if room >= 0 else len(whole) - 1
    with growing_no_further(len(whole) + room):
        for waiting in range(1, 5):
            sink.write(EVENT)
            assert sink.held == waiting
        assert path.read_bytes()[: len(whole)] == whole
        assert path.stat().st_size == len(whole) + room
    sink.write(EVENT)
    assert sequence(path) == [1, 2, 3, 4, 5, 6]
    assert (sink.held, sink.lost) == (0, 0)
    assert "written again" in caplog.records[-1].getMessage()


def test_what_is_held_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = opened(path)
    with growing_no_further(100):
        sink.write(EVENT)
        sink.write(EVENT)
    sink.close()
    assert sequence(path) == [1, 2] and sink.lost == 0


def test_a_file_torn_before_and_full_now_keeps_its_lines_apart(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":1,"seq":41,"ts')
    sink = opened(path)
    with growing_no_further(path.stat().st_size):
        for _ in range(HOLD + 5):
            sink.write(EVENT)
    sink.write(EVENT)
    torn, *lines = path.read_bytes().splitlines()
    assert torn == b'{"v":1,"seq":41,"ts'
    assert [json.loads(line)["seq"] for line in lines] == [42, *range(47, 42 + HOLD + 6)]
    assert sink.lost == 4


def test_a_disk_that_fills_and_is_cleared_loses_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "mount", "size=128k") as place:
        path, ballast = place / "events.jsonl", place / "ballast"
        ballast.write_bytes(bytes(88 * 1024))
        sink = opened(path)
        for _ in range(200):
            sink.write(EVENT)
        assert 100 < sink.held < 200
        complete, torn = path.read_bytes().rsplit(b"\n", 1)
        assert [json.loads(line)["seq"] for line in complete.splitlines()] == list(range(1, 201 - sink.held))
        assert torn
        ballast.unlink()
        sink.write(EVENT)
        assert (sink.held, sink.lost) == (0, 0)
        assert sequence(path) == list(range(1, 202))
        sink.close()


def test_a_reader_that_went_away_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    clock = Clock()
    with open(writer, "wb") as stream:
        sink = opened(stream, clock)
        sink.write(EVENT)
        os.close(reader)
        for _ in range(5):
            sink.write(EVENT)
            clock.now += 100
        assert [record.getMessage() for record in caplog.records] == [
            "events cannot be written: output=standard output error='Broken pipe' held=1 lost=0"
        ]
        assert sink.held == 5
        sink.close()
    assert sink.lost == 5


def test_a_reader_that_does_not_read_never_makes_write_wait() -> None:
    reader, writer = os.pipe()
    with open(writer, "wb") as stream:
        sink = opened(stream)
        for _ in range(500):
            sink.write(EVENT)
        assert 0 < sink.held < 500
        taken = b""
        while sink.held:
            taken += os.read(reader, 65536)
            sink.write(EVENT)
        sink.close()
    while part := os.read(reader, 65536):
        taken += part
    os.close(reader)
    numbers = [json.loads(line)["seq"] for line in taken.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 500
    assert sink.lost == 0


def test_closing_does_not_wait_for_ever_for_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sinks.CLOSING_SECONDS", 0.01)
    reader, writer = os.pipe()
    with open(writer, "wb") as stream:
        sink = opened(stream)
        for _ in range(500):
            sink.write(EVENT)
        held = sink.held
        sink.close()
    os.close(reader)
    assert (sink.held, sink.lost) == (0, held)


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    sink = opened(tmp_path / "events.jsonl")
    sink.close()
    sink.close()
    with pytest.raises(ValueError, match="descriptor"):
        sink.write(EVENT)


WRITER = """
import sys
from pathlib import Path
from tests.test_sinks import EVENT, opened
sink = opened(Path(sys.argv[1]))
while True:
    sink.write(EVENT)
    print(flush=True)
"""


def test_a_process_that_is_killed_tears_no_line(tmp_path: Path) -> None:
    path, sizes = tmp_path / "events.jsonl", [0]
    for count in (1, 37, 500):
        command = [sys.executable, "-c", WRITER, str(path)]
        places = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=places) as process:
            assert process.stdout is not None
            for _ in range(count):
                assert process.stdout.readline()
            process.kill()
        assert process.returncode == -signal.SIGKILL
        numbers = sequence(path)
        assert numbers == list(range(1, len(numbers) + 1))
        assert path.read_bytes().endswith(b"\n")
        sizes.append(len(numbers))
        assert sizes[-1] - sizes[-2] >= count

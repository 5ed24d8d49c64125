"""A trace of a real run gives the same events again, byte for byte; other settings give others."""

import io
import json

import pytest

from edge import config
from edge.classifier import Classifier
from edge.clocks import Clocks
from edge.control import reader_of
from edge.errors import OutputError, SourceError
from edge.events import CameraEvent
from edge.record import Recorder
from edge.replay import replay
from edge.run import perceiver_of
from edge.scene import Frame
from edge.sinks import JsonLines
from edge.sources.demo import DemoClip
from edge.trace import Trace
from tests.disks import growing_no_further


@pytest.fixture(scope="module")
def traced(emotion_edge, tmp_path_factory):
    """The demo run to its end: its trace, and what it printed."""
    path = tmp_path_factory.mktemp("trace") / "demo.trace"
    done = emotion_edge("run", "--source", "demo", "--no-pace", "--trace", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 8
    return path, done.stdout


def test_a_replay_gives_the_same_events_byte_for_byte(traced, emotion_edge):
    path, printed = traced
    done = emotion_edge("replay", path)
    assert (done.returncode, done.stdout) == (0, printed)


def test_other_settings_give_other_events(traced, in_process):
    path, printed = traced
    patient = in_process("replay", path, "--set", "events.dwell_seconds=20")
    assert patient.returncode == 0
    assert patient.stdout.count("\n") == 0 < printed.count("\n")
    eager = in_process("replay", path, "--set", "events.dwell_seconds=0", "--set", "events.margin=0")
    assert eager.stdout.count("\n") >= printed.count("\n")
    short = in_process("replay", path, "--set", "track.longest_seconds=1")
    assert len(tracks(short.stdout)) > len(tracks(printed))


def tracks(printed: str) -> set[int]:
    return {json.loads(line)["track"] for line in printed.splitlines()}


def test_a_face_that_the_run_did_not_read_counts_as_not_read(traced, in_process):
    """With fewer frames to confirm a face, a replay has faces that nobody read at the time."""
    path, _ = traced
    done = in_process("replay", path, "--set", "track.confirm_frames=1")
    assert done.returncode == 0
    assert {json.loads(line)["label"] for line in done.stdout.splitlines()} >= {"happy", "neutral"}


def test_a_trace_holds_no_pixels(traced):
    path, _ = traced
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = {kind for line in lines for kind in line}
    of_frames = {"frame", "detect_ms", "faces", "is_face", "read"}
    assert kinds == {"trace", "boot", "last_seq", "device", "adopt", "clocks", "gap"} | of_frames
    assert all(len(line.get("faces", [])) <= 10 for line in lines)


def test_gaps_the_cameras_events_and_other_settings_come_again_too(tmp_path):
    """As the daemon's threads would bring them, to the same Perceiver."""
    path, printed, classifier = tmp_path / "trace", tmp_path / "events.jsonl", Classifier.read()
    trace, sink, settings = Trace(path), JsonLines(printed), config.Settings()
    clocks = trace.clocks(Clocks())
    recorder = Recorder(settings.events.device, classifier.name, [sink], clocks, last_seq=41)
    perceiver = perceiver_of(settings, classifier, recorder.write, trace, trace.note)
    trace.begin(settings, recorder, clocks.boot)
    clip = DemoClip()

    def watch(begin: int, end: int) -> None:
        for number in range(begin, end):
            perceiver(Frame(clip.picture(number), number / 30, number / 30, number))

    watch(0, 40)
    perceiver.gap()
    perceiver.tell(CameraEvent("camera_lost", "0", "unplugged", 1333.3, 1.3))
    perceiver.tell(CameraEvent("camera_back", "0", "unplugged", 666.7, 2.0))
    watch(60, 100)
    unsure = config.changed(settings, ["events.dwell_seconds=0.1", "limits.max_turn=0"])
    perceiver.adopt(unsure, reader_of(unsure, classifier, trace))
    watch(100, 120)
    perceiver.detect_every(3)
    watch(120, 160)
    perceiver.close()
    for each in (trace, sink):
        each.close()
    records = [json.loads(line) for line in printed.read_text().splitlines()]
    assert [each["type"] for each in records[:5]] == ["start", "end", "camera_lost", "camera_back", "start"]
    assert (records[0]["seq"], records[-1]["type"]) == (42, "end")
    assert "uncertain" in {each.get("label") for each in records}
    again = io.StringIO()
    replay(path, [], again)
    assert again.getvalue() == printed.read_text()


def test_a_trace_torn_by_a_power_cut_replays_up_to_there(traced, tmp_path, in_process):
    path, printed = traced
    lines = path.read_bytes().splitlines(keepends=True)
    torn = tmp_path / "torn"
    torn.write_bytes(b"".join(lines[:300]) + lines[300][:40])
    done = in_process("replay", torn)
    assert done.returncode == 0
    assert done.stdout and printed.startswith(done.stdout)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}\n", b"not json\n", b'{"trace":9}\n', b"[1]\n", b"\xff\xfe\n", b'{"trace":1,"adopt":{}}\n'],
    ids=["empty", "no trace", "text", "another version", "a list", "bytes", "cut short"],
)
def test_what_is_no_trace_is_refused_in_one_line(content, tmp_path, in_process):
    path = tmp_path / "trace"
    path.write_bytes(content)
    done = in_process("replay", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"emotion-edge: {path}: ")
    assert done.stderr.count("\n") == 1


def test_a_line_that_is_damaged_is_named(traced, tmp_path):
    path, _ = traced
    lines = path.read_text().splitlines(keepends=True)
    damaged = tmp_path / "trace"
    damaged.write_text("".join([*lines[:20], '{"frame":[1,2]}\n']))
    with pytest.raises(SourceError, match=r"trace: line 21: not as `run --trace` writes it"):
        replay(damaged, [], io.StringIO())


@pytest.mark.parametrize("said", ["faces.range=full", "dwell=1", "events.dwell=1", "camera.fps=3"])
def test_what_a_replay_cannot_change_is_refused(traced, said, in_process):
    done = in_process("replay", traced[0], "--set", said)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_missing_trace_and_a_place_that_takes_none_are_named(tmp_path, in_process):
    assert "none: cannot read the trace: No such file" in in_process("replay", tmp_path / "none").stderr
    with pytest.raises(OutputError, match="cannot write the trace: No such file or directory"):
        Trace(tmp_path / "none" / "trace")


def test_a_full_disk_ends_the_trace_and_not_the_run(tmp_path, caplog):
    trace = Trace(tmp_path / "trace")
    with growing_no_further(100):
        for _ in range(20):
            trace.note(None)
    trace.note(None)
    trace.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"the trace ends here: file={tmp_path / 'trace'} error='File too large'"
    ]
    assert (tmp_path / "trace").stat().st_size == 100

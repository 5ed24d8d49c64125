"""The benchmarks' arithmetic, their checks, and a short run of each kind; never how fast this machine is."""

import json
import math
import os
import subprocess
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from scipy import stats

from benchmarks import bound, compare, detector, machine, pipeline, webcam
from benchmarks.case import isolated, peak_rss_mb
from benchmarks.film import CROWDS, open_film, sight
from benchmarks.pipeline import Published
from benchmarks.result import as_markdown, document, merged
from benchmarks.sample import durations, gaps_ms, interval, spread, t_95
from edge import config
from edge.errors import EmotionEdgeError, SettingsError
from edge.faces import FaceFinder, face_finder
from edge.pipeline import Pipeline
from edge.scene import Box, Face, Frame, Scene
from edge.sources.folder import read_picture
from edge.sources.guard import Guarded
from tests.fakes import SCRIPTED, plug_in

ROOT = Path(__file__).parents[1]
MEDIANS = {"capture_ms": 1.0, "detect_ms": 3.0, "classify_ms": 1.0}
CPU = {name.replace("_ms", "_cpu_ms"): value for name, value in MEDIANS.items()}
FACTS = {**machine.facts(), "load_average": (0.1, 0, 0), "governor": None, "throttled": None}
"""This machine's, as if it were quiet."""


def scene(number: int, captured_at: float = 0.0) -> Scene:
    return Scene(Frame(np.zeros((2, 2, 3), np.uint8), captured_at, captured_at, number), ())


# What is computed


@pytest.mark.parametrize("freedom", [1, 2, 5, 10, 11, 20, 100])
def test_students_t_is_that_of_the_tables(freedom: int) -> None:
    assert t_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.003)


def test_the_interval_of_a_mean_has_n_minus_1_degrees_of_freedom() -> None:
    values = [3.0, 4.0, 5.0, 8.0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert interval(values) == pytest.approx((low, high), rel=1e-3)
    assert spread([2.0]) == {"median": 2.0, "mean": 2.0}  # one round says nothing of chance


def test_durations_have_percentiles_the_worst_and_their_jitter() -> None:
    told = durations("age", [float(value) for value in range(101)])
    assert told == {"age_p50_ms": 50, "age_p95_ms": 95, "age_p99_ms": 99, "age_max_ms": 100, "age_jitter_ms": 49}
    assert gaps_ms([1.0, 1.5, 3.5]) == [500, 2000]


def test_the_slowest_stage_sets_the_bound_while_there_are_cores_enough() -> None:
    assert bound.bounds(MEDIANS | CPU, cores=4) == {
        "latency_bound_ms": 5.0,
        "throughput_bound_fps": pytest.approx(1000 / 3),
    }


def test_where_there_are_not_the_processors_time_does() -> None:
    assert bound.bounds(MEDIANS | CPU, cores=1)["throughput_bound_fps"] == 200
    waits = CPU | {"detect_cpu_ms": 1.0}  # 2 of its 3 ms another processor works, say
    assert bound.bounds(MEDIANS | waits, cores=1)["throughput_bound_fps"] == pytest.approx(1000 / 3)


def test_a_camera_bounds_what_can_be_had_of_it() -> None:
    assert bound.bounds(MEDIANS | CPU, cores=4, camera_fps=30)["throughput_bound_fps"] == 30


def test_a_stage_of_no_face_counts_with_its_share_of_the_frames() -> None:
    classify = bound.Clock([0.0, 4.0, 2.0, 0.0], [0.0, 4.0, 2.0, 0.0])
    stages = bound.Stages(bound.Clock([1.0] * 4, [1.0] * 4), bound.Clock([2.0] * 4, [1.5] * 4), classify, [0, 2, 1, 0])
    assert stages.medians() == {
        "faces": 0.75,
        "capture_ms": 1.0,
        "capture_cpu_ms": 1.0,
        "detect_ms": 2.0,
        "detect_cpu_ms": 1.5,
        "classify_ms": 1.5,
        "classify_cpu_ms": 1.5,
    }


def test_frames_a_second_are_exact_on_exact_stamps() -> None:
    published = Published()
    for number, at in [(30, 0.0), (31, 0.1), (32, 0.2), (34, 0.4)]:
        published.add_scene(scene(number), at)
    figures = published.figures()
    assert figures["fps"] == pytest.approx(7.5) and figures["published_share"] == 0.8


def test_a_repeated_frame_is_refused() -> None:
    published = Published()
    published.add_scene(scene(31), 0.1)
    with pytest.raises(EmotionEdgeError, match="frame 31 after 31"):
        published.add_scene(scene(31), 0.2)


def test_the_age_counts_from_the_capture_and_the_warm_up_counts_nothing() -> None:
    published = Published()
    for number in range(40):
        published.add_scene(scene(number, captured_at=float(number)), number + (9.0 if number < 30 else 0.25))
    figures = published.figures()
    assert (len(published.numbers), figures["age_max_ms"], figures["jitter_ms"]) == (10, 250.0, 0)


def test_recall_and_false_boxes_are_those_of_the_truth() -> None:
    left, right, nowhere = Box(0, 0, 10, 10), Box(20, 0, 30, 10), Box(50, 50, 60, 60)
    truth = [(left, right), ()]
    assert sight([(0, [left, nowhere]), (3, [right])], truth) == {"recall": 0.5, "false_boxes_a_frame": 1.0}
    assert sight([(1, [])], truth) == {"false_boxes_a_frame": 0.0}  # no face, no recall
    assert sight([(0, [left])], ()) == {}


@pytest.mark.parametrize("name", CROWDS)
def test_what_the_detector_finds_in_a_crowd_is_true(name: str) -> None:
    source, truth = open_film(name, config.Camera(), None, 50)
    assert {len(faces) for faces in truth} == {CROWDS[name]}
    with closing(face_finder(config.Faces(range="full"))) as finder:
        seen = [(frame.number, [face.box for face in finder.find(frame)]) for frame in islice(source, 0, 50, 10)]
    told = sight(seen, truth)
    assert told["false_boxes_a_frame"] == 0
    assert told.get("recall", 1.0) >= (1.0 if name == "faces-1" else 0.5)  # small ones are for the detector's tests


# What is measured


class SlowFinder:
    """The real detector behind a delay: the fault that the meter must show where it is."""

    def __init__(self, real: FaceFinder, seconds: float) -> None:
        self._real, self._seconds = real, seconds
        self.close, self.is_face, self.look_around = real.close, real.is_face, real.look_around

    def find(self, frame: Frame) -> tuple[Face, ...]:
        time.sleep(self._seconds)
        return self._real.find(frame)


def test_a_stage_that_is_made_slow_shows_up_as_that_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "face_finder", lambda faces: SlowFinder(face_finder(faces), 0.1))
    found = bound.measure(config.Settings(), "faces-1", 34)
    limits = bound.bounds(found, cores=2)
    assert found["detect_ms"] >= 100 > 5 * found["detect_cpu_ms"]  # it sleeps
    assert found["capture_ms"] < 100 and found["classify_ms"] < 100
    assert limits["throughput_bound_fps"] <= 10 and limits["latency_bound_ms"] >= 100


def test_a_frame_that_is_unaccounted_for_fails_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "captured", property(lambda self: self._frames.offered + 1))
    source, _ = open_film("demo", config.Camera(), None, 40)
    with pytest.raises(EmotionEdgeError, match="a fault of ours"):
        pipeline.watch(source, config.Settings(), 40)


SEEN: list[int] = []


def remember(number: int) -> dict[str, float]:
    SEEN.append(number)
    return {"process": os.getpid(), "seen": len(SEEN)}


def greedy() -> dict[str, float]:
    return {"size": float(len(b"x" * 300_000_000))}


def killed() -> dict[str, float]:
    os.kill(os.getpid(), 9)
    raise AssertionError


def test_no_case_meets_the_samples_or_the_memory_of_another() -> None:
    first, second = isolated(remember, 1), isolated(remember, 2)
    assert first["seen"] == second["seen"] == 1 and SEEN == []
    assert len({first["process"], second["process"], os.getpid()}) == 3
    assert isolated(greedy)["peak_rss_mb"] > 300 > isolated(remember, 3)["peak_rss_mb"] > 20
    assert peak_rss_mb() > 20


def test_a_case_that_is_killed_is_told_of_in_a_sentence() -> None:
    with pytest.raises(EmotionEdgeError, match="its process ended with code -9"):
        isolated(killed)


def test_a_film_of_too_few_frames_is_refused_in_a_sentence() -> None:
    with pytest.raises(SettingsError, match="longer film"):
        bound.measure(config.Settings(), "demo", 20)


def keeps_to_the_schema(result: dict[str, Any]) -> bool:
    schema = json.loads((ROOT / "benchmarks" / "schema.json").read_text())
    return jsonschema_rs.validator_for(schema).is_valid(result)


@pytest.mark.parametrize("path", sorted(ROOT.glob("benchmarks/reference/*/*.json")), ids=lambda path: path.stem)
def test_each_reference_keeps_to_the_schema_and_its_summary_is_that_of_its_rounds(path: Path) -> None:
    kept = compare.read(path)
    assert keeps_to_the_schema(kept)
    again = merged([kept])["summary"]
    assert again.keys() == kept["summary"].keys()
    for case, figures in again.items():
        assert {name: pytest.approx(told) for name, told in figures.items()} == kept["summary"][case]


def test_what_is_no_result_does_not_keep_to_the_schema() -> None:
    good = result([1.0, 2.0])
    assert keeps_to_the_schema(json.loads(json.dumps(good)))
    for name in good:
        assert not keeps_to_the_schema({other: value for other, value in good.items() if other != name})


def measured(tmp_path: Path, *words: str) -> dict[str, Any]:
    """The result of a short run, which keeps to the schema."""
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks", *words, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(out.read_text())
    assert keeps_to_the_schema(result)
    assert f"`python -m benchmarks {words[0]}`" in out.with_suffix(".md").read_text()
    return result


def test_the_pipeline_benchmark_measures_the_real_threads_against_their_stages(tmp_path: Path) -> None:
    result = measured(tmp_path, "pipeline", "--film", "faces-1", "--rounds", "1", "--frames", "45", "--pace", "60")
    (only,) = result["rounds"]
    stages, *runs = only.values()
    assert result["settings"]["model"]["threads"] == 1  # or results of other threads would be compared with it
    names = list(only)
    assert names[0] == "faces-1 stages" and names[-1] == "faces-1 at 60 FPS"
    for run in runs:
        lost = sum(value for name, value in run.items() if name.startswith("dropped_"))
        assert run["captured"] == run["published"] + lost
        assert run["throughput_of_bound"] == pytest.approx(run["fps"] / run["throughput_bound_fps"])
        assert run["age_p50_of_bound"] == pytest.approx(run["age_p50_ms"] / stages["latency_bound_ms"])
        assert run["recall"] > 0.9 and run["false_boxes_a_frame"] == 0
    assert runs[0]["published_share"] == 1 and runs[-1]["throughput_bound_fps"] <= 60


@pytest.mark.parametrize(
    ("words", "case", "figure"),
    [
        (["model", "--model", "emotion-8", "--readings", "20"], "emotion-8, 1 thread", "reading_p50_ms"),
        (["startup"], "first label", "seconds"),
    ],
)
def test_each_benchmark_gives_a_result(tmp_path: Path, words: list[str], case: str, figure: str) -> None:
    result = measured(tmp_path, *words, "--rounds", "1")
    assert result["benchmark"] == words[0] and result["summary"][case][figure]["median"] > 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_each_stage_the_throttled_daemon_and_all_its_company_give_a_result(tmp_path: Path) -> None:
    stages = measured(tmp_path, "stage", "--rounds", "1", "--times", "20")["summary"]
    assert stages["closer_look"]["stage_p50_ms"]["median"] > stages["crop"]["stage_p50_ms"]["median"] > 0
    company = ["one face", "nobody", "record and broker", "page, one watcher", "page, fifty slow watchers"]
    company += ["page, 500 idle and 50 slow connections", "window"]
    words = [word for case in company for word in ("--case", case)]
    assert set(measured(tmp_path, "daemon", *words, "--rounds", "1", "--seconds", "2")["summary"]) == set(company)
    loops = measured(tmp_path, "baseline", "--rounds", "1", "--frames", "60")["summary"]
    assert loops["bare loop"]["recall"]["median"] == loops["Tasks API loop"]["recall"]["median"] == 1


@pytest.mark.long
@pytest.mark.timeout(200)
def test_the_daemon_is_throttled_where_the_system_grants_it(tmp_path: Path) -> None:
    from benchmarks.quota import quota

    try:
        with quota():
            pass
    except EmotionEdgeError as error:
        pytest.skip(str(error))
    cut = measured(tmp_path, "throttled", "--rounds", "1", "--seconds", "2", "--cores", "0.6")["rounds"][0]
    assert cut["quartered"]["cpu_share_of_core"] < 0.25 * 0.6 * 1.3
    assert cut["step 3, 30%"]["cpu_share_of_core"] < 0.3 * 0.6 * 1.3


def test_the_webcam_benchmark_compares_the_camera_alone_with_the_pipeline(tmp_path: Path) -> None:
    camera = config.Camera(source=str(plug_in(tmp_path / "video0", fps=50)))
    alone = webcam.alone(Guarded(camera, opener=SCRIPTED), 60)
    assert alone["frames"] == 30 and alone["fps"] > 0
    through = webcam.watched(Guarded(camera, opener=SCRIPTED), config.Settings(camera=camera), 60)
    assert through["captured"] >= through["published"] > 0


def test_the_detector_benchmark_counts_what_is_found_and_what_is_believed() -> None:
    portrait = read_picture(ROOT / "edge" / "assets" / "astronaut.jpg")
    pictures = [np.zeros_like(portrait)] * 30 + [portrait] * 10 + [np.zeros_like(portrait)] * 10
    seen = detector.watch((Frame(each, n / 30, n / 30, n) for n, each in enumerate(pictures)), config.Faces())
    figures = seen.figures([()])
    assert (figures["found"], figures["believed"], figures["readings_percent"]) == (
        0.5,
        0.4,
        40,
    )  # believed at the third
    assert (figures["looks"], figures["false_boxes_a_frame"]) == (0, 0.4)


def test_the_detector_benchmark_knows_films_with_faces_from_those_without(tmp_path: Path) -> None:
    words = ["--finder", "litert auto", "--film", "demo", "--film", "coffee-0", "--film", "faces-0", "--frames", "50"]
    summary = measured(tmp_path, "detector", *words)["summary"]
    assert summary["litert auto demo"]["believed"]["median"] > 0.5
    assert summary["litert auto faceless"]["readings_percent"]["median"] == 0
    alone = measured(tmp_path, "detector", "--finder", "litert short", "--film", "demo", "--frames", "40")
    assert set(alone["summary"]) == {"litert short demo"}  # nothing is said of films that were not shown


# What is compared


def result(fps: list[float], **settings: Any) -> dict[str, Any]:
    rounds = [{"a case": {"fps": value, "age_p50_ms": 10.0 + number}} for number, value in enumerate(fps)]
    return document("pipeline", {"frames": 900} | settings, rounds, dict(FACTS))


def test_what_differs_by_more_than_chance_is_told_and_the_rest_is_counted() -> None:
    first, second = result([100.0, 90.0, 110.0]), result([120.0, 108.0, 132.0])
    found = {(case, name): (ratio, low, high) for case, name, ratio, low, high in compare.ratios(first, second)}
    assert found["a case", "fps"] == pytest.approx((1.2, 1.2, 1.2))  # pair by pair, whatever the rounds have in common
    table = compare.as_markdown(first, second)
    assert "| a case | fps | 1.200 | 1.200 to 1.200 |" in table and "1 more figures do not differ" in table


def test_noise_is_no_difference() -> None:
    assert "| fps |" not in compare.as_markdown(result([100.0, 110.0, 90.0]), result([105.0, 95.0, 104.0]))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (result([1.0, 2.0], frames=300), "frames 900 and 300"),
        (result([1.0, 2.0, 3.0]), "rounds 2 and 3"),
        ({**result([1.0, 2.0]), "machine": FACTS | {"cores": 99}}, "cores .* and 99"),
        ({**result([1.0, 2.0]), "benchmark": "model"}, "benchmark 'pipeline' and 'model'"),
    ],
)
def test_unlike_results_are_refused_by_what_differs(other: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        compare.as_markdown(result([1.0, 2.0]), other)


@pytest.mark.long
def test_a_pair_of_checkouts_takes_turns_and_is_compared(tmp_path: Path) -> None:
    words = ["pair", str(ROOT), "--rounds", "2", "--out", str(tmp_path), "--", "model", "--model", "emotion-8"]
    command = [sys.executable, "-m", "benchmarks", *words, "--readings", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "`model`, A: " in done.stdout and "2 rounds" in done.stdout
    both = [compare.read(tmp_path / name) for name in ("A.json", "B.json")]
    assert [len(each["rounds"]) for each in both] == [2, 2]


def test_rounds_of_several_results_become_one() -> None:
    both = merged([result([1.0]), result([3.0])])
    assert both["summary"]["a case"]["fps"]["mean"] == 2 and math.isclose(
        both["summary"]["a case"]["fps"]["high"], 2 + 12.706, rel_tol=1e-6
    )


def test_a_result_is_shown_as_a_table_and_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(result([100.0, 110.0])))
    words = ["show", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| fps | 105 ± 64 |" in done.stdout
    drawn = read_picture(tmp_path / "a.png")
    assert drawn.shape[1] > 1000 and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model", "--rounds", "0"], "--rounds 0: expected more than 0"),
        (["pipeline", "--pace", "30", "--pace", "-1"], "--pace -1: expected more than 0"),
        (["webcam", "--source", "/dev/video99"], "no camera at /dev/video99"),
        (["pipeline", "--film", "nothing.mp4"], "no source 'nothing.mp4'"),
        (["pipeline", "--film", "faces-7"], "no film 'faces-7': expected faces-0, faces-1"),
        (["pipeline", "--out", "/nowhere/x.json"], "/nowhere: no result can be written there"),
        (["model", "--model", "emotion-9"], "model 'emotion-9': expected"),
        (["show", "README.md"], "README.md: "),
        (["compare", "nothing.json", "nothing.json"], "nothing.json: "),
    ],
)
def test_bad_input_to_the_benchmark_is_one_line_and_exit_code_2(words: list[str], says: str) -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert says in done.stderr.splitlines()[-1]


def test_a_throttled_or_busy_machine_casts_doubt_on_the_figures() -> None:
    quiet = {"governor": None, "load_average": (0.1, 0, 0), "cores": 2, "throttled": "throttled=0x0"}
    assert machine.warnings(quiet) == []
    assert len(machine.warnings(quiet | {"governor": "powersave"})) == 1
    assert len(machine.warnings(quiet | {"load_average": (1.5, 0, 0)})) == 1
    assert len(machine.warnings(quiet | {"throttled": "throttled=0x50005"})) == 1


def test_the_tables_of_a_result_have_a_column_for_each_case() -> None:
    rounds = [{"first": {"fps": 1.0}, "second": {"fps": 3.0}, "other": {"seconds": 0.25}}]
    table = as_markdown(document("x", {}, rounds, FACTS))
    assert "| figure | first | second |" in table and "| fps | 1 | 3 |" in table and "| seconds | 0.25 |" in table

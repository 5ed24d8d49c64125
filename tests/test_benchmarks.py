"""The benchmark's arithmetic, its checks, and a short run of each kind; never how fast this machine is."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import detector, machine, pipeline, webcam
from edge import config
from edge.classifier import SHIPPED, Classifier
from edge.errors import EmotionEdgeError, SettingsError
from edge.pipeline import Pipeline
from edge.scene import Frame, Scene
from edge.sources import open_source
from edge.sources.folder import read_picture
from edge.sources.guard import Guarded
from tests.fakes import SCRIPTED, plug_in

ROOT = Path(__file__).parents[1]
MEDIANS = {"capture": 1.0, "detect": 3.0, "classify": 1.0}


def scene(number: int, captured_at: float = 0.0) -> Scene:
    return Scene(Frame(np.zeros((2, 2, 3), np.uint8), captured_at, captured_at, number), ())


def test_the_slowest_thread_sets_the_bound_while_there_are_cores_enough() -> None:
    assert pipeline.bounds(MEDIANS, cores=2) == {"latency_bound_ms": 5.0, "throughput_bound_fps": 250.0}


def test_on_one_core_the_whole_work_sets_the_bound() -> None:
    assert pipeline.bounds(MEDIANS, cores=1)["throughput_bound_fps"] == 200.0


def test_a_stage_of_no_face_counts_with_its_share_of_the_frames() -> None:
    stages = pipeline.Stages(capture=[1.0] * 4, detect=[2.0] * 4, classify=[0.0, 4.0, 2.0, 0.0], faces=[0, 2, 1, 0])
    assert stages.medians() == {"capture": 1.0, "detect": 2.0, "classify_a_face": 2.0, "classify": 1.5}


def test_a_frame_that_is_published_twice_makes_nothing_faster() -> None:
    published = pipeline.Published()
    for number, at in [(30, 0.0), (31, 0.1), (31, 0.2), (32, 0.3), (34, 0.4)]:
        published.add(scene(number), at)
    assert published.figures()["fps"] == pytest.approx(3 / 0.4)


def test_the_age_counts_from_the_capture_and_the_warm_up_counts_nothing() -> None:
    published = pipeline.Published()
    for number in range(40):
        published.add(scene(number, captured_at=float(number)), number + (9.0 if number < 30 else 0.25))
    figures = published.figures()
    assert (figures["frames"], figures["age_ms"]["max"]) == (10, 250.0)


def test_a_frame_that_is_unaccounted_for_fails_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, settings = Classifier.read(SHIPPED, 1), config.Settings()
    monkeypatch.setattr(Pipeline, "captured", property(lambda self: self._frames.offered + 1))
    with pytest.raises(EmotionEdgeError, match="a fault of ours"):
        pipeline.measure_pipeline(open_source(unpaced(settings).camera), settings, classifier, 40)


def test_a_clip_of_too_few_frames_is_refused_in_a_sentence() -> None:
    with pytest.raises(SettingsError, match="longer clip"):
        pipeline.run(config.Settings(), 1, 20, print)


def unpaced(settings: config.Settings) -> config.Settings:
    return replace(settings, camera=replace(settings.camera, pace=False))


def test_the_pipeline_benchmark_measures_the_real_threads_against_their_stages(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "pipeline", "--rounds", "1", "--frames", "60", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    (only,) = figures["rounds"]
    assert only["flat_out"]["published"] == 60 and only["flat_out"]["frames"] == 30
    for each in (only["flat_out"], only["paced"]):
        assert each["captured"] == each["published"] + sum(each["dropped"].values())
    assert figures["summary"]["throughput_share"] == pytest.approx(
        only["flat_out"]["fps"] / only["throughput_bound_fps"]
    )
    assert figures["machine"]["packages"]["numpy"] and figures["model"].startswith("emotion-8@")


def test_the_webcam_benchmark_compares_the_camera_alone_with_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    camera = config.Camera(source=str(plug_in(tmp_path / "video0", fps=50)))
    monkeypatch.setattr(webcam, "open_source", lambda asked: Guarded(asked, opener=SCRIPTED))
    figures = webcam.run(config.Settings(camera=camera), seconds=2.0)
    assert figures["camera"]["frames"] == 60
    assert figures["pipeline"]["captured"] >= figures["pipeline"]["published"] > 0
    assert figures["summary"]["share"] == pytest.approx(figures["pipeline"]["fps"] / figures["camera"]["fps"])


def test_the_detector_benchmark_counts_what_is_found_and_what_is_believed() -> None:
    portrait = read_picture(ROOT / "edge" / "assets" / "astronaut.jpg")
    sight = detector.watch([portrait] * 10 + [np.zeros_like(portrait)] * 5, config.Faces())
    counts = sight.frames, sight.found, sight.believed, sight.frames_with_one_believed, sight.looks
    assert counts == (15, 10, 8, 8, 0)  # the third frame in a row confirms it


def test_the_detector_benchmark_knows_films_with_faces_from_those_without() -> None:
    figures = detector.run(12, tell=lambda _: None)
    assert {name.partition(" ")[0] for name in figures["cases"]} == {*detector.RANGES}
    assert len(figures["cases"]) == len(detector.RANGES) * (1 + 3 * detector.SEEDS)
    for reach in detector.RANGES:
        of_demo = figures["cases"][f"{reach} demo"]
        assert figures["summary"][f"{reach}_demo_faces"] == of_demo["believed"] / 12 > 0.5
        assert figures["summary"][f"{reach}_faceless_believed_percent"] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["webcam", "--source", "/dev/video99"], "no camera at /dev/video99"),
        (["pipeline", "--source", "nothing.mp4"], "no source 'nothing.mp4'"),
        (["pipeline", "--rounds", "1", "--frames", "60", "--out", "/nowhere/x.json"], "/nowhere/x.json"),
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

"""Teachers and students, sweeps, and the one command from data set to device file: real Keras, made-up faces."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.classifier import MODELS, Classifier
from edge.contract import LABELS, InputSpec, crop
from edge.errors import SettingsError
from tests.stripes import QUICK, striped, write_folders
from train import data, importers
from train.build import build, steps
from train.recipe import Recipe, changed

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(900),
    # TensorFlow's and Optuna's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*experimental.*"),
]
ROOT = Path(__file__).parents[1]
NANO = MODELS / "emotion-7-nano.tflite"


def recipe(**more: str) -> Recipe:
    pairs = dict(each.split("=") for each in QUICK) | {"epochs": "4"} | more
    return changed(Recipe(), pairs)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("stripes"), {"train": 24, "val": 6, "test": 6})


@pytest.fixture(scope="module")
def teacher(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from train.fit import fit

    run = tmp_path_factory.mktemp("teacher")
    fit([stripes], run, recipe(epochs="15"))
    return run


def test_teachers_are_averaged_over_mirror_images_and_over_each_other(stripes, teacher, tmp_path):
    from train.checkpoint import saved
    from train.distill import distill
    from train.fit import predict

    faces = data.trainable(importers.read(stripes))
    assert distill([stripes], [teacher, teacher], tmp_path / "answers.npz") == len(faces) == 24 * len(LABELS)
    model, spec = saved(teacher), recipe().input
    straight, mirrored = (predict(model, each, spec)["votes"] for each in (faces, data.mirrored(faces)))
    logits = (straight + mirrored) / 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with np.load(tmp_path / "answers.npz") as answers:
        assert list(answers["sha256"]) == list(faces.sha256)
        np.testing.assert_allclose(answers["votes"], shares, atol=1e-5)


def test_a_teachers_answers_are_asked_for_once(stripes, teacher, tmp_path, monkeypatch):
    from train import distill

    distill.distill([stripes], [teacher], tmp_path / "first.npz")
    monkeypatch.setattr(distill, "predict", None)  # another question would fail
    distill.distill([stripes], [teacher], tmp_path / "second.npz")
    with np.load(tmp_path / "first.npz") as first, np.load(tmp_path / "second.npz") as second:
        np.testing.assert_array_equal(first["votes"], second["votes"])


def test_a_student_learns_what_the_teacher_says_and_not_the_truth(stripes, teacher, tmp_path):
    """The teacher is made to call every label by the next one's name; so does the student, whatever the truth."""
    from train.checkpoint import saved
    from train.distill import distill
    from train.fit import fit, predict

    distill([stripes], [teacher], tmp_path / "answers.npz")
    with np.load(tmp_path / "answers.npz") as kept:
        answers = dict(kept)
    answers["votes"] = np.roll(answers["votes"], 1, axis=1)
    np.savez(tmp_path / "shifted.npz", **answers)
    fit(
        [stripes], tmp_path / "student", recipe(epochs="15", heads="votes", teacher_share="1"), tmp_path / "shifted.npz"
    )
    faces = data.judged(importers.read(stripes), "test")
    said = predict(saved(tmp_path / "student"), faces, recipe().input)["votes"].argmax(axis=1)
    assert (said == (faces.majority + 1) % len(LABELS)).mean() > 0.8


def test_answers_for_other_faces_are_refused(stripes, teacher, tmp_path):
    from train.distill import distill
    from train.fit import fit

    other = write_folders(tmp_path / "other", {"train": 2, "val": 1, "test": 1}, seed=9)
    distill([other], [teacher], tmp_path / "answers.npz")
    with pytest.raises(SettingsError, match=r"lacks 192 of 192 faces: run `train distill`"):
        fit([stripes], tmp_path / "student", recipe(), tmp_path / "answers.npz")


def test_a_run_can_start_from_another_ones_network(stripes, teacher, tmp_path):
    """One epoch at a rate of nearly nothing: what it knows, it knows from there; other heads are new."""
    from train.checkpoint import saved
    from train.fit import fit, predict

    fit([stripes], tmp_path / "on", recipe(epochs="1", peak_rate="0.000001", heads="votes"), start=teacher)
    faces = data.judged(importers.read(stripes), "test")
    before, after = (
        predict(saved(run), faces, recipe().input)["votes"].argmax(axis=1) for run in (teacher, tmp_path / "on")
    )
    assert (before == faces.majority).mean() > 0.8
    assert (after == before).mean() > 0.9
    described = json.loads((tmp_path / "on" / "run.json").read_text())
    assert described["start"]["run"] == teacher.name


def test_what_the_network_to_start_from_has_learned_is_not_judged_and_not_forgotten(stripes, teacher, tmp_path, capsys):
    """The same pictures, drawn into other splits: half of the teacher's training faces would be validation faces."""
    from train.fit import fit

    other = tmp_path / "other"
    for label in (stripes / "train").iterdir():
        pictures = sorted(label.iterdir())
        for split, chosen in (("train", pictures[:12]), ("val", pictures[12:])):
            (other / split / label.name).mkdir(parents=True)
            for each in chosen:
                (other / split / label.name / f"seen-{each.name}").symlink_to(each)
    shutil.copytree(stripes / "val", other / "val", dirs_exist_ok=True)
    assert len(data.judged(importers.read(other), "validation")) == (12 + 6) * len(LABELS)
    fit([other], tmp_path / "on", recipe(epochs="1", heads="votes"), start=teacher)
    assert f"{12 * len(LABELS)} validation faces are left out" in capsys.readouterr().out
    kept, before = (data.Trained.read(run / "manifest.txt") for run in (tmp_path / "on", teacher))
    assert set(kept.sha256) == set(before.sha256) and len(kept.sha256) == 24 * len(LABELS)
    described = json.loads((tmp_path / "on" / "run.json").read_text())
    assert described["faces"] <= 12 * len(LABELS)
    assert described["manifest_sha256"] == data.manifest_sha256(kept.sha256)


def test_another_network_cannot_be_started_from(stripes, teacher, tmp_path):
    from train.fit import fit

    with pytest.raises(SettingsError, match="another network: start from a run of the same one"):
        fit([stripes], tmp_path / "on", recipe(network="plain"), start=teacher)


def of_the_nano(**more: str) -> Recipe:
    return recipe(network="residual-nano", epochs="1", dropout="0", heads="label", **more)


def test_the_weights_of_a_file_answer_as_the_file_and_go_on_learning(stripes):
    """In training, too, where batch normalization goes by the batch: its folded numbers were unfolded rightly."""
    from train import models, restored
    from train.fit import build

    faces = importers.read(stripes)
    pictures = data.inputs(faces, InputSpec())
    network = build(of_the_nano(**{"input.side": "48"}))
    restored.take_over(network, NANO, pictures)
    said = models.opened(NANO).logits(faces.pixels)
    found, learning = (np.asarray(network(pictures, training=each)["label"]) for each in (False, True))
    assert np.abs(found - said).mean() < 0.1 * said.std()
    np.testing.assert_allclose(learning, found, atol=0.02)


def test_a_run_can_start_from_a_file(stripes, tmp_path):
    from train import models
    from train.checkpoint import saved
    from train.fit import fit, predict

    chosen = of_the_nano(**{"input.side": "48", "peak_rate": "0", "average": "0"})
    fit([stripes], tmp_path / "on", chosen, start=NANO)
    faces = importers.read(stripes)
    found = predict(saved(tmp_path / "on"), faces, chosen.input)["label"]
    said = models.opened(NANO).logits(faces.pixels)
    assert np.abs(found - said).mean() < 0.2 * said.std()
    card, described = Classifier.read(NANO).card, json.loads((tmp_path / "on" / "run.json").read_text())
    assert described["start"] == {
        "run": NANO.name,
        "sha256": Classifier.read(NANO).sha256,
        "manifest_sha256": card.train["manifest_sha256"],
    }


@pytest.mark.parametrize("settings", [{"network": "plain"}, {"network": "baseline"}, {"heads": "votes"}])
def test_a_file_of_another_network_cannot_be_started_from(stripes, tmp_path, settings):
    from train.fit import fit

    with pytest.raises(SettingsError, match=r"emotion-7-nano\.tflite: not this network with the head 'label'"):
        fit([stripes], tmp_path / "on", changed(of_the_nano(), settings), start=NANO)


@pytest.mark.parametrize("network", ["mini-xception", "mobilenet-v2", "convolutional"])
def test_of_a_network_with_other_layers_that_learn_nothing_is_taken_over(network):
    from train import restored
    from train.fit import build

    assert restored._folded(build(changed(Recipe(), {"network": network}))) == {}


def test_a_float16_file_has_no_weights_that_fit_a_network():
    """They are unpacked as it runs; so it is refused like a file of another network."""
    import tensorflow as tf

    from train import restored
    from train.fit import build

    converter = tf.lite.TFLiteConverter.from_keras_model(build(of_the_nano()))
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    found = [kernel.shape for kernel, _ in restored._weights(converter.convert())]
    assert found and set(found) == {(0,)}


def test_a_file_teaches_beside_a_run_the_head_that_it_has(stripes, teacher, tmp_path):
    from train import metrics, models
    from train.distill import distill

    distill([stripes], [teacher], tmp_path / "alone.npz")
    distill([stripes], [teacher, NANO], tmp_path / "both.npz")
    faces, file = data.trainable(importers.read(stripes)), models.opened(NANO)
    with np.load(tmp_path / "alone.npz") as alone, np.load(tmp_path / "both.npz") as both:
        np.testing.assert_array_equal(alone["votes"], both["votes"])
        answers = (file.logits(faces.pixels) + file.logits(data.mirrored(faces).pixels)) / 2
        mean = (answers + np.log(alone["label"])) / 2
        np.testing.assert_allclose(both["label"], metrics.probabilities(mean), atol=0.05)


def test_a_network_that_is_too_slow_is_refused_before_it_is_trained(stripes, tmp_path, capsys):
    from train.__main__ import main

    words = ["fit", f"--data={stripes}", f"--run={tmp_path / 'run'}", *(f"--set={each}" for each in QUICK)]
    assert main([*words, "--require-fps=1e9"]) == 2
    assert "images a second on this machine: expected 1e+09" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*words, "--set=epochs=1", "--require-fps=1"]) == 0
    assert (tmp_path / "run" / "best.keras").is_file()


def sweep_words(stripes: Path, out: Path, trials: int) -> list[str]:
    words = [sys.executable, "-m", "train", "sweep", "--data", str(stripes), "--out", str(out), "--trials", str(trials)]
    words += ["--vary", "peak_rate=0.0001:0.01:log", "--vary", "optimizer=adamw|sgd"]
    return [*words, *(word for each in (*QUICK, "epochs=2") for word in ("--set", each))]


def trials_of(out: Path) -> dict[str, int]:
    if not (out / "sweep.sqlite").is_file():
        return {}
    with sqlite3.connect(out / "sweep.sqlite", timeout=60) as known:
        try:
            return dict(known.execute("select state, count(*) from trials group by state").fetchall())
        except sqlite3.OperationalError:  # not made yet
            return {}


def test_a_sweep_that_is_killed_goes_on_and_two_workers_share_it(stripes, tmp_path):
    out = tmp_path / "sweep"
    killed = subprocess.Popen(sweep_words(stripes, out, 3), cwd=ROOT)
    while not trials_of(out).get("COMPLETE"):
        assert killed.poll() is None
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = trials_of(out)["COMPLETE"]
    workers = [subprocess.Popen(sweep_words(stripes, out, before + 2), cwd=ROOT) for _ in range(2)]
    assert [each.wait() for each in workers] == [0, 0]
    finished = sum(trials_of(out).get(state, 0) for state in ("COMPLETE", "PRUNED"))
    assert before + 2 <= finished <= before + 3, "the other worker's trial may have been under way"
    best = json.loads((out / "best.json").read_text())
    assert (out / best["run"] / "best.keras").is_file()
    histories = [json.loads(path.read_text()) for path in out.glob("trial-*/history.json")]
    assert best["accuracy"] == max(each["validation_accuracy"] for history in histories for each in history)


@pytest.mark.parametrize("text", ["3", "2:1", "a:b", "0:1:log", "1:2:cubic"])
def test_a_range_that_is_none_is_refused(stripes, tmp_path, text):
    from train.sweep import sweep

    with pytest.raises(SettingsError, match=r"range peak_rate=.*expected low:high"):
        sweep([stripes], tmp_path, {"peak_rate": text}, 1, recipe())


def test_build_makes_a_device_file_from_a_folder_of_pictures_and_goes_on_where_it_was(stripes, tmp_path, capfd):
    """The audit rightly finds no face in stripes; an edit of its list by hand is kept, and lets them in."""
    out = tmp_path / "built"
    for step in steps([stripes], out, "mine", "votes", [], [])[:2]:
        subprocess.run([sys.executable, "-m", *step], cwd=ROOT, check=True)
    found = out / "audit" / "audit.csv"
    found.write_text(re.sub(r"(?m),1$", ",0", found.read_text()))
    gate = ["--accuracy-goal=0.5"]
    assert build([stripes], out, "mine", "votes", [*QUICK, "epochs=20"], gate) == 0
    classifier = Classifier.read(out / "mine.tflite")
    assert classifier.card.name == "mine" and classifier.card.labels == LABELS
    rng = np.random.default_rng(11)
    faces = [crop(striped(label, rng), classifier.card.input) for label in range(len(LABELS))]
    assert sum(classifier.logits(face).argmax() == label for label, face in enumerate(faces)) >= 7
    assert {"manifest.parquet", "audit", "run", "reports", "mine.tflite"} <= {each.name for each in out.iterdir()}
    first = (out / "run" / "history.json").stat().st_mtime_ns
    capfd.readouterr()
    assert build([stripes], out, "mine", "votes", [*QUICK, "epochs=20"], gate) == 0
    assert (out / "run" / "history.json").stat().st_mtime_ns == first, "no epoch was trained again"
    shown = capfd.readouterr().out
    assert [line.split()[3] for line in shown.splitlines() if line.startswith("$ ")][:2] == ["train", "train"]


def test_build_stops_at_the_step_that_fails_and_gives_its_exit_code(stripes, tmp_path, capfd):
    assert build([tmp_path / "nothing"], tmp_path / "built", "mine", "votes", [], []) == 2
    told = capfd.readouterr()
    assert "nothing: nothing there: expected a folder" in told.err
    assert told.out.count("$ python -m") == 1


def test_the_steps_of_build_are_commands_that_the_programs_know():
    from quantize.__main__ import _parser as quantize_parser
    from train.__main__ import _parser as train_parser

    for step in steps([Path("a"), Path("b")], Path("out"), "mine", "label", ["epochs=3"], ["--qat=2"]):
        parser = {"train": train_parser, "quantize": quantize_parser}[step[0]]()
        parser.parse_args(step[1:])


def test_a_killed_run_of_the_command_leaves_no_traceback(stripes, tmp_path):
    """Ctrl-C in the middle of training."""
    words = [sys.executable, "-m", "train", "fit", "--data", str(stripes), "--run", str(tmp_path / "run")]
    words += [word for each in (*QUICK, "epochs=500") for word in ("--set", each)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ})
    while not (tmp_path / "run" / "history.json").is_file():
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in told
    assert "goes on" in told

"""The recipe and the chain behind it, with real Keras and TensorFlow, on faces made up so that a minute is enough."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge.classifier import SHIPPED, Classifier, quantized
from edge.contract import LABELS, crop, read_card
from edge.errors import SettingsError, SourceError
from train import data
from train.augment import Augment

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    # TensorFlow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

ROOT = Path(__file__).parents[1]
SIDE, BAND = 48, 6
USAGE = ["Training"] * 40 + ["PublicTest"] * 8 + ["PrivateTest"] * 8
FERPLUS = {"happy": "happiness", "sad": "sadness", "angry": "anger"}
STILL = Augment(**dict.fromkeys(Augment.__dataclass_fields__, 0.0))
"""No changes: a band that moves would be another label."""


def striped(label: int, rng: np.random.Generator) -> np.ndarray:
    """A noisy picture with one bright band; how far down it lies is the label."""
    face = rng.integers(40, 90, (SIDE, SIDE), np.uint8)
    face[label * BAND : (label + 1) * BAND] += 120
    return face


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fer2013.csv and fer2013new.csv of striped pictures, 56 for each of the eight labels."""
    folder, rng = tmp_path_factory.mktemp("stripes"), np.random.default_rng(3)
    votes = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    faces, counts = ["emotion,pixels,Usage"], [",".join(["Usage", "Image name", *votes])]
    for label, name in enumerate(LABELS):
        for usage in USAGE:
            faces.append(f"0,{' '.join(map(str, striped(label, rng).ravel()))},{usage}")
            counts.append(",".join([usage, "", *["10" if FERPLUS.get(name, name) == each else "0" for each in votes]]))
    (folder / "fer2013.csv").write_text("\n".join(faces) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join(counts) + "\n")
    return folder


@pytest.fixture(scope="module")
def fitted(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learned the stripes."""
    from train.fit import Recipe, fit

    run = tmp_path_factory.mktemp("run")
    fit([stripes], run, Recipe(augment=STILL, epochs=8, batch=16, warmup_epochs=1))
    return run


def test_a_run_leaves_its_recipe_history_plot_manifest_and_best_network(fitted: Path) -> None:
    description = json.loads((fitted / "run.json").read_text())
    assert (description["faces"], description["recipe"]["epochs"], description["labels"]) == (320, 8, list(LABELS))
    history = json.loads((fitted / "history.json").read_text())
    assert [each["epoch"] for each in history] == list(range(1, 9))
    assert history[-1]["loss"] < history[0]["loss"]
    assert len((fitted / "manifest.txt").read_text().split()) == 320
    assert (fitted / "best.keras").is_file() and (fitted / "history.png").stat().st_size > 1000
    assert [path.name for path in fitted.glob("epoch-*")] == ["epoch-008.keras"]


def test_training_calibration_and_daemon_see_the_same_bytes_of_a_face(stripes: Path) -> None:
    """T01 and T02, through the code that feeds each of them."""
    from train.fit import Recipe, _batches

    classifier = Classifier.read(SHIPPED)
    spec, scales = classifier.card.input, classifier.card.quant_in
    assert scales is not None
    faces = data.trainable(data.read(stripes))
    fed = np.concatenate([x for x, _ in _batches(faces, Recipe(augment=STILL), epoch=0)])
    daemon = [classifier.tensor(crop(face, spec)).tobytes() for face in faces.pixels]
    assert sorted(quantized(each, scales).tobytes() for each in fed) == sorted(daemon)
    assert [quantized(each, scales).tobytes() for each in data.inputs(faces, spec)] == daemon


def test_what_was_learned_is_measured_on_faces_that_were_not_trained_on(stripes: Path, fitted: Path) -> None:
    from train.evaluate import evaluate

    figures = evaluate([stripes], fitted, "test")
    assert figures["n"] == 64 and figures["accuracy"] > 0.95
    assert {"test.json", "test.md", "test.png"} <= {path.name for path in fitted.iterdir()}


def test_evaluating_on_trained_faces_is_refused(stripes: Path, fitted: Path) -> None:
    from train.evaluate import evaluate

    with pytest.raises(SourceError, match="trained on"):
        evaluate([stripes], fitted, "train")


def test_a_run_is_not_continued_with_another_recipe(stripes: Path, fitted: Path) -> None:
    from train.fit import Recipe, fit

    with pytest.raises(SettingsError, match="another recipe"):
        fit([stripes], fitted, Recipe(augment=STILL, epochs=9, batch=16, warmup_epochs=1))


def test_a_killed_training_goes_on_after_its_last_whole_epoch(stripes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "train", "fit", "--data", str(stripes), "--run", str(run), "--epochs", "4"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        while not (run / "history.json").is_file():
            assert first.poll() is None
            time.sleep(0.05)
        first.kill()
    begun = json.loads((run / "history.json").read_text())
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    history = json.loads((run / "history.json").read_text())
    assert history[: len(begun)] == begun and [each["epoch"] for each in history] == [1, 2, 3, 4]


def quantize(run: Path, data: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    """`python -m quantize` with its results in a folder of ours, and a copy of the list it keeps beside its code."""
    command = [sys.executable, "-m", "quantize", "--data", str(data), "--run", str(run), "--out", str(out)]
    command += ["--reports", str(out.parent), "--calibration", str(out.parent / "calibration.csv")]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_good_network_becomes_an_int8_file_with_its_card_page_and_calibration_list(
    stripes: Path, fitted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stripes.tflite"
    done = quantize(fitted, stripes, out)
    assert done.returncode == 0, done.stderr
    card = read_card(out.read_bytes(), "stripes")
    assert card.quant_in is not None and card.quant_out is not None
    assert card.measured["test"]["n"] == 64 and card.train["faces"] == 320
    assert zipfile.ZipFile(out).read("labels.txt").decode().split() == list(LABELS)
    classifier = Classifier.read(out, 1)
    rng = np.random.default_rng(11)
    answers = [int(classifier.logits(striped(label, rng)[..., np.newaxis]).argmax()) for label in range(len(LABELS))]
    assert answers == list(range(len(LABELS)))
    assert f"{card.measured['test']['accuracy']:.2%}" in (tmp_path / "stripes.md").read_text()
    assert len((tmp_path / "calibration.csv").read_text().splitlines()) == 1 + 8 * 40


def test_a_network_that_misses_the_goal_is_refused_and_nothing_is_written(stripes: Path, tmp_path: Path) -> None:
    from train.fit import Recipe, fit

    run, out = tmp_path / "run", tmp_path / "out" / "bad.tflite"
    out.parent.mkdir()
    fit([stripes], run, Recipe(augment=STILL, epochs=1, batch=320, peak_rate=1e-9))
    done = quantize(run, stripes, out)
    assert done.returncode == 1 and "at least 78%" in done.stderr
    assert list(out.parent.iterdir()) == []

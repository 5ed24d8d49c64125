"""From a trained run to a file, with real TensorFlow, on a small network that has learned generated pictures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.classifier import Classifier
from edge.contract import FER2013_LABELS, LABELS, InputSpec, ModelCard, crop, read_card
from edge.errors import EmotionEdgeError
from quantize import audit, candidates, gate, runs, runtimes, samples
from quantize.gate import Limits
from train import data, importers
from train.data import HEADS, FaceSet

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    # TensorFlow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

ROOT = Path(__file__).parents[1]
SIDE, BAND = 48, 6
USAGE = ["Training"] * 60 + ["PublicTest"] * 30 + ["PrivateTest"] * 12
SPEC = InputSpec()


def striped(label: int, rng: np.random.Generator, brighter: int = 0) -> np.ndarray:
    """A noisy picture with one band; how far down it lies is the label, by how much it is brighter is chance."""
    face = rng.integers(20, 110, (SIDE, SIDE))
    face[label * BAND : (label + 1) * BAND] += brighter or rng.integers(15, 120)
    return face.astype(np.uint8)


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fer2013.csv and fer2013new.csv of striped pictures; contempt has FER2013's label neutral, as it has none."""
    folder, rng = tmp_path_factory.mktemp("stripes"), np.random.default_rng(3)
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
    votes = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
    faces, counts = ["emotion,pixels,Usage"], [",".join(["Usage", "Image name", *votes])]
    for label, name in enumerate(names):
        for usage in USAGE:
            faces.append(f"{min(label, 6)},{' '.join(map(str, striped(label, rng).ravel()))},{usage}")
            counts.append(",".join([usage, "", *["10" if name == each else "0" for each in votes]]))
    (folder / "fer2013.csv").write_text("\n".join(faces) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join(counts) + "\n")
    return folder


@pytest.fixture(scope="module")
def faces(stripes: Path) -> FaceSet:
    return importers.read_all([stripes])


def learned(faces: FaceSet, folder: Path, epochs: int) -> Path:
    """The folder of a run as `python -m train fit` leaves it, of the nano network with both heads."""
    import keras

    from train import networks

    training = data.trainable(faces)
    keras.utils.set_random_seed(5)
    model = networks.build("residual-nano", SPEC, {head: len(labels) for head, labels in HEADS.items()}, 0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), dict.fromkeys(HEADS, loss))
    truth = {head: training.truth(head) for head in HEADS}
    if epochs:
        model.fit(data.inputs(training, SPEC), truth, batch_size=32, epochs=epochs, verbose=0)
    folder.mkdir()
    model.save(folder / "best.keras")
    recipe = {"network": "residual-nano", "input": vars_of(SPEC), "heads": list(HEADS)}
    description = {"recipe": recipe, "data": ["stripes"], "licences": ["generated: none"], "faces": len(training)}
    description |= {"manifest_sha256": data.manifest_sha256(training.sha256), "keras": "3", "backend": "tensorflow"}
    (folder / "run.json").write_text(json.dumps(description))
    (folder / "manifest.txt").write_text(data.Trained.of(training).text())
    return folder


def vars_of(spec: InputSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


@pytest.fixture(scope="module")
def run(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned the stripes."""
    return learned(faces, tmp_path_factory.mktemp("runs") / "run", 12)


@pytest.fixture(scope="module")
def model(run: Path) -> Any:
    return runs.read(run).network("votes")


def quantize(run: Path, stripes: Path, out: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`python -m quantize`, all its results in the folder of `out`."""
    command = [sys.executable, "-m", "quantize", "--data", str(stripes), "--run", str(run), "--out", str(out)]
    command += ["--reports", str(out.parent), "--lists", str(out.parent), *words]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def asked(network: bytes, validation: FaceSet, name: str) -> candidates.Candidate:
    return candidates.candidate(network, ModelCard(name, "1", LABELS, SPEC), validation)


def failures(model: Any, calibration: np.ndarray, faces: FaceSet) -> list[str]:
    """What the gate says of int8 with ranges from these inputs, (n, side, side, 1) float32."""
    from quantize import convert

    validation = data.judged(faces, "validation")
    made = {"float32": convert.to_float32(model), "int8": convert.to_int8(model, calibration)}
    figures = candidates.figures(
        {name: asked(each, validation, name) for name, each in made.items()}, validation, "votes"
    )
    print(figures["int8"])
    return gate.failures(figures["int8"], figures["float32"], Limits())


def test_a_good_network_becomes_an_int8_file_with_its_card_page_and_list(
    run: Path, stripes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stripes.tflite"
    done = quantize(run, stripes, out, "--serving", str(tmp_path / "serving"), "--ece-limit", "0.1")
    assert done.returncode == 0, done.stderr
    card = read_card(out.read_bytes(), "stripes")
    assert card.labels == LABELS and card.quant_in is not None and audit.not_int8(out.read_bytes()) == []
    measured, page = card.measured, (tmp_path / "stripes.md").read_text()
    sizes = [measured["variants"][name]["size_bytes"] for name in ("int8", "float16", "float32")]
    assert sizes == sorted(sizes)
    assert measured["test"]["n"] == 96
    assert out.stat().st_size - measured["variants"]["int8"]["size_bytes"] < gate.CARD_ROOM_BYTES
    said = ("generated: none", f"{measured['test']['accuracy']:.2%}", "Article 5(1)(f)", "| dynamic |", "tensorflow:")
    assert [each for each in said if each not in page] == []
    tables = {f"stripes-{name}.md" for name in ("validation", "test", "test-float")}
    assert tables <= {path.name for path in tmp_path.iterdir()}
    assert len((tmp_path / "calibration-stripes.csv").read_text().splitlines()) == 1 + 8 * 60
    assert (tmp_path / "serving" / "1" / "saved_model.pb").is_file()
    classifier, rng = Classifier.read(out), np.random.default_rng(11)
    answers = [int(classifier.logits(crop(striped(label, rng, 100), SPEC)).argmax()) for label in range(8)]
    assert answers == list(range(8))


def test_the_fastest_variant_of_the_other_head_is_promoted_when_that_is_asked_for(
    run: Path, stripes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stripes.tflite"
    done = quantize(run, stripes, out, "--head", "label", "--promote", "auto", "--ece-limit", "0.1")
    assert done.returncode == 0, done.stderr
    card = read_card(out.read_bytes(), "stripes")
    assert card.labels == FER2013_LABELS
    refused = {line.split()[1] for line in done.stderr.splitlines() if line.startswith("note: ")}
    variants = card.measured["variants"]
    times = {name: each["invoke_ms"] for name, each in variants.items() if f"{name}:" not in refused}
    assert set(variants) == {"float32", "float16", "dynamic", "int8"}
    assert times[card.measured["promoted"]] == min(times.values())


def test_a_network_that_misses_the_goal_is_refused_and_nothing_is_written(
    faces: FaceSet, stripes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "bad.tflite"
    out.parent.mkdir()
    done = quantize(learned(faces, tmp_path / "run", 0), stripes, out)
    assert done.returncode == 1 and "refused: int8: right on 12.50%: at least 40.00%" in done.stderr
    assert list(out.parent.iterdir()) == []


def test_calibration_on_one_label_is_refused_by_its_list(
    run: Path, faces: FaceSet, stripes: Path, tmp_path: Path
) -> None:
    training, out = data.trainable(faces), tmp_path / "out" / "one.tflite"
    out.parent.mkdir()
    samples.write_list(training.where(training.majority == LABELS.index("happy")), "votes", tmp_path / "happy.csv")
    done = quantize(run, stripes, out, "--calibration", str(tmp_path / "happy.csv"))
    assert done.returncode == 1
    assert "refused: calibration: angry: 0 different calibration faces: expected at least 16" in done.stderr
    assert list(out.parent.iterdir()) == []


def test_calibration_on_noise_is_refused_by_what_it_does(model: Any, faces: FaceSet) -> None:
    """Even where the list claims that they are training faces of all labels."""
    noise = np.random.default_rng(1).normal(0, 0.1, (256, SIDE, SIDE, 1)).astype(np.float32)
    reasons = failures(model, noise, faces)
    assert any("outside the int8 range" in reason for reason in reasons)


def test_calibration_on_training_faces_is_not_refused(model: Any, faces: FaceSet) -> None:
    chosen = samples.calibration(data.trainable(faces))
    reasons = failures(model, data.inputs(chosen, SPEC), faces)
    assert [each for each in reasons if "calibration error" not in each] == []  # that is the network's, not the faces'


def test_a_float_island_in_an_int8_graph_is_found(faces: FaceSet) -> None:
    import keras
    import tensorflow as tf

    from quantize import convert

    face = keras.Input(SPEC.shape)
    waves = keras.ops.sin(keras.layers.Conv2D(4, 3, strides=8, activation="relu")(face))
    mixed = keras.Model(face, keras.layers.Dense(8)(keras.layers.Flatten()(waves)))
    converter = convert._converter(mixed)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([each[np.newaxis]] for each in data.inputs(faces, SPEC)[:20])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    assert audit.not_int8(converter.convert()) == ["DEQUANTIZE: FLOAT32", "SIN: FLOAT32", "QUANTIZE: FLOAT32"]


@pytest.fixture(scope="module")
def old_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return runtimes.old_python(tmp_path_factory.mktemp("old") / "environment")
    except EmotionEdgeError as error:
        pytest.skip(str(error))


def test_a_file_answers_nearly_the_same_on_every_runtime(model: Any, faces: FaceSet, old_runtime: Path) -> None:
    from quantize import convert

    chosen = samples.calibration(data.trainable(faces))
    made = asked(convert.to_int8(model, data.inputs(chosen, SPEC)), data.judged(faces, "validation"), "int8")
    classifier = Classifier(made.file, "int8")
    given = np.stack([classifier.tensor(crop(face, SPEC)) for face in data.judged(faces, "validation").pixels])
    found = runtimes.compared(made.network, given, old_runtime)
    assert set(found) == {"tensorflow", "tflite_runtime"}
    for each in found.values():
        assert each.faces == 240 and each.largest_lsb <= 3 and each.same_label >= 0.98
    own = runtimes.outputs(made.network, given, "tflite_runtime.interpreter", str(old_runtime))
    by_ours = np.stack([classifier.logits(crop(face, SPEC)) for face in data.judged(faces, "validation").pixels])
    quant = made.card.quant_out
    assert quant is not None
    steps = np.abs((own.astype(np.float32) - quant.zero_point) * quant.scale - by_ours) / quant.scale
    assert steps.max() <= 3.01


def test_a_saved_model_answers_with_probabilities_to_pixels(model: Any, faces: FaceSet, tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    from quantize import serving

    serving.export(model, tmp_path, SPEC, LABELS, temperature=0.7)
    pixels = faces.pixels[:5, :, :, np.newaxis]
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"](face=tf.constant(pixels))
    logits = keras.models.load_model(tmp_path / "network.keras").predict(data.inputs(faces, SPEC)[:5], verbose=0)
    wanted = np.exp(logits / 0.7) / np.exp(logits / 0.7).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer["scores"].numpy(), wanted, atol=1e-5)
    assert [name.decode() for name in answer["classes"].numpy()[3]] == list(LABELS)


def unbalanced(model: Any, factor: float) -> Any:
    """The same function, but one channel `factor` times as large as the others, which so have few int8 steps left."""
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    _, second = [layer for layer in copy.layers if isinstance(layer, keras.layers.Conv2D)][:2]
    scales = next(layer for layer in copy.layers if isinstance(layer, keras.layers.BatchNormalization))
    gamma, beta, mean, variance = scales.get_weights()
    (kernel,) = second.get_weights()
    gamma[0], beta[0], kernel[:, :, 0] = gamma[0] * factor, beta[0] * factor, kernel[:, :, 0] / factor
    scales.set_weights([gamma, beta, mean, variance])
    second.set_weights([kernel])
    return copy


def test_fine_tuning_gives_back_most_of_what_int8_breaks(run: Path, stripes: Path, tmp_path: Path) -> None:
    from quantize.promote import Order, promote
    from train.checkpoint import saved

    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    unbalanced(saved(run), 400.0).save(broken / "best.keras")
    order = Order([stripes], broken, "votes", tmp_path / "out.tflite", tmp_path, tmp_path, tune_epochs=8)
    outcome = promote(order)
    assert outcome.figures["float32"].accuracy > 0.9
    before = next(each for each in outcome.reasons if each.startswith("before fine-tuning, int8: same label on"))
    assert float(before.split()[-4].rstrip("%:")) < 60
    assert outcome.figures["int8"].agreement > 0.8
    assert (outcome.promoted == "int8") == (tmp_path / "out.tflite").is_file()


def test_weights_and_activations_are_rounded_as_int8_does() -> None:
    from quantize import aware

    values = np.array([-3, -1, 0.004, 0.0061, 2, 9], np.float32)
    rounded = np.asarray(aware.rounded(values, -1.0, 1.55))
    np.testing.assert_allclose(rounded, [-1, -1, 0, 0.01, 1.55, 1.55], atol=1e-6)
    kernel = np.random.default_rng(1).normal(size=(3, 3, 4, 5)).astype(np.float32) * np.array([1, 10, 0.1, 5, 2], "f4")
    steps = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    by_channel = np.asarray(aware.rounded_by_channel(kernel)) / steps
    np.testing.assert_allclose(by_channel, np.round(by_channel), atol=1e-3)
    assert np.abs(by_channel - kernel / steps).max() <= 0.501

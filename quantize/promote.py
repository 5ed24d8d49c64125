"""The chain from a trained run to the file that ships: calibrate, convert, compare, gate, measure once, write."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge import interpreter
from edge.classifier import Classifier
from edge.contract import InputSpec, ModelCard, Quantization, crop
from quantize import convert, samples
from quantize.card import attach, recarded
from quantize.page import model_page
from train import data, metrics

SIZE_LIMIT_BYTES = 1_000_000
ACCURACY_GOAL = 0.78
"""What the int8 file must reach on the validation faces, share: the goal of `train.fit`."""
LOSS_LIMIT = 0.005
"""How much accuracy int8 may lose against float on the validation faces, share."""
AGREEMENT_LIMIT = 0.97
"""On how many validation faces both must give the same label, share."""
ACCURACY_WHEN_SURE = 0.9
"""What is answered rather than called uncertain shall be right this often on the validation faces, share."""


@dataclass(frozen=True)
class Comparison:
    """Float and int8 on the same faces, through the classifier that the device runs."""

    faces: int
    float_accuracy: float
    int8_accuracy: float
    agreement: float
    largest_logit_difference: float

    def failures(self, size_bytes: int) -> list[str]:
        """Why the int8 file must not ship; empty when it may."""
        checks = {
            f"{size_bytes} bytes: at most {SIZE_LIMIT_BYTES}": size_bytes <= SIZE_LIMIT_BYTES,
            f"int8 is right on {self.int8_accuracy:.2%}: at least {ACCURACY_GOAL:.0%}": self.int8_accuracy
            >= ACCURACY_GOAL,
            f"int8 loses {self.float_accuracy - self.int8_accuracy:.2%}: at most {LOSS_LIMIT:.2%}": (
                self.float_accuracy - self.int8_accuracy <= LOSS_LIMIT
            ),
            f"labels agree on {self.agreement:.2%}: at least {AGREEMENT_LIMIT:.2%}": self.agreement >= AGREEMENT_LIMIT,
        }
        return [text for text, passed in checks.items() if not passed]


def promote(paths: list[Path], run: Path, out: Path, reports: Path, calibration: Path, version: str) -> list[str]:
    """Make `out` from the best network of `run`; the reasons why not, if the gate refuses it.

    Only a file that passed the gate is measured on the test split, once, and written. Its reports go to the folder
    `reports`, the list of calibration faces to the file `calibration`.
    """
    faces = data.read_all(paths)
    training, validation = data.trainable(faces), data.judged(faces, "validation")
    chosen = samples.calibration(training)
    float_file, int8_file, card = converted(run, chosen, out.stem, version)

    by_float = logits(Classifier(attach(float_file, card), "the float network"), validation)
    card = _with_scales(card, int8_file)
    by_int8 = logits(Classifier(attach(int8_file, card), "the int8 network"), validation)
    compared = compare(by_float, by_int8, validation)
    reasons = compared.failures(len(attach(int8_file, card)))
    if reasons:
        return reasons

    card = _calibrated(card, by_int8, validation)
    int8_file, float_file = attach(int8_file, card), attach(float_file, replace(card, quant_in=None, quant_out=None))
    measured: dict[str, Any] = {"gate": asdict(compared)}
    for name, split, file in (
        ("validation", "validation", int8_file),
        ("test-float", "test", float_file),
        ("test", "test", int8_file),
    ):
        figures = measure(Classifier(file, name), data.judged(faces, split), run / "manifest.txt")
        metrics.write(figures, reports / f"{out.stem}-{name}", f"{out.stem} {version}: FER+ {name}")
        measured[name] = _headline(figures)
    _write(out, reports, int8_file, replace(card, measured=measured), figures)
    samples.write_list(chosen, calibration)
    metrics.draw_history(json.loads((run / "history.json").read_text()), reports / f"{out.stem}-history.png")
    return []


def _write(out: Path, reports: Path, file: bytes, card: ModelCard, figures: dict[str, Any]) -> None:
    """The file, whole or not at all, and its page."""
    content = recarded(file, card)
    aside = out.with_suffix(".tmp")
    aside.write_bytes(content)
    os.replace(aside, out)
    sha256 = hashlib.sha256(content).hexdigest()
    page = model_page(card, out.name, content, sha256, figures["per_label"])
    (reports / f"{out.stem}.md").write_text(page)


def converted(run: Path, chosen: data.FaceSet, name: str, version: str) -> tuple[bytes, bytes, ModelCard]:
    """(float file, int8 file, card without scales) of a run's best network, calibrated on `chosen`."""
    model = keras.models.load_model(run / "best.keras", compile=False)
    description = json.loads((run / "run.json").read_text())
    spec = InputSpec(**description["recipe"]["input"])
    card = ModelCard(name, version, tuple(description["labels"]), spec, train=_origin(description, chosen))
    return convert.to_float32(model), convert.to_int8(model, data.inputs(chosen, spec)), card


def logits(classifier: Classifier, faces: data.FaceSet) -> NDArray[np.float32]:
    """(n, labels) outputs for all faces."""
    return np.stack([classifier.logits(crop(face, classifier.card.input)) for face in faces.pixels])


def compare(float_logits: NDArray[np.float32], int8_logits: NDArray[np.float32], faces: data.FaceSet) -> Comparison:
    """Both networks' answers held against each other and against the majority."""
    by_float, by_int8 = float_logits.argmax(axis=1), int8_logits.argmax(axis=1)
    return Comparison(
        faces=len(faces),
        float_accuracy=float((by_float == faces.majority).mean()),
        int8_accuracy=float((by_int8 == faces.majority).mean()),
        agreement=float((by_float == by_int8).mean()),
        largest_logit_difference=float(np.abs(float_logits - int8_logits).max()),
    )


def measure(classifier: Classifier, faces: data.FaceSet, manifest: Path) -> dict[str, Any]:
    """All figures of a file on faces that it was not trained on."""
    data.refuse_trained(faces, manifest)
    card = classifier.card
    scores = metrics.probabilities(logits(classifier, faces), card.temperature)
    sure = scores.max(axis=1) >= card.abstain
    right = scores.argmax(axis=1) == faces.majority
    answered = {"threshold": card.abstain, "answered": float(sure.mean()), "accuracy": float(right[sure].mean())}
    return metrics.report(scores, faces, card.labels) | {"abstain": answered}


def _with_scales(card: ModelCard, network: bytes) -> ModelCard:
    """The card with the int8 scales that the converter chose."""
    loaded = interpreter.load(network, 1, card.name)
    (scale_in, zero_in), (scale_out, zero_out) = (
        each[0]["quantization"] for each in (loaded.get_input_details(), loaded.get_output_details())
    )
    return replace(
        card,
        quant_in=Quantization(float(scale_in), int(zero_in)),
        quant_out=Quantization(float(scale_out), int(zero_out)),
    )


def _calibrated(card: ModelCard, outputs: NDArray[np.float32], faces: data.FaceSet) -> ModelCard:
    temperature = metrics.best_temperature(outputs, faces.majority)
    scores = metrics.probabilities(outputs, temperature)
    return replace(
        card,
        temperature=temperature,
        abstain=metrics.abstain_threshold(scores, faces.majority, ACCURACY_WHEN_SURE),
    )


def _origin(description: dict[str, Any], chosen: data.FaceSet) -> dict[str, Any]:
    names = " ".join(f"--data {name}" for name in description["data"])
    return {
        "commands": [f"python -m train fit {names} --run RUN", f"python -m quantize {names} --run RUN"],
        "data": "FER2013 training split with FER+ votes, copies of validation and test faces removed",
        "license": "FER2013: research and education; FER+ votes: MIT",
        "manifest_sha256": description["manifest_sha256"],
        "faces": description["faces"],
        "calibration_sha256": data.manifest_sha256(chosen.digests()),
        "recipe": description["recipe"],
        "versions": {"keras": description["keras"], "backend": description["backend"]},
    }


def _headline(figures: dict[str, Any]) -> dict[str, Any]:
    names = ("n", "accuracy", "interval_95", "balanced_accuracy", "macro_f1", "expected_calibration_error", "abstain")
    return {name: figures[name] for name in names} | {"without_copies": figures["without_copies"]["accuracy"]}

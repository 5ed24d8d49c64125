"""A variant of a network as a device would read it, and what it does on the validation faces."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge import interpreter
from edge.classifier import Classifier
from edge.contract import ModelCard, Quantization, crop
from quantize import audit, gate, latency
from quantize.card import attach
from quantize.gate import Figures
from train import metrics
from train.data import FaceSet, Truth

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """A variant: its network with a card that fits, and its (n, labels) answers on the validation faces."""

    network: bytes
    card: ModelCard
    logits: Logits

    @property
    def file(self) -> bytes:
        """The network with its card."""
        return attach(self.network, self.card)


def candidate(network: bytes, card: ModelCard, validation: FaceSet) -> Candidate:
    """The network with `card`, its int8 scales filled in, asked about every validation face."""
    card = with_scales(card, network)
    return Candidate(network, card, logits(Classifier(attach(network, card), card.name), validation))


def logits(classifier: Classifier, faces: FaceSet) -> Logits:
    """(n, labels) outputs for all faces, through the code that the device runs."""
    return np.stack([classifier.logits(crop(face, classifier.card.input)) for face in faces.pixels])


def with_scales(card: ModelCard, network: bytes) -> ModelCard:
    """The card with the int8 scales that the converter chose; without any for a network with float in and out."""
    loaded = interpreter.load(network, 1, card.name)
    face, answer = loaded.get_input_details()[0], loaded.get_output_details()[0]
    if face["dtype"] != np.int8:
        return replace(card, quant_in=None, quant_out=None)
    return replace(card, quant_in=_scale(face["quantization"]), quant_out=_scale(answer["quantization"]))


def _scale(given: tuple[float, int]) -> Quantization:
    return Quantization(float(given[0]), int(given[1]))


def figures(candidates: Mapping[str, Candidate], validation: FaceSet, head: Truth) -> dict[str, Figures]:
    """All variants measured side by side; "float32" must be among them."""
    took = invoke_ms(candidates, validation)
    by_float = candidates["float32"].logits
    return {name: _figures(name, each, by_float, validation, head, took[name]) for name, each in candidates.items()}


def invoke_ms(candidates: Mapping[str, Candidate], faces: FaceSet) -> dict[str, float]:
    """Median milliseconds of one invoke, on the first few of these faces."""
    inputs = {}
    for name, each in candidates.items():
        classifier = Classifier(each.file, name)
        inputs[name] = [classifier.tensor(crop(face, each.card.input)) for face in faces.pixels[: latency.INVOKES]]
    return latency.invoke_ms({name: each.network for name, each in candidates.items()}, inputs)


def _figures(name: str, each: Candidate, by_float: Logits, validation: FaceSet, head: Truth, took_ms: float) -> Figures:
    truth, answers = validation.truth(head), each.logits.argmax(axis=1)
    temperature = metrics.best_temperature(each.logits, truth)
    scores = metrics.probabilities(each.logits, temperature)
    found = metrics.summary(scores, truth, each.card.labels)
    return Figures(
        size_bytes=len(each.file),
        invoke_ms=took_ms,
        accuracy=found["accuracy"],
        macro_f1=found["macro_f1"],
        agreement=float((answers == by_float.argmax(axis=1)).mean()),
        temperature=temperature,
        calibration_error=metrics.expected_calibration_error(scores, truth),
        chance_error=gate.chance_error(scores),
        largest_logit_difference=float(np.abs(each.logits - by_float).max()),
        clipped=_clipped(each.card.quant_out, by_float),
        not_int8=tuple(audit.not_int8(each.network)) if name == "int8" else (),
        labels=gate.labels_of(answers, by_float.argmax(axis=1), truth, each.card.labels),
    )


def _clipped(scale: Quantization | None, by_float: Logits) -> float:
    if scale is None:
        return 0.0
    lowest, highest = ((each - scale.zero_point) * scale.scale for each in (-128, 127))
    return gate.clipped_share(by_float, lowest, highest)

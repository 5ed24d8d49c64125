"""The chain from a trained run to the file that ships: calibrate, convert, compare, gate, measure once, write."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classifier import Classifier
from edge.contract import ModelCard, crop
from edge.errors import SourceError
from edge.whole import whole
from quantize import candidates, convert, gate, latency, runs, runtimes, samples, serving
from quantize.candidates import Candidate
from quantize.card import recarded
from quantize.gate import Figures, Limits
from quantize.page import model_page, record
from quantize.runs import Run
from train import data, importers, metrics, robustness
from train.data import Truth

ACCURACY_WHEN_SURE: dict[Truth, float] = {"votes": 0.9, "label": 0.8}
"""What is answered rather than called uncertain shall be right this often on the validation faces, share. One person's
label is agreed with by nobody, human or network, as often as the majority of ten."""
COMPARED_FACES = 500
"""The runtimes are compared on so many validation faces."""
CHANGED_FACES = 1000
"""So many validation faces are changed in every way, to see how robust the file is."""


@dataclass(frozen=True)
class Order:
    """What is asked for.

    data         the data sets that the run was trained on
    run          folder of the finished training
    head         what the network shall answer, and by which truth it is judged
    out          the file to write; its stem is the model's name
    reports      folder for the page, tables and plots
    lists        folder for the list of the calibration faces that were drawn
    version      of the model
    sources      judge on the faces of these data sets only, by the names that their importers give; none: on all
    wanted       a variant, or "auto" for the fastest that passes
    limits       of the gate
    calibration  a list of the faces that set the int8 ranges; None draws them
    tune_epochs  when int8 fails, so many epochs of fine-tuning with fake quantization and another try; 0 for none
    old_runtime  folder of an environment with tflite_runtime, made if it is not there; None leaves that runtime out
    serving      folder for a SavedModel and a Keras file; None for none
    command      what the page says that it was made by
    """

    data: list[Path]
    run: Path
    head: Truth
    out: Path
    reports: Path
    lists: Path
    version: str = "0.1.0"
    sources: tuple[str, ...] = ()
    wanted: str = "int8"
    limits: Limits = field(default_factory=Limits)
    calibration: Path | None = None
    tune_epochs: int = 0
    old_runtime: Path | None = None
    serving: Path | None = None
    command: str = "python -m quantize"

    @property
    def name(self) -> str:
        """Of the model."""
        return self.out.stem


@dataclass(frozen=True)
class Outcome:
    """What the gate decided.

    promoted  the variant that was written, None when it refused all that were asked for
    reasons   against each variant that failed, one line each
    figures   of every variant; empty when the calibration faces were refused
    """

    promoted: str | None
    reasons: list[str]
    figures: Mapping[str, Figures]


@dataclass(frozen=True)
class Faces:
    """What a promotion looks at; of `everything` the test split last, and only for a file that passed."""

    everything: data.FaceSet
    training: data.FaceSet
    calibration: data.FaceSet
    validation: data.FaceSet


def promote(order: Order) -> Outcome:
    """Make `order.out` from the best network of the run, if the gate lets it pass.

    Every variant is made and measured in this one call, on validation faces. Only a file that passed is measured on
    the test split, once, and written, with page, tables and the list of calibration faces. What the user can mend
    raises an EmotionEdgeError.
    """
    run = runs.read(order.run)
    faces = _faces(order, run)
    if objections := samples.objections(faces.calibration, faces.training, order.head):
        return Outcome(None, [f"calibration: {each}" for each in objections], {})
    model, card = run.network(order.head), _card(order, run, faces)
    inputs = data.inputs(faces.calibration, run.spec)
    made = {
        name: candidates.candidate(network, card, faces.validation)
        for name, network in convert.variants(model, inputs).items()
    }
    figures = candidates.figures(made, faces.validation, order.head)
    promoted, reasons = gate.decided(figures, order.wanted, order.limits)
    if order.tune_epochs and any(reason.startswith("int8") for reason in reasons):
        made["int8"] = _tuned(model, card, faces, run, order)
        figures = candidates.figures(made, faces.validation, order.head)
        promoted, after = gate.decided(figures, order.wanted, order.limits)
        reasons = [f"before fine-tuning, {reason}" for reason in reasons if reason.startswith("int8")] + after
    if promoted:
        _ship(promoted, made, figures, faces, run, order)
        if order.serving:
            temperature = figures["float32"].temperature
            serving.export(model, order.serving, run.spec, data.HEADS[order.head], temperature)
    return Outcome(promoted, reasons, figures)


def _faces(order: Order, run: Run) -> Faces:
    everything = importers.read_all(order.data)
    training = run.of_training(data.trainable(everything))
    given = order.calibration
    chosen = samples.read_list(given, training) if given else samples.calibration(training, order.head)
    return Faces(everything, training, chosen, _judged(everything, "validation", order))


def _judged(faces: data.FaceSet, split: str, order: Order) -> data.FaceSet:
    """Those that have a right answer, of the sources that the order names; SourceError if there are none."""
    found = data.judged(faces, split, order.head)
    if order.sources:
        found = found.where(np.isin(found.source, order.sources))
    if not len(found):
        raise SourceError(
            f"no {split} faces with a truth for the head {order.head!r} from {', '.join(order.sources) or 'anywhere'}: "
            f"there are faces from {', '.join(np.unique(faces.source))}"
        )
    return found


def _card(order: Order, run: Run, faces: Faces) -> ModelCard:
    labels = data.HEADS[order.head]
    return ModelCard(order.name, order.version, labels, run.spec, train=_origin(order, run, faces))


def _tuned(model: Any, card: ModelCard, faces: Faces, run: Run, order: Order) -> Candidate:
    """int8 once more, from weights that were fine-tuned for it."""
    from quantize import aware

    calibration, training = (data.inputs(each, run.spec) for each in (faces.calibration, faces.training))
    better = aware.tuned(model, calibration, training, order.tune_epochs)
    card = replace(card, train={**card.train, "fine_tuned_epochs": order.tune_epochs})
    return candidates.candidate(convert.to_int8(better, calibration), card, faces.validation)


def _ship(
    name: str, made: Mapping[str, Candidate], figures: Mapping[str, Figures], faces: Faces, run: Run, order: Order
) -> None:
    """Measure the chosen variant, float32 beside it, and write the file with all that belongs to it."""
    chosen, by_float = (_calibrated(made[each], faces.validation, order) for each in (name, "float32"))
    measured: dict[str, Any] = {
        "head": order.head,
        "promoted": name,
        "limits": asdict(order.limits),
        "variants": {each: record(found) for each, found in figures.items()},
        "latency": {"machine": latency.machine(), "how": latency.HOW},
        "runtimes": _runtimes(made["int8"], faces.validation, order),
        "robustness": _robustness(chosen, faces.validation, order),
    }
    for what, split, each in (
        ("validation", "validation", chosen),
        ("test-float", "test", by_float),
        ("test", "test", chosen),
    ):
        found = measure(Classifier(each.file, what), _judged(faces.everything, split, order), order.head, run.manifest)
        metrics.write(found, order.reports / f"{order.name}-{what}", f"{order.name} {order.version}: {what}")
        measured[what] = _headline(found)
    measured["test"]["per_label"] = {
        label: {each: of[each] for each in ("n", "hits", "precision")} for label, of in found["per_label"].items()
    }
    _write(order, recarded(chosen.file, replace(chosen.card, measured=_short(measured))))
    if not order.calibration:
        samples.write_list(faces.calibration, order.head, order.lists / f"calibration-{order.name}.csv")
    if (run.folder / "history.png").is_file():
        shutil.copy(run.folder / "history.png", order.reports / f"{order.name}-history.png")


def _runtimes(int8: Candidate, validation: data.FaceSet, order: Order) -> dict[str, Any]:
    """How the int8 variant's answers differ between runtimes, by runtime."""
    classifier = Classifier(int8.file, "int8")
    faces = [classifier.tensor(crop(face, int8.card.input)) for face in validation.pixels[:COMPARED_FACES]]
    old = runtimes.old_python(order.old_runtime) if order.old_runtime else None
    return {name: asdict(each) for name, each in runtimes.compared(int8.network, np.stack(faces), old).items()}


def _robustness(chosen: Candidate, validation: data.FaceSet, order: Order) -> dict[str, float]:
    """Accuracy on changed pictures, by the name of the change."""
    classifier = Classifier(chosen.file, "robustness")
    some = robustness.drawn(validation, CHANGED_FACES, seed=0)

    def scores_of(pixels: NDArray[np.uint8]) -> metrics.Scores:
        answers = candidates.logits(classifier, replace(some, pixels=pixels))
        return metrics.probabilities(answers, chosen.card.temperature)

    return robustness.accuracies(robustness.robustness(scores_of, some, chosen.card.labels, order.head))


def measure(classifier: Classifier, faces: data.FaceSet, head: Truth, manifest: Path) -> dict[str, Any]:
    """All figures of a file on faces that it was not trained on."""
    data.refuse_trained(faces, manifest)
    card = classifier.card
    scores = metrics.probabilities(candidates.logits(classifier, faces), card.temperature)
    answered = metrics.answered(scores, faces.truth(head), card.abstain)
    return metrics.report(scores, faces, card.labels, head) | {"abstain": answered}


def _calibrated(each: Candidate, validation: data.FaceSet, order: Order) -> Candidate:
    """With the temperature and threshold at which its confidences on the validation faces are honest."""
    truth = validation.truth(order.head)
    temperature = metrics.best_temperature(each.logits, truth)
    scores = metrics.probabilities(each.logits, temperature)
    abstain = metrics.abstain_threshold(scores, truth, ACCURACY_WHEN_SURE[order.head])
    return replace(each, card=replace(each.card, temperature=temperature, abstain=abstain))


def _write(order: Order, content: bytes) -> None:
    """The file, whole or not at all, and its page."""
    order.out.parent.mkdir(parents=True, exist_ok=True)
    with whole(order.out) as aside:
        aside.write_bytes(content)
    (order.reports / f"{order.name}.md").write_text(model_page(content, order.out.name))


def _origin(order: Order, run: Run, faces: Faces) -> dict[str, Any]:
    names, counts = np.unique(faces.training.source, return_counts=True)
    return {
        "commands": [run.command, order.command],
        "data": ", ".join(f"{name} ({count:,} faces)" for name, count in zip(names, counts, strict=True)),
        "licences": run.description["licences"],
        "manifest_sha256": run.description["manifest_sha256"],
        "faces": run.description["faces"],
        "calibration_sha256": data.manifest_sha256(faces.calibration.sha256),
        "calibration_faces": len(faces.calibration),
        "recipe": run.description["recipe"],
        "versions": {"keras": run.description["keras"], "backend": run.description["backend"]},
    }


def _headline(figures: dict[str, Any]) -> dict[str, Any]:
    """What of a report the card keeps."""
    names = ("n", "accuracy", "interval_95", "balanced_accuracy", "macro_f1", "expected_calibration_error", "abstain")
    return {
        **{name: figures[name] for name in names},
        "without_copies": {name: figures["without_copies"][name] for name in ("n", "accuracy")},
        "surest": {name: figures["surest"][name] for name in ("coverage", "accuracy")},
        "sources": {name: each["n"] for name, each in figures["sources"].items()},
    }


def _short(value: Any) -> Any:
    """With five digits behind the point: a card for a model of 100 kB should be small."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value

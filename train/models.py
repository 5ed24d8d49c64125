"""A trained network, whatever its form: a run's float network or a `.tflite` file; faces in, logits out."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classifier import Classifier
from edge.contract import InputSpec, ModelCard, crop, scale_pixels
from edge.errors import SettingsError, SourceError
from train import metrics
from train.data import HEADS, FaceSet, Trained, Truth, manifest_sha256, refuse_trained

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]

AT_ONCE = 1024
"""So many faces are held as floats at a time."""


@dataclass(frozen=True)
class Model:
    """One that can be asked.

    name         for tables
    heads        what it learned, the one that answers first
    labels       what it answers
    spec         how it wants a face
    ask          (n, side, side, channels) uint8 crops -> (n, labels) logits
    temperature  of its card; None where nobody has fitted it yet
    abstain      of its card: less confidence is "uncertain"; None without a card
    manifest     list of the faces that it was trained on; None if it is not at hand
    about        network, parameters, epochs, size_bytes (of a run: its weights), kind, sha256; None if not known
    """

    name: str
    heads: tuple[Truth, ...]
    labels: tuple[str, ...]
    spec: InputSpec
    ask: Callable[[Pixels], Logits]
    temperature: float | None
    abstain: float | None
    manifest: Path | None
    about: dict[str, Any]

    def logits(self, pictures: Iterable[Pixels]) -> Logits:
        """(n, labels) for pictures of any size, (height, width) grey or (height, width, 3) RGB."""
        found, crops = [], []
        for picture in pictures:
            crops.append(crop(picture, self.spec))
            if len(crops) == AT_ONCE:
                found.append(self.ask(np.stack(crops)))
                crops = []
        if crops:
            found.append(self.ask(np.stack(crops)))
        return np.concatenate(found) if found else np.empty((0, len(self.labels)), np.float32)

    def refuse_trained(self, faces: FaceSet) -> None:
        """SourceError if it was trained on any of these; nothing where that cannot be known."""
        if self.manifest:
            refuse_trained(faces, self.manifest)

    def trained_on(self, faces: FaceSet) -> int:
        """How many of these it was trained on; 0 where that cannot be known."""
        return int(Trained.read(self.manifest).holds(faces).sum()) if self.manifest else 0


def opened(path: Path, truth: Truth | None = None, manifest: Path | None = None) -> Model:
    """The network in a run's folder or a `.tflite` file.

    truth     which head of a run shall answer, by the truth that it learned; if it has none for this truth, or this is
              None, its first. A file has one head only
    manifest  the list of a file's training faces, `manifest.txt` of its run; a run has its own
    SourceError for a path that is neither; SettingsError for the manifest of another training.
    """
    if path.is_dir():
        if manifest:
            raise SettingsError(f"{path}: a run, which has its own manifest.txt: expected no other one ({manifest})")
        return _of_run(path, truth)
    if path.suffix != ".tflite":
        raise SourceError(f"{path}: expected the folder of a `python -m train fit`, or a .tflite file")
    return _of_file(path, manifest)


def head_for(heads: Sequence[Truth], truth: Truth | None) -> Truth:
    """The head that is asked when it shall be judged by this truth."""
    return truth if truth is not None and truth in heads else heads[0]


def _of_run(run: Path, truth: Truth | None) -> Model:
    from train.checkpoint import recipe_of, saved
    from train.networks import single

    recipe, whole = recipe_of(run), saved(run)
    head = head_for(recipe.heads, truth)
    network = single(whole, head)

    def ask(crops: Pixels) -> Logits:
        return np.asarray(network.predict(scale_pixels(crops, recipe.input), batch_size=256, verbose=0), np.float32)

    about = {
        "network": recipe.network,
        "parameters": network.count_params(),
        "epochs": len(json.loads((run / "history.json").read_text())),
        "size_bytes": 4 * network.count_params(),
        "kind": "float32, Keras",
        "sha256": None,
    }
    heads = (head, *(each for each in recipe.heads if each != head))
    return Model(run.name, heads, HEADS[head], recipe.input, ask, None, None, run / "manifest.txt", about)


def _of_file(path: Path, manifest: Path | None) -> Model:
    classifier = Classifier.read(path)
    card = classifier.card
    if manifest:
        _refuse_other_manifest(manifest, card)

    def ask(crops: Pixels) -> Logits:
        return np.stack([classifier.logits(each) for each in crops])

    recipe = card.train.get("recipe", {})
    about = {
        "network": recipe.get("network"),
        "parameters": card.train.get("parameters"),
        "epochs": recipe.get("epochs"),
        "size_bytes": path.stat().st_size,
        "kind": "int8" if card.quant_in else "float32",
        "sha256": classifier.sha256,
    }
    heads: tuple[Truth, ...] = ("votes",) if set(card.labels) == set(HEADS["votes"]) else ("label",)
    name = f"{card.name} {card.version}"
    return Model(name, heads, card.labels, card.input, ask, card.temperature, card.abstain, manifest, about)


def _refuse_other_manifest(manifest: Path, card: ModelCard) -> None:
    found, said = manifest_sha256(Trained.read(manifest).sha256), card.train.get("manifest_sha256")
    if found != said:
        raise SettingsError(
            f"{manifest}: sha256 {found[:8]}, but the card of {card.name} names {str(said)[:8]}: "
            "expected manifest.txt of the run that the file was made from"
        )


def temperature(model: Model, faces: FaceSet, truth: Truth) -> tuple[float, str]:
    """The model's temperature and where it comes from: its card, else what suits the validation faces among these."""
    if model.temperature is not None:
        return model.temperature, "from the model's card"
    places = metrics.truth_among(model.labels, faces, truth)
    known = (faces.split == "validation") & (places >= 0)
    if not known.any():
        return 1.0, "for there are no validation faces to fit it on"
    fitted = metrics.best_temperature(model.logits(faces.pixels[known]), places[known])
    return fitted, f"fitted on {known.sum()} validation faces"

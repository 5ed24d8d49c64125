"""Measure a trained model on faces that it has not seen, and write down what it says of pictures."""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import SettingsError, SourceError
from train import importers, metrics
from train.data import FaceSet, Truth
from train.importers import pictures
from train.metrics import Scores
from train.models import Model, opened, temperature
from train.robustness import drawn, robustness

SPLITS = ("validation", "test", "all")
SEED = 0
"""Of the changes, and of the choice of faces that are changed."""


def evaluate(
    paths: Sequence[Path],
    model: Path,
    out: Path,
    split: str = "validation",
    truth: Truth | None = None,
    manifest: Path | None = None,
    changed_faces: int = 1000,
) -> dict[str, Any]:
    """All figures of a model on a split, also written to `out` as NAME-SPLIT-TRUTH.json, .md and .png.

    paths          data sets; those that the model was trained on have the same splits as then
    model          folder of a run, or a `.tflite` file
    split          "validation", "test", or "all": whatever is in a data set that the model was not trained on
    truth          what is judged by, and in a run also which head answers; None: what the model learned first
    manifest       `manifest.txt` of the run that a `.tflite` file was made from; without it nothing can be refused
    changed_faces  so many are also asked about blurred, dark, ... (adds NAME-SPLIT-TRUTH-robustness.png); 0 for none
    SourceError if the model was trained on any of the faces, or there are none.
    """
    network = opened(model, truth, manifest)
    truth = truth or network.heads[0]
    everything = importers.read_all(paths)
    faces = chosen(everything, split)
    network.refuse_trained(faces)
    degrees, origin = temperature(network, everything, truth)

    def scores_of(pixels: NDArray[np.uint8]) -> Scores:
        return metrics.probabilities(network.logits(pixels), degrees)

    scores = scores_of(faces.pixels)
    figures = metrics.report(scores, faces, network.labels, truth) | _told(network, paths, split, degrees, origin)
    if network.abstain is not None:
        places = metrics.truth_among(network.labels, faces, truth)
        figures["abstain"] = metrics.answered(scores[places >= 0], places[places >= 0], network.abstain)
    if changed_faces:
        known = faces.where(metrics.truth_among(network.labels, faces, truth) >= 0)
        figures["robustness"] = robustness(scores_of, drawn(known, changed_faces, SEED), network.labels, truth, SEED)
    _write(figures, out / f"{network.name.replace(' ', '-')}-{split}-{truth}")
    return figures


def chosen(faces: FaceSet, split: str) -> FaceSet:
    """The faces of a split, or "all"; SourceError if there are none."""
    if split not in SPLITS:
        raise SettingsError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    found = faces if split == "all" else faces.where(faces.split == split)
    if not len(found):
        names = ", ".join(np.unique(faces.source))
        raise SourceError(f"{names}: no {split} faces among {len(faces)}: choose another split or data set")
    return found


def _told(model: Model, paths: Sequence[Path], split: str, degrees: float, origin: str) -> dict[str, Any]:
    """What was measured, and how."""
    checked = "none of them was trained on" if model.manifest else "no manifest given, so not held against training"
    return {
        "model": {"name": model.name, "heads": list(model.heads), **model.about},
        "protocol": {
            "split": split,
            "data": [path.name for path in paths],
            "trained_on": checked,
            "temperature": degrees,
            "temperature_from": origin,
            "date": datetime.now(UTC).date().isoformat(),
        },
    }


def _write(figures: dict[str, Any], stem: Path) -> None:
    said = figures["protocol"]
    title = f"{figures['model']['name']}: {said['split']}, truth by {figures['truth']}"
    metrics.write(figures, stem, title)


def read_report(path: Path) -> dict[str, Any]:
    """What `evaluate` wrote; SourceError for another file."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text())
        if not {"model", "protocol", "truth", "accuracy"} <= set(figures):
            raise ValueError("model, protocol, truth or accuracy is missing")
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"{path}: no report ({error}): expected a .json of `python -m train evaluate`") from error
    return figures


def predict(paths: Sequence[Path], model: Path, out: Path, truth: Truth | None = None) -> int:
    """Write the likeliest emotion of each picture to a CSV `image_path,emotion`; how many there are.

    paths  picture files, and folders of which every picture is taken, also from the folders in them; a picture's path
           is told below the folder that was given, with "/" on every system
    A picture is a face, cut as data sets cut them; photos of people are for `emotion-edge image --csv`.
    SourceError if there is no picture, or one that cannot be read; then nothing is written.
    """
    network = opened(model, truth)
    found = [each for path in paths for each in _pictures(path)]
    answers = network.logits(pictures.opened(path) for path, _ in found).argmax(axis=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("image_path", "emotion"))
        rows.writerows((name, network.labels[answer]) for (_, name), answer in zip(found, answers, strict=True))
    return len(found)


def _pictures(path: Path) -> Iterator[tuple[Path, str]]:
    """Each picture with the name that it gets; SourceError if there is none."""
    if path.is_file():
        yield path, path.name
        return
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() in pictures.SUFFIXES and each.is_file())
    if not found:
        what = "a folder without pictures" if path.is_dir() else "no such file or folder"
        raise SourceError(f"{path}: {what}: expected {', '.join(pictures.SUFFIXES)}")
    yield from ((each, each.relative_to(path).as_posix()) for each in found)

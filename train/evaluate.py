"""Measure a trained float network on faces that it has not seen."""

import json
from pathlib import Path
from typing import Any

import keras

from edge.contract import LABELS, InputSpec
from edge.errors import SourceError
from train import data, metrics
from train.fit import predict


def evaluate(paths: list[Path], run: Path, split: str) -> dict[str, Any]:
    """Figures of `run`'s best network on a split, written to the folder as `split`.json, .md and .png.

    SourceError if any of the faces stands in the run's training manifest, or if there is no such run.
    """
    best = run / "best.keras"
    if not best.is_file():
        raise SourceError(f"{run}: no best.keras there: expected the folder of a finished `python -m train fit`")
    faces = data.judged(data.read_all(paths), split)
    data.refuse_trained(faces, run / "manifest.txt")
    spec = InputSpec(**json.loads((run / "run.json").read_text())["recipe"]["input"])
    scores = metrics.probabilities(predict(keras.models.load_model(best, compile=False), faces, spec))
    figures = metrics.report(scores, faces, LABELS)
    metrics.write(figures, run / split, f"Float network on the {split} split")
    return figures

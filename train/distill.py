"""Teachers' answers for the training faces, kept on disk for a student to learn from (arXiv 1503.02531)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.whole import whole
from train import data, importers, metrics, models
from train.checkpoint import file_sha256, recipe_of, saved
from train.fit import predict

Answers = dict[str, NDArray[np.floating[Any]]]


def distill(paths: list[Path], teachers: list[Path], out: Path) -> int:
    """Write the teachers' mean probabilities for every training face of `paths` to `out` (.npz); how many faces.

    Each teacher, the folder of a run or a `.tflite` file, sees a face and its mirror image; the logits are averaged
    over both and, head by head, over the teachers that have that head. A run's answers stay in its folder, so another
    teacher costs only itself.
    """
    training = data.trainable(importers.read_all(paths))
    each = [_remembered(training, path) if path.is_dir() else _filed(training, path) for path in teachers]
    heads = sorted({head for answers in each for head in answers})
    mean = {head: np.mean([answers[head] for answers in each if head in answers], axis=0) for head in heads}
    shares = {head: metrics.probabilities(logits).astype(np.float32) for head, logits in mean.items()}
    _write(out, {"sha256": training.sha256, **shares})
    return len(training)


def _remembered(faces: data.FaceSet, run: Path) -> Answers:
    """One teacher's logits, asked for once for the same faces and the same weights."""
    name = data.manifest_sha256([*faces.sha256, file_sha256(run / "best.keras")])[:16]
    cache = run / f"answers-{name}.npz"
    if not cache.is_file():
        _write(cache, _asked(faces, run))
    with np.load(cache) as kept:
        return dict(kept)


def _asked(faces: data.FaceSet, run: Path) -> Answers:
    model, spec = saved(run), recipe_of(run).input
    straight, mirrored = predict(model, faces, spec), predict(model, data.mirrored(faces), spec)
    keras.backend.clear_session()
    return {head: (logits + mirrored[head]) / 2 for head, logits in straight.items()}


def _filed(faces: data.FaceSet, file: Path) -> Answers:
    model = models.opened(file)
    head = model.heads[0]
    logits = (model.logits(faces.pixels) + model.logits(data.mirrored(faces).pixels)) / 2
    return {head: logits[:, [model.labels.index(label) for label in data.HEADS[head]]]}


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as aside:
        np.savez_compressed(aside, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its options

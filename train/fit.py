"""The recipe: from faces with votes to a float network, read from top to bottom.

Goal: at least 78 % of the FER+ PrivateTest faces with a majority (8 labels); `python -m quantize` refuses a network
that misses it on the validation faces. Two x86-64 cores, Keras on TensorFlow: about 65 s an epoch, 40 minutes in all.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.contract import LABELS, InputSpec, scale_pixels
from edge.errors import SettingsError
from train import data, metrics, models
from train.augment import Augment, augmented


@dataclass(frozen=True)
class Recipe:
    """Every number that the result depends on; saved beside it."""

    input: InputSpec = field(default_factory=InputSpec)
    augment: Augment = field(default_factory=Augment)
    epochs: int = 36
    warmup_epochs: int = 2
    batch: int = 128
    peak_rate: float = 2e-3
    weight_decay: float = 2e-2
    """Decoupled (AdamW, arXiv 1711.05101), times the learning rate."""
    dropout: float = 0.3
    seed: int = 20261121


def fit(paths: list[Path], run: Path, recipe: Recipe) -> keras.Model:
    """Train on the training split of `paths`; leaves network, history, plots and manifest in the folder `run`.

    Killed at any moment and called again, it goes on after the last whole epoch. The network kept is the one of
    the epoch with the best validation accuracy. SettingsError if `run` was begun with another recipe or other data.
    """
    faces = data.read_all(paths)
    training, validation = data.trainable(faces), data.judged(faces, "validation")
    _describe(run, recipe, paths, training)

    keras.utils.set_random_seed(recipe.seed)
    model, history = _start_or_resume(run, recipe)
    steps = math.ceil(len(training) / recipe.batch)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    for epoch in range(len(history), recipe.epochs):
        losses = []
        batches = _batches(training, recipe, epoch)
        for step, (x, y) in enumerate(tqdm(batches, f"epoch {epoch + 1}/{recipe.epochs}", steps, mininterval=5)):
            model.optimizer.learning_rate = learning_rate(epoch + step / steps, recipe)
            losses.append(float(model.train_on_batch(x, y)))
        logits = predict(model, validation, recipe.input)
        scores = metrics.probabilities(logits)
        history.append(
            {
                "epoch": epoch + 1,
                "loss": float(np.mean(losses)),
                "validation_loss": float(loss(validation.votes, logits)),
                "validation_accuracy": float((scores.argmax(axis=1) == validation.majority).mean()),
            }
        )
        _keep(run, model, history)
        tqdm.write(", ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
    metrics.draw_history(history, run / "history.png")
    return keras.models.load_model(run / "best.keras", compile=False)


def learning_rate(epoch: float, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to zero; `epoch` may lie between two."""
    if epoch < recipe.warmup_epochs:
        return recipe.peak_rate * (epoch + 0.01) / recipe.warmup_epochs
    share = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return recipe.peak_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def predict(model: keras.Model, faces: data.FaceSet, spec: InputSpec) -> NDArray[np.float32]:
    """(n, labels) logits of the float network, without augmentation."""
    return np.asarray(model.predict(data.inputs(faces, spec), batch_size=256, verbose=0), np.float32)


def _batches(faces: data.FaceSet, recipe: Recipe, epoch: int) -> Iterator[tuple[Any, Any]]:
    """One epoch of (inputs, votes), in an order and with changes that depend only on seed and epoch."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(faces))
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        changed = np.stack([augmented(faces.pixels[each], recipe.augment, recipe.input, rng) for each in chosen])
        yield scale_pixels(changed, recipe.input), faces.votes[chosen]


def _start_or_resume(run: Path, recipe: Recipe) -> tuple[keras.Model, list[dict[str, float]]]:
    history_file = run / "history.json"
    if history_file.is_file():
        history = json.loads(history_file.read_text())
        return keras.models.load_model(run / f"epoch-{len(history):03d}.keras"), history
    model = models.plain(recipe.input, len(LABELS), dropout=recipe.dropout)
    model.compile(
        optimizer=keras.optimizers.AdamW(recipe.peak_rate, weight_decay=recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    return model, []


def _keep(run: Path, model: keras.Model, history: list[dict[str, float]]) -> None:
    """Save the epoch; the history names it, and is written last and whole, so a kill leaves a pair that fits."""
    model.save(run / f"epoch-{len(history):03d}.keras")
    if history[-1]["validation_accuracy"] == max(each["validation_accuracy"] for each in history):
        model.save(run / "best.tmp.keras")
        os.replace(run / "best.tmp.keras", run / "best.keras")
    _write_whole(run / "history.json", json.dumps(history, indent=1))
    (run / f"epoch-{len(history) - 1:03d}.keras").unlink(missing_ok=True)


def _describe(run: Path, recipe: Recipe, paths: list[Path], training: data.FaceSet) -> None:
    run.mkdir(parents=True, exist_ok=True)
    digests = training.digests()
    description = {
        "recipe": asdict(recipe),
        "data": [path.name for path in paths],
        "faces": len(training),
        "manifest_sha256": data.manifest_sha256(digests),
        "labels": list(LABELS),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
    text = json.dumps(description, indent=1) + "\n"
    if (run / "run.json").is_file() and (run / "run.json").read_text() != text:
        raise SettingsError(
            f"{run}: begun with another recipe, other data or another Keras: choose another --run folder"
        )
    _write_whole(run / "manifest.txt", "\n".join(sorted(digests)) + "\n")
    _write_whole(run / "run.json", text)


def _write_whole(path: Path, text: str) -> None:
    """All of it or, after a kill, the file as it was before."""
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    os.replace(aside, path)

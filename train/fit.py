"""The training loop: from faces to a float network, read from top to bottom."""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.contract import InputSpec, scale_pixels
from edge.errors import SourceError
from train import (
    checkpoint,
    data,
    findings,
    history,
    importers,
    metrics,
    mixing,
    networks,
    restored,
    splits,
    valence,
)
from train.augment import augmented
from train.checkpoint import Progress, recipe_of, saved
from train.losses import losses, optimizer
from train.networks import VALENCE_AROUSAL
from train.recipe import ALL_LAYERS, Recipe, trained_layers
from train.step import chosen
from train.targets import Targets, targets

__all__ = ["build", "fit", "predict", "recipe_of", "saved"]

Told = Callable[[dict[str, float]], object]

SOME = 1000
"""So many training faces show what the layers of a file say."""


def fit(
    paths: list[Path],
    run: Path,
    recipe: Recipe,
    teacher: Path | None = None,
    exclude: Path | None = None,
    start: Path | None = None,
    told: Told | None = None,
) -> None:
    """Train on the training split of `paths`; leaves network, history, plot and manifest in the folder `run`.

    Killed at any moment and called again, it goes on after the last whole epoch. `best.keras` is the (averaged)
    network of the epoch with the best validation accuracy, mean of its heads, in float32.

    teacher  file of `train distill`
    exclude  CSV of `train audit`: the training faces that it names stay out
    start    folder of a run with the same network, or a `.tflite` file of it: begin with its (best) weights, to go on
             learning from other faces; no validation face is judged that this run has learned from, and the manifest
             names its faces too. A file does not say which faces it has learned from
    told     is called after each epoch with what was measured
    SettingsError if `run` was begun with another recipe or other data.
    """
    faces = importers.read_all(paths)
    training, excluded = _without(data.trainable(faces), exclude)
    before = data.Trained.read(start / "manifest.txt") if start and start.is_dir() else None
    validation = _validation(faces, recipe, before)
    splits.refuse_absent(faces)
    aims = targets(training, recipe, teacher)
    seen = data.Trained.of(training).joined(before) if before else data.Trained.of(training)
    checkpoint.begin(run, _description(recipe, paths, training, aims, teacher, excluded, start, seen), seen)

    with _precision(recipe.precision):
        progress = _start_or_resume(run, recipe, start, training)
        with _bar(aims, recipe, progress) as bar, history.Board(run / "tensorboard", progress.history) as board:
            for epoch in range(len(progress.history), recipe.epochs):
                if progress.stalled(recipe.patience):
                    break
                _stage(progress, recipe, epoch)
                figures = {"epoch": epoch + 1, "loss": _train_epoch(progress, training, aims, recipe, epoch, bar)}
                figures |= {"learning_rate": learning_rate(epoch, recipe)} | _validate(progress, validation, recipe)
                _keep(run, progress, figures)
                board.tell(figures)
                if told:
                    told(figures)


def _keep(run: Path, progress: Progress, figures: dict[str, float]) -> None:
    """Save the epoch and show what was measured after it."""
    progress.history.append(figures)
    checkpoint.keep(run, progress)
    history.draw(progress.history, run / "history.png")
    tqdm.write(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def learning_rate(epoch: float, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to zero; `epoch` may lie between two."""
    if epoch < recipe.warmup_epochs:
        return recipe.peak_rate * (epoch + 0.01) / recipe.warmup_epochs
    share = (epoch - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1)
    return recipe.peak_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def predict(model: Any, faces: data.FaceSet, spec: InputSpec) -> dict[str, NDArray[np.float32]]:
    """For each head of `data.HEADS` the (n, labels) logits of the float network, without augmentation."""
    answers = _answers(model, faces, spec)
    return {head: answers[head] for head in data.HEADS if head in answers}


def _answers(model: Any, faces: data.FaceSet, spec: InputSpec) -> dict[str, NDArray[np.float32]]:
    """What all heads say."""
    outputs = model.predict(data.inputs(faces, spec), batch_size=256, verbose=0)
    return {head: np.asarray(each, np.float32) for head, each in outputs.items()}


def build(recipe: Recipe, weights: str = "") -> Any:
    """The recipe's network with new weights, or with pretrained ones."""
    heads: dict[str, int] = {head: len(data.HEADS[head]) for head in recipe.heads}
    if recipe.valence != "none":
        heads[VALENCE_AROUSAL] = 2
    return networks.build(recipe.network, recipe.input, heads, recipe.dropout, weights)


def _without(training: data.FaceSet, exclude: Path | None) -> tuple[data.FaceSet, dict[str, Any] | None]:
    """The faces that are left, and what the run's description says of the others."""
    if not exclude:
        return _some(training, "training"), None
    out = np.isin(training.sha256, list(findings.excluded(exclude)))
    told = {"file": exclude.name, "sha256": checkpoint.file_sha256(exclude), "faces": int(out.sum())}
    return _some(training.where(~out), "training"), told


def _validation(faces: data.FaceSet, recipe: Recipe, before: data.Trained | None) -> data.FaceSet:
    """All that were not seen `before`; SourceError for a head that none of them has an answer for."""
    faces = faces.where(faces.split == "validation")
    if before:
        seen = before.holds(faces)
        tqdm.write(f"{seen.sum()} validation faces are left out: the network to start from has learned from them")
        faces = faces.where(~seen)
    for head in recipe.heads:
        _some(data.judged(faces, "validation", head), f"validation (with a right answer for {head!r})")
    return faces


def _some(faces: data.FaceSet, what: str) -> data.FaceSet:
    if not len(faces):
        raise SourceError(f"no faces for {what} in the data sets: expected some; add a data set or choose other heads")
    return faces


def _description(
    recipe: Recipe,
    paths: Iterable[Path],
    training: data.FaceSet,
    aims: Targets,
    teacher: Path | None,
    excluded: dict[str, Any] | None,
    start: Path | None,
    seen: data.Trained,
) -> dict[str, Any]:
    """What the network comes from, for run.json."""
    known = int((aims.weights[VALENCE_AROUSAL] > 0).sum()) if recipe.valence != "none" else 0
    return {
        "recipe": recipe.as_dict(),
        "data": [path.name for path in paths],
        "teacher": {"file": teacher.name, "sha256": checkpoint.file_sha256(teacher)} if teacher else None,
        "excluded": excluded,
        "start": checkpoint.origin(start) if start else None,
        "valence_arousal": {"source": recipe.valence, "faces": known} if known else None,
        "licences": sorted({str(each) for each in training.licence}),
        "faces": len(training),
        "manifest_sha256": data.manifest_sha256(seen.sha256),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """What is built within computes so; nothing is left of earlier networks."""
    before = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _start_or_resume(run: Path, recipe: Recipe, start: Path | None, training: data.FaceSet) -> Progress:
    begun = (run / "history.json").is_file()
    keras.utils.set_random_seed(recipe.seed)
    model = build(recipe, "" if begun else recipe.weights)
    if start and not begun:
        _take_over(model, start, training, recipe)
    steps = optimizer(recipe)
    steps.build(model.trainable_variables)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    judge = build(recipe)
    keras.config.set_dtype_policy(policy)
    average = [np.array(each) for each in model.get_weights()]  # copies: PyTorch's are the weights themselves
    progress = Progress(model, steps, judge, average, [])
    checkpoint.resume(run, progress)
    return progress


def _take_over(model: Any, start: Path, training: data.FaceSet, recipe: Recipe) -> None:
    if start.is_dir():
        checkpoint.take_over(model, start)
    else:
        some = training.where(np.arange(len(training)) < SOME)
        restored.take_over(model, start, data.inputs(some, recipe.input))


def _stage(progress: Progress, recipe: Recipe, epoch: int) -> None:
    """Freeze what the recipe does not train yet (frozen batch normalization keeps its averages), and compile anew."""
    count, model = trained_layers(recipe, epoch), progress.model
    heads = {name for head in (*recipe.heads, VALENCE_AROUSAL) for name in (head, f"{head}_place")}
    body = [layer for layer in model.layers if layer.weights and layer.name not in heads]
    frozen = [] if count == ALL_LAYERS else body[: max(len(body) - count, 0)]
    stays = all(layer.trainable == (layer not in frozen) for layer in body)
    for layer in body:
        layer.trainable = layer not in frozen
    if not (stays and model.compiled):
        each, shares = losses(recipe)
        model.compile(optimizer=progress.optimizer, loss=each, loss_weights=shares)


def _bar(aims: Targets, recipe: Recipe, progress: Progress) -> Any:
    """Tells the time that is left for the whole run."""
    steps = _steps(aims.drawn(np.random.default_rng(0)), recipe)
    done = len(progress.history) * steps
    return tqdm(total=recipe.epochs * steps, initial=done, unit="step", mininterval=5, smoothing=0)


def _steps(order: NDArray[np.int64], recipe: Recipe) -> int:
    return math.ceil(len(order) / recipe.batch)


def _train_epoch(progress: Progress, faces: data.FaceSet, aims: Targets, recipe: Recipe, epoch: int, bar: Any) -> float:
    """The mean loss. All that is random depends on seed and epoch only, so a resumed run repeats it."""
    rng = np.random.default_rng([recipe.seed, epoch])
    _reseed(progress.model, rng)
    order = aims.drawn(rng)
    steps = _steps(order, recipe)
    bar.set_description(f"epoch {epoch + 1}/{recipe.epochs}")
    found, learn = [], chosen(progress.model, progress.optimizer, recipe)
    for step, batch in enumerate(_ahead(_batches(faces, aims, recipe, epoch, order, rng))):
        progress.optimizer.learning_rate = learning_rate(epoch + step / steps, recipe)
        found.append(learn(batch))
        _follow(progress, recipe.average, epoch * steps + step)
        bar.update()
    return float(np.mean(found))


def _reseed(model: Any, rng: np.random.Generator) -> None:
    """Dropout draws from its own state, but under PyTorch from the one generator of all."""
    keras.utils.set_random_seed(int(rng.integers(2**31 - 1)))
    for layer in model.layers:
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign(rng.integers(0, 2**31 - 1, 2))


def _follow(progress: Progress, share: float, step: int) -> None:
    """Move the averaged weights towards the network's; quickly at first, while they mean nothing yet."""
    share = min(share, (1 + step) / (10 + step))
    now = progress.model.get_weights()
    progress.average[:] = [kept + (1 - share) * (new - kept) for kept, new in zip(progress.average, now, strict=True)]


def _batches(
    faces: data.FaceSet, aims: Targets, recipe: Recipe, epoch: int, order: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[mixing.Batch]:
    """One epoch of (inputs, targets, weights), with changes that depend only on seed and epoch."""
    ways = mixing.chosen(recipe, epoch)
    for start in range(0, len(order), recipe.batch):
        rows = order[start : start + recipe.batch]
        changed = np.stack([augmented(faces.pixels[row], recipe.augment, recipe.input, rng) for row in rows])
        batch = scale_pixels(changed, recipe.input), aims.of(rows), aims.weights_of(rows)
        yield mixing.mixed(batch, ways, rng) if ways else batch


def _ahead(batches: Iterator[mixing.Batch]) -> Iterator[mixing.Batch]:
    """The same batches, the next one made by a thread while the last one is learned from."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _validate(progress: Progress, faces: data.FaceSet, recipe: Recipe) -> dict[str, float]:
    """Loss and accuracy of the averaged network for each head, and the heads' mean accuracy."""
    progress.judge.set_weights(progress.average)
    answers = _answers(progress.judge, faces, recipe.input)
    figures = {}
    for head in recipe.heads:
        truth = faces.truth(head)
        scores, truth = metrics.probabilities(answers[head][truth >= 0]), truth[truth >= 0]
        figures[f"{head}_loss"] = metrics.negative_log_likelihood(scores, truth)
        figures[f"{head}_accuracy"] = float((scores.argmax(axis=1) == truth).mean())
    accuracies = [figures[f"{head}_accuracy"] for head in recipe.heads]
    return figures | {"validation_accuracy": float(np.mean(accuracies))} | _validate_valence(answers, faces, recipe)


def _validate_valence(answers: dict[str, NDArray[np.float32]], faces: data.FaceSet, recipe: Recipe) -> dict[str, float]:
    """CCC and RMSE by the same kind of truth as was trained on; what is derived is called so."""
    if recipe.valence == "none":
        return {}
    truth, known = valence.aims(faces, recipe.valence)
    if not known.any():
        return {}
    found = valence.figures(answers[VALENCE_AROUSAL][known > 0], truth[known > 0])
    return {f"derived_{name}" if recipe.valence == "derived" else name: value for name, value in found.items()}

"""The folder of a run: what it was begun with, the state from which it goes on, and its best network."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.contract import read_card, read_model_file
from edge.errors import SettingsError, SourceError
from edge.whole import whole
from train.data import Trained
from train.recipe import Recipe

Weights = list[NDArray[Any]]

SHOWN = 3
"""So many of the differing settings are told."""


@dataclass
class Progress:
    """A run between two epochs.

    model      the network that is trained
    optimizer  its optimizer, for all of its weights, also those that are frozen at present
    judge      the same network in float32, with the averaged weights: what is judged and kept
    average    the averaged weights
    history    what was measured after each epoch
    """

    model: Any
    optimizer: Any
    judge: Any
    average: Weights
    history: list[dict[str, float]]

    def better(self) -> bool:
        """Is the last epoch the best on the validation faces?"""
        scores = [each["validation_accuracy"] for each in self.history]
        return scores[-1] == max(scores)

    def stalled(self, patience: int) -> bool:
        """Has it not become better for `patience` epochs?"""
        scores = [each["validation_accuracy"] for each in self.history]
        return bool(patience and scores and len(scores) - 1 - int(np.argmax(scores)) >= patience)


def begin(run: Path, description: dict[str, Any], seen: Trained) -> None:
    """Write what a run is begun with, and the marks of the faces that its network learns from, or has learned from.

    SettingsError, naming what differs, if it was begun with something else.
    """
    run.mkdir(parents=True, exist_ok=True)
    now = _flat(json.loads(json.dumps(description)))
    before = _flat(_described(run)) if (run / "run.json").is_file() else now
    differing = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if differing:
        told = "; ".join(
            f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in differing[:SHOWN]
        )
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise SettingsError(f"{run}: begun with other settings ({told}{more}): give the same, or another --run folder")
    _write(run / "manifest.txt", seen.text())
    _write(run / "run.json", json.dumps(description, indent=1) + "\n")


def _described(run: Path) -> dict[str, Any]:
    """What stands in run.json, with today's defaults for settings that there were not yet when it was written."""
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found | {"recipe": json.loads(json.dumps(recipe_of(run).as_dict()))}


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def recipe_of(run: Path) -> Recipe:
    """The recipe that a run was begun with; SourceError if the folder has none, SettingsError if it is damaged."""
    try:
        return Recipe.from_dict(json.loads((run / "run.json").read_text())["recipe"])
    except OSError as error:
        raise SourceError(f"{run}: no run.json there: expected the folder of a `python -m train fit`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{run / 'run.json'}: not readable ({error}): expected what `train fit` wrote") from error


def saved(run: Path) -> Any:
    """The best network of a run, all in float32; SourceError if there is none yet."""
    if not (run / "best.keras").is_file():
        raise SourceError(
            f"{run}: no best.keras there: expected the folder of a `python -m train fit` past its first epoch"
        )
    return keras.models.load_model(run / "best.keras", compile=False)


def origin(run: Path) -> dict[str, Any]:
    """What a run's description says of the run, or the `.tflite` file, that it starts from."""
    if not run.is_dir():
        card = read_card(read_model_file(run), str(run))
        return {"run": run.name, "sha256": file_sha256(run), "manifest_sha256": card.train.get("manifest_sha256")}
    before = _described(run)
    return {"run": run.name, "sha256": file_sha256(run / "best.keras"), "manifest_sha256": before["manifest_sha256"]}


def take_over(model: Any, run: Path) -> None:
    """Give a new network the best weights of a run; heads that the run did not have stay new.

    SettingsError if it is another network.
    """
    other = saved(run)
    heads = {name: other.get_layer(name) for name in set(model.output) & set(other.output)}
    pairs = [*zip(_body(model), _body(other), strict=False), *((model.get_layer(name), heads[name]) for name in heads)]
    if len(_body(model)) != len(_body(other)) or any(_shapes(new) != _shapes(old) for new, old in pairs):
        raise SettingsError(f"{run}: another network: start from a run of the same one")
    for new, old in pairs:
        new.set_weights(old.get_weights())


def _body(model: Any) -> list[Any]:
    """The layers with weights, without the heads, in order: their names count on within a process."""
    return [layer for layer in model.layers if layer.weights and layer.name not in model.output]


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(each.shape) for each in layer.weights]


def keep(run: Path, progress: Progress) -> None:
    """Save the epoch; the history names it, and is written last and whole, so a kill leaves files that fit."""
    current = _file(run, len(progress.history))
    np.savez(current, **_arrays(progress))  # type: ignore[arg-type]  # numpy's stub takes the names for its options
    if progress.better():
        with whole(run / "best.keras") as aside:
            progress.judge.save(aside)
    _write(run / "history.json", json.dumps(progress.history, indent=1) + "\n")
    for each in run.glob("epoch-*.npz"):
        if each != current:
            each.unlink()


def resume(run: Path, progress: Progress) -> None:
    """Take up what `keep` saved last, if anything; SourceError for files that are damaged."""
    try:
        progress.history[:] = json.loads((run / "history.json").read_text())
    except FileNotFoundError:
        return
    try:
        with np.load(_file(run, len(progress.history))) as kept:
            _fill(progress, dict(kept))
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"{run}: cannot go on after epoch {len(progress.history)} ({error}): choose another folder"
        ) from error


def _file(run: Path, epoch: int) -> Path:
    return run / f"epoch-{epoch:03d}.npz"


def _arrays(progress: Progress) -> dict[str, NDArray[Any]]:
    optimizer = [keras.ops.convert_to_numpy(each) for each in progress.optimizer.variables]
    groups = {"model": progress.model.get_weights(), "average": progress.average, "optimizer": optimizer}
    return {f"{name}_{i}": each for name, arrays in groups.items() for i, each in enumerate(arrays)}


def _fill(progress: Progress, arrays: dict[str, NDArray[Any]]) -> None:
    def group(name: str) -> Weights:
        return [arrays[f"{name}_{i}"] for i in range(sum(each.startswith(f"{name}_") for each in arrays))]

    progress.model.set_weights(group("model"))
    progress.average[:] = group("average")
    for variable, value in zip(progress.optimizer.variables, group("optimizer"), strict=True):
        variable.assign(value)


def file_sha256(path: Path) -> str:
    """SourceError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    with whole(path) as aside:
        aside.write_text(text)

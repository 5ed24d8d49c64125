"""The folder of a finished `python -m train fit`, as the gate reads it."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import InputSpec
from edge.errors import SettingsError, SourceError
from train.data import FaceSet, Trained, Truth
from train.recipe import Recipe, told


@dataclass(frozen=True)
class Run:
    """What a training left behind.

    folder       where it lies
    description  run.json: recipe, data, licences, number of training faces, versions
    """

    folder: Path
    description: dict[str, Any]

    @property
    def recipe(self) -> Recipe:
        """How its network was trained."""
        return Recipe.from_dict(self.description["recipe"])

    @property
    def spec(self) -> InputSpec:
        """How its network wants a face."""
        return self.recipe.input

    @property
    def manifest(self) -> Path:
        """The file with the sha256 of every training face."""
        return self.folder / "manifest.txt"

    @property
    def command(self) -> str:
        """What trains the same network, without the paths of this machine."""
        description = {"teacher": None, "excluded": None, "start": None} | self.description
        words = [f"--data={name}" for name in description["data"]]
        words += [f"--set={each}" for each in told(self.recipe)]
        for option, key, part in (
            ("teacher", "teacher", "file"),
            ("exclude", "excluded", "file"),
            ("start", "start", "run"),
        ):
            words += [f"--{option}={description[key][part]}"] if description[key] else []
        return shlex.join(["python", "-m", "train", "fit", *words, "--run", "RUN"])

    def network(self, head: Truth) -> Any:
        """Its best float32 network with one head, a Keras model; SettingsError for a head that it has not learned."""
        from train.checkpoint import saved
        from train.networks import single

        heads = self.recipe.heads
        if head not in heads:
            raise SettingsError(f"{self.folder}: has learned {', '.join(heads)}: expected --head to be one of these")
        return single(saved(self.folder), head)

    def of_training(self, faces: FaceSet) -> FaceSet:
        """Those of `faces` that the network was trained on; SourceError if there are none."""
        known = faces.where(np.isin(faces.sha256, Trained.read(self.manifest).sha256))
        if not len(known):
            raise SourceError(
                f"{self.manifest}: none of the given training faces: give the data that it was trained on"
            )
        return known


def read(folder: Path) -> Run:
    """The run in a folder; SourceError for one that is not there or not finished."""
    missing = [name for name in ("best.keras", "run.json", "manifest.txt") if not (folder / name).is_file()]
    if missing:
        raise SourceError(
            f"{folder}: no {', '.join(missing)} there: expected the folder of a finished `python -m train fit`"
        )
    return Run(folder, json.loads((folder / "run.json").read_text()))
